//! What is asked beside executions: what was learnt, what is missing, and the entries that have lists of their own; and holds,
//! which are placed and released.

use dualaudit_record::entry::Hold;
use reqwest::Method;
use serde_json::json;

use super::{ANSWER_BYTES, Client, ClientError};
use crate::{
    completeness::{Asked, Summary},
    learn::{Answer, Ask},
    query::{EntryPage, ListedEntry, Listing, Placed, Receipt},
};

impl Client {
    /// An answer of learning. The parameters are those of the API.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn learn<A: Ask>(&self, pairs: &[(String, String)]) -> Result<Answer<A::Answer>, ClientError> {
        self.ask(&["api", "v1", "learn", A::NAME], pairs).await
    }

    /// One page of gaps, what is in quarantine, purges, holds, or accesses, oldest first. The parameters are those of the API.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn entries(
        &self,
        listing: Listing,
        pairs: &[(String, String)],
    ) -> Result<EntryPage, ClientError> {
        self.ask(&["api", "v1", listing.name()], pairs).await
    }

    /// One of them in full.
    ///
    /// # Errors
    /// The problems `no-such-log` and `no-such-entry`, among others; see [`ClientError`].
    pub async fn entry(&self, listing: Listing, log: &str, index: u64) -> Result<ListedEntry, ClientError> {
        self.ask(&["api", "v1", listing.name(), log, &index.to_string()], &[]).await
    }

    /// Places a hold in these logs; without any, in every log there is, or of one execution in those that have it. Placed
    /// again, it answers with its first receipt.
    ///
    /// # Errors
    /// The problems `no-such-execution` and `no-such-log`, among others; see [`ClientError`].
    pub async fn hold(&self, hold: &Hold, logs: &[String]) -> Result<Placed, ClientError> {
        let mut said = serde_json::to_value(hold).map_err(ClientError::Unwritable)?;
        said["logs"] = json!(logs);
        let request = || self.request(Method::POST, &["api", "v1", "holds"]).json(&said);
        self.parsed(&self.patiently(request, ANSWER_BYTES).await?)
    }

    /// Releases the hold of an entry. Released again, it answers with its first receipt.
    ///
    /// # Errors
    /// The problems `no-such-log` and `no-such-entry`, among others; see [`ClientError`].
    pub async fn release(
        &self,
        log: &str,
        index: u64,
        reason: &str,
        actor: &str,
    ) -> Result<Receipt, ClientError> {
        let said = json!({ "reason": reason, "actor": actor });
        let path = ["api", "v1", "holds", log, &index.to_string(), "release"];
        let request = || self.request(Method::POST, &path).json(&said);
        self.parsed(&self.patiently(request, ANSWER_BYTES).await?)
    }

    /// What days amount to, and what is missing.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn digests(&self, log: Option<&str>, asked: Asked) -> Result<Summary, ClientError> {
        let named = log.map(|log| ("log".to_owned(), log.to_owned()));
        let days = [("since", asked.since), ("until", asked.until)];
        let days = days.into_iter().filter_map(|(name, day)| Some((name.to_owned(), day?.to_string())));
        self.ask(&["api", "v1", "digests"], &named.into_iter().chain(days).collect::<Vec<_>>()).await
    }
}
