//! What is handed out: counted and hashed, the last of it held back.

use std::io;

use dualaudit_record::digest::{Digest, Hashing};

use super::Sink;

/// Hands bytes on, a chunk later than it gets them: the last chunk waits until the export is recorded.
pub(super) struct Outlet<'a> {
    sink: &'a mut dyn Sink,
    hashing: Hashing,
    bytes: u64,
    held: Vec<u8>,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Self { sink, hashing: Hashing::default(), bytes: 0, held: Vec::new() }
    }

    /// Takes the next chunk, and gives the one before.
    pub(super) async fn take(&mut self, chunk: Vec<u8>) -> io::Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.held, chunk);
        self.give(before).await
    }

    /// Takes the last chunk; answers the bytes and the digest of all that there will have been.
    pub(super) fn end(&mut self, mut last: Vec<u8>) -> (u64, Digest) {
        self.held.append(&mut last);
        let mut hashing = self.hashing.clone();
        hashing.update(&self.held);
        (self.bytes + self.held.len() as u64, hashing.finish())
    }

    /// Gives what was held back.
    pub(super) async fn give_last(&mut self) -> io::Result<()> {
        let last = std::mem::take(&mut self.held);
        self.give(last).await?;
        self.sink.close();
        Ok(())
    }

    /// Whether somebody may have read any of it.
    pub(super) fn was_read(&self) -> bool {
        self.bytes > 0 && self.sink.is_read_at_once()
    }

    /// The bytes and the digest of what was given.
    pub(super) fn given(&self) -> (u64, Digest) {
        (self.bytes, self.hashing.clone().finish())
    }

    async fn give(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        // Counted first: of what failed nobody knows how much arrived.
        self.hashing.update(&bytes);
        self.bytes += bytes.len() as u64;
        self.sink.give(bytes).await
    }
}
