//! A log as C2SP `tlog-tiles` has it. Nothing of it is checked here: that is a verifier's affair.

use dualaudit_record::{access::Verified, checkpoint::SignedCheckpoint, log::TilePath};
use reqwest::Method;
use serde_json::json;

use super::{Client, ClientError};
use crate::query::Receipt;

/// The bytes of a tile, at most: 256 entries of 65,535 bytes fit.
const TILE_BYTES: usize = 17 << 20;

impl Client {
    /// The newest checkpoint of a log.
    ///
    /// # Errors
    /// The problems `no-such-log`, and `not-yet-signed` before there is one; see [`ClientError`].
    pub async fn checkpoint(&self, log: &str) -> Result<SignedCheckpoint, ClientError> {
        let note = self.log_file(log, "checkpoint").await?;
        SignedCheckpoint::parse(&note).map_err(|error| self.unlike(format!("answers no checkpoint: {error}")))
    }

    /// Hashes or entries of a log.
    ///
    /// # Errors
    /// The problem `no-such-tile` where the checkpoint does not cover it; see [`ClientError`].
    pub async fn tile(&self, log: &str, tile: TilePath) -> Result<Vec<u8>, ClientError> {
        self.log_file(log, &format!("tile/{tile}")).await
    }

    /// Puts on record that somebody verified a log. Said again, it is on record again.
    ///
    /// # Errors
    /// The problems `no-such-log`, and `invalid-record` where the log has fewer entries; see [`ClientError`].
    pub async fn verified(
        &self,
        log: &str,
        verified: &Verified,
        actor: &str,
    ) -> Result<Receipt, ClientError> {
        let Verified { size, root, findings } = verified;
        let said = json!({"size": size, "root": root, "findings": findings, "actor": actor});
        let request = self.request(Method::POST, &["api", "v1", "log", log, "verifications"]).json(&said);
        self.parsed(&self.once(request).await?)
    }

    /// What is at a path under a log, as it came: `checkpoint`, or `tile/…`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log_file(&self, log: &str, path: &str) -> Result<Vec<u8>, ClientError> {
        let segments: Vec<&str> = ["api", "v1", "log", log].into_iter().chain(path.split('/')).collect();
        self.patiently(|| self.request(Method::GET, &segments), TILE_BYTES).await
    }
}
