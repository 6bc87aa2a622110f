//! Exports: what is recorded, as it is streamed.

use std::time::Duration;

use bytes::Bytes;
use dualaudit_record::export::Manifest;
use reqwest::Response;

use super::{Client, ClientError};

/// How often the manifest is asked for, which is there once the entry that tells of the export is proved.
const TRIES: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// An export under way. Dropped before its end, the server's log tells how far it came.
#[derive(Debug)]
pub struct Export<'a> {
    client: &'a Client,
    response: Response,
    id: String,
}

impl Client {
    /// Begins an export. The parameters are those of the API. Begun once: each is an entry of the logs that it reads.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn export(&self, pairs: &[(String, String)]) -> Result<Export<'_>, ClientError> {
        let request = self.streams.get(self.at(&["api", "v1", "export"])).query(pairs);
        let response = self.opened(request).await?;
        let id = response.headers().get("dualaudit-export").and_then(|id| id.to_str().ok());
        let id = id.ok_or_else(|| self.unlike("does not say which export it is".to_owned()))?.to_owned();
        Ok(Export { client: self, response, id })
    }

    /// The manifest of an export that came to its end; waits some seconds for it.
    ///
    /// # Errors
    /// The problem `no-such-export`; see [`ClientError`].
    pub async fn manifest(&self, id: &str) -> Result<Manifest, ClientError> {
        let mut tries = 1;
        loop {
            match self.ask(&["api", "v1", "export", id], &[]).await {
                Err(ClientError::Problem(problem)) if problem.status == 404 && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                answered => return answered,
            }
        }
    }
}

impl Export<'_> {
    /// Its name, by which its manifest is found.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What comes next; `None` at its end.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] where the server broke it off: what came is not whole.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.response.chunk().await.map_err(|error| self.client.unreachable(error))
    }
}
