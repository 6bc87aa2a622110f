//! An export as the body of an answer, which whoever reads it may leave, and which may be broken off.

use std::{io, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use crate::export::Sink;

/// How long whoever asked may leave a chunk waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// Into the body of an answer.
pub(super) struct Stream {
    /// `None` once everything was given.
    chunks: Option<mpsc::Sender<io::Result<Bytes>>>,
    over: Over,
}

/// What ends an export before its end.
struct Over {
    stopping: watch::Receiver<bool>,
    /// Its reader may not read it any more.
    otherwise: BoxFuture<'static, ()>,
}

impl Over {
    /// Waits for that, and says why.
    async fn why(&mut self) -> &'static str {
        tokio::select! {
            // Nobody tells that it stops where nobody could.
            Ok(_) = self.stopping.wait_for(|&stops| stops) => "dualaudit is stopping",
            () = &mut self.otherwise => "its reader may not read it any more, or that cannot be told",
        }
    }
}

impl Stream {
    /// Through `chunks`, until it is stopped, or its reader may not read it any more.
    pub(super) fn new(
        chunks: mpsc::Sender<io::Result<Bytes>>,
        stopping: watch::Receiver<bool>,
        otherwise: BoxFuture<'static, ()>,
    ) -> Self {
        Self { chunks: Some(chunks), over: Over { stopping, otherwise } }
    }

    /// Ends the answer in the middle, so that nobody takes it for whole.
    pub(super) async fn break_off(&mut self, error: String) {
        if let Some(chunks) = self.chunks.take() {
            let _ = tokio::time::timeout(PATIENCE, chunks.send(Err(io::Error::other(error)))).await;
        }
    }
}

#[async_trait]
impl Sink for Stream {
    async fn give(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let Some(chunks) = &self.chunks else { return Err(io::ErrorKind::BrokenPipe.into()) };
        tokio::select! {
            biased;
            why = self.over.why() => Err(io::Error::other(why)),
            sent = tokio::time::timeout(PATIENCE, chunks.send(Ok(bytes.into()))) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
        }
    }

    fn close(&mut self) {
        self.chunks = None;
    }

    fn is_read_at_once(&self) -> bool {
        true
    }
}
