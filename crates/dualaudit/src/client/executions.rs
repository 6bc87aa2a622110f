//! Executions: found, recorded, amended, reviewed and proved.

use dualaudit_record::{Time, entry::Verdict, proof::Bundle};
use futures::{Stream, stream};
use reqwest::{Method, RequestBuilder, header};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ANSWER_BYTES, Client, ClientError, Problem};
use crate::query::{Erased, Found, Page, Receipt, Wanted};

const EXECUTIONS: [&str; 3] = ["api", "v1", "executions"];

/// What became of the records of one sending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// A receipt for each that is recorded, in the order sent.
    #[serde(default)]
    pub receipts: Vec<Receipt>,
    /// The others.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// A record that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its place among those sent, from 0.
    pub position: usize,
    /// Why.
    pub problem: Problem,
}

impl Client {
    /// One page of executions, newest first. The parameters are those of the API; a page ends early where its rows are
    /// large.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list(&self, pairs: &[(String, String)]) -> Result<Page, ClientError> {
        self.ask(&EXECUTIONS, pairs).await
    }

    /// All pages from the one on that the parameters ask for, each asked for when it is wanted. After an error there are
    /// no more.
    pub fn pages(&self, pairs: &[(String, String)]) -> impl Stream<Item = Result<Page, ClientError>> + Send {
        let next = Some(pairs.to_vec());
        stream::try_unfold(next, async |next| {
            let Some(mut pairs) = next else { return Ok(None) };
            let page = self.list(&pairs).await?;
            let next = page.next_cursor.clone().map(|cursor| {
                pairs.retain(|(name, _)| name != "cursor");
                pairs.push(("cursor".to_owned(), cursor));
                pairs
            });
            Ok(Some((page, next)))
        })
    }

    /// One execution in full.
    ///
    /// # Errors
    /// The problems `no-such-execution`, `purged` and `ambiguous-id`, among others; see [`ClientError`].
    pub async fn get(&self, wanted: &Wanted) -> Result<Found, ClientError> {
        self.ask(&[&EXECUTIONS[..], &[&wanted.id]].concat(), &which(wanted)).await
    }

    /// The object that it was recorded from: the bytes whose SHA-256 is its `source_digest`.
    ///
    /// # Errors
    /// As for [`Client::get`]; the problem `no-such-source` where there is none.
    pub async fn source(&self, wanted: &Wanted) -> Result<Vec<u8>, ClientError> {
        let path = [&EXECUTIONS[..], &[&wanted.id, "source"]].concat();
        let request = || self.request(Method::GET, &path).query(&which(wanted));
        self.patiently(request, ANSWER_BYTES).await
    }

    /// One execution with all that proves it, offline.
    ///
    /// # Errors
    /// As for [`Client::get`]; the problem `not-yet-signed` while no checkpoint covers it.
    pub async fn proof(&self, wanted: &Wanted) -> Result<Bundle, ClientError> {
        self.ask(&[&EXECUTIONS[..], &[&wanted.id, "proof"]].concat(), &which(wanted)).await
    }

    /// Records executions in this log of producers, or in the server's first: at most 20,000, in 8 MiB of JSON. What is accepted is recorded whatever becomes of the
    /// others. Sent again, also by this client after a failure, what is there already answers as a duplicate, with its
    /// first receipt.
    ///
    /// # Errors
    /// See [`ClientError`]. That records are refused is none, also where all are. Where the database went away, the
    /// problem's members hold the receipts so far.
    pub async fn record<T: Serialize>(
        &self,
        log: Option<&str>,
        records: &[T],
    ) -> Result<Recorded, ClientError> {
        let body = bytes::Bytes::from(serde_json::to_vec(records).map_err(ClientError::Unwritable)?);
        let request =
            || json_body(self.request(Method::POST, &EXECUTIONS).query(in_log(log).as_slice()), body.clone());
        match self.patiently(request, ANSWER_BYTES).await {
            Ok(answer) => self.parsed(&answer),
            Err(ClientError::Problem(problem)) if problem.name() == "all-refused" => {
                serde_json::from_value(problem.members.into())
                    .map_err(|error| self.unlike(format!("answers unlike a dualaudit server: {error}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Records an execution anew that is recorded already: `revision` is the latest that you know of. Said once: after
    /// a failure, [`Client::get`] shows whether it was recorded.
    ///
    /// # Errors
    /// The problem `stale-revision` where another came first; see [`ClientError`].
    pub async fn amend<T: Serialize>(
        &self,
        log: Option<&str>,
        record: &T,
        revision: u32,
    ) -> Result<Receipt, ClientError> {
        let body = serde_json::to_vec(record).map_err(ClientError::Unwritable)?;
        let request =
            self.request(Method::POST, &EXECUTIONS).query(in_log(log).as_slice()).query(&[("amend", "true")]);
        let request = request.header(header::IF_MATCH, revision);
        let Recorded { receipts, .. } = self.parsed(&self.once(json_body(request, body.into())).await?)?;
        receipts.into_iter().next().ok_or_else(|| self.unlike("answers without a receipt".to_owned()))
    }

    /// Records what somebody says of an execution. Said once: after a failure, [`Client::get`] shows whether it was
    /// recorded.
    ///
    /// # Errors
    /// As for [`Client::get`]; see [`ClientError`].
    pub async fn review(
        &self,
        wanted: &Wanted,
        verdict: Verdict,
        note: &str,
        actor: &str,
    ) -> Result<Receipt, ClientError> {
        let said = json!({ "verdict": verdict, "note": note, "actor": actor });
        let path = [&EXECUTIONS[..], &[&wanted.id, "reviews"]].concat();
        let request = self.request(Method::POST, &path).query(&which(wanted)).json(&said);
        self.parsed(&self.once(request).await?)
    }

    /// Keeps the resource of an execution for review until then, at least. Said again, it answers with its first receipt.
    ///
    /// # Errors
    /// As for [`Client::get`]; the problem `conflict`, with `until`, where its window is longer. See [`ClientError`].
    pub async fn extend(
        &self,
        wanted: &Wanted,
        until: Time,
        reason: &str,
        actor: &str,
    ) -> Result<Receipt, ClientError> {
        let said = json!({ "until": until, "reason": reason, "actor": actor });
        let path = [&EXECUTIONS[..], &[&wanted.id, "window"]].concat();
        let request = || self.request(Method::POST, &path).query(&which(wanted)).json(&said);
        self.parsed(&self.patiently(request, ANSWER_BYTES).await?)
    }

    /// Erases what is personal of all attempts of an execution. Erased already, it answers with the receipt of that.
    ///
    /// # Errors
    /// As for [`Client::get`]; the problem `conflict` where a hold covers it, or its resource is in its cluster. See
    /// [`ClientError`].
    pub async fn erase(
        &self,
        id: &str,
        log: Option<&str>,
        reason: &str,
        actor: &str,
    ) -> Result<Erased, ClientError> {
        let said = json!({ "reason": reason, "actor": actor });
        let path = [&EXECUTIONS[..], &[id, "erasures"]].concat();
        let request = || self.request(Method::POST, &path).query(in_log(log).as_slice()).json(&said);
        self.parsed(&self.patiently(request, ANSWER_BYTES).await?)
    }
}

fn json_body(request: RequestBuilder, body: bytes::Bytes) -> RequestBuilder {
    request.header(header::CONTENT_TYPE, "application/json").body(body)
}

fn in_log(log: Option<&str>) -> Option<(&str, &str)> {
    log.map(|log| ("log", log))
}

/// Which of those with the id, as parameters of the API.
fn which(wanted: &Wanted) -> Vec<(String, String)> {
    let log = wanted.log.iter().map(|log| ("log".to_owned(), log.clone()));
    let attempt = wanted.attempt.iter().map(|n| ("attempt".to_owned(), n.to_string()));
    log.chain(attempt).collect()
}
