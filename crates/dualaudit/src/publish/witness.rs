//! Witnesses: others who see each checkpoint, and cosign those that extend what they saw before
//! (C2SP `tlog-witness`, `tlog-cosignature`).

use std::{
    fmt::Write as _,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dualaudit_record::{
    checkpoint::{KeyRole, SignedCheckpoint, VerifierKey},
    digest::Digest,
    proof,
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use reqwest::Url;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::{metrics::Metrics, proof::Prover, store::SharedStore};

/// How long a witness may take to answer: a checkpoint waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long one that did not is left alone.
const PAUSE: Duration = Duration::from_secs(30);
/// The bytes of an answer, at most.
const ANSWER_BYTES: usize = 16 << 10;

/// Where a witness is, and the key it cosigns with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessAddress {
    /// Its submission prefix.
    pub url: Url,
    /// Its key, of type 4.
    pub key: VerifierKey,
}

impl FromStr for WitnessAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, key) = text.split_once('=').ok_or("must be URL=PUBLIC_KEY")?;
        let url: Url = url.parse().map_err(|error| format!("{url}: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(format!("{url}: must be an http or https URL"));
        }
        let key: VerifierKey = key.parse().map_err(|error| format!("the key of {url}: {error}"))?;
        if key.role() != KeyRole::Witness {
            return Err(format!("the key of {url}: is not one that cosigns (signature type 4)"));
        }
        Ok(Self { url, key })
    }
}

/// A witness, and what is known of it.
pub struct Witness {
    address: WitnessAddress,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    seen: Mutex<Seen>,
}

/// What a witness is known to have seen of the log.
#[derive(Clone, Copy, Default)]
struct Seen {
    size: u64,
    /// Not asked before then.
    rests_until: Option<Instant>,
}

impl Witness {
    /// A witness to ask.
    ///
    /// # Errors
    /// When no TLS can be set up.
    pub fn new(address: WitnessAddress) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { address, client, seen: Mutex::default() })
    }

    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_seen(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// The signature lines that it answers to a checkpoint.
    async fn ask(&self, checkpoint: &SignedCheckpoint, prover: &mut Prover) -> Result<String, String> {
        let size = checkpoint.head().size;
        let mut old = self.seen().size;
        // Once more, when it says that it has seen another size than was thought.
        for _ in 0..2 {
            let answer = match self.send(old, checkpoint, prover).await? {
                Answer::Lines(lines) => return Ok(lines),
                Answer::Seen(answer) => answer,
            };
            if answer > size {
                return Err(format!(
                    "it has seen {answer} entries of the log, which has {size} here: was the database rolled back?"
                ));
            }
            if answer == old {
                return Err(format!("it has seen another log of {old} entries under this origin"));
            }
            old = answer;
        }
        Err("others show it the same log at the same time".to_owned())
    }

    async fn send(
        &self,
        old: u64,
        checkpoint: &SignedCheckpoint,
        prover: &mut Prover,
    ) -> Result<Answer, String> {
        let (_, proof) = prover.consistency(old).await.map_err(|error| error.to_string())?;
        let mut url = self.address.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("add-checkpoint");
        }
        let body = Full::from(request(old, &proof, checkpoint));
        let request = Request::post(url.as_str()).body(body).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| chain(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let bytes = body.map_err(|error| format!("its answer cannot be read: {error}"))?.to_bytes();
        let text = str::from_utf8(&bytes).map_err(|_| "it answers something else than text".to_owned())?;
        match status {
            StatusCode::OK => Ok(Answer::Lines(text.to_owned())),
            StatusCode::CONFLICT => {
                let size = text.trim_end().parse();
                size.map(Answer::Seen).map_err(|_| "it answers 409 without the size it has seen".to_owned())
            }
            status => Err(format!("it answers {status}: {}", text.lines().next().unwrap_or_default())),
        }
    }
}

enum Answer {
    Lines(String),
    /// It has seen this size, and not the one that was named.
    Seen(u64),
}

/// The body of `add-checkpoint`.
fn request(old: u64, proof: &[Digest], checkpoint: &SignedCheckpoint) -> String {
    let mut body = format!("old {old}\n");
    for hash in proof {
        let _ = writeln!(body, "{}", BASE64_STANDARD.encode(hash.0));
    }
    body.push('\n');
    body.push_str(checkpoint.as_str());
    body
}

/// An error with what it comes of.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Asks all witnesses at once, and takes into the checkpoint what they answer in time.
pub(super) async fn cosign(
    witnesses: &[Witness],
    checkpoint: &mut SignedCheckpoint,
    store: &SharedStore,
    log: &str,
    metrics: &Metrics,
) {
    let head = proof::Head { size: checkpoint.head().size, root: checkpoint.head().root };
    // An unsigned one would be refused by all.
    if !checkpoint.is_signed() {
        return;
    }
    let signed = checkpoint.clone();
    let ask = async |witness: &Witness| {
        let is_resting = witness.seen().rests_until.is_some_and(|until| Instant::now() < until);
        if is_resting {
            return None;
        }
        let mut prover = Prover::of(store.clone(), log, head);
        let asked = tokio::time::timeout(PATIENCE, witness.ask(&signed, &mut prover)).await;
        let asked = asked.unwrap_or_else(|_| Err(format!("it does not answer within {PATIENCE:?}")));
        Some(asked)
    };
    let answers = futures::future::join_all(witnesses.iter().map(ask)).await;
    for (witness, answer) in witnesses.iter().zip(answers) {
        let WitnessAddress { url, key } = &witness.address;
        let trouble = match answer {
            None => continue,
            Some(Ok(lines)) if checkpoint.add_cosignature(&lines, key) => {
                witness.set_seen(Seen { size: head.size, rests_until: None });
                continue;
            }
            Some(Ok(_)) => "it answers no signature of its key".to_owned(),
            Some(Err(error)) => error,
        };
        metrics.witness_failures.inc();
        tracing::warn!(%url, key = key.name(), "a witness does not cosign: {trouble}");
        witness.set_seen(Seen { rests_until: Some(Instant::now() + PAUSE), ..witness.seen() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_named_by_its_url_and_its_key() {
        let random = [9; 32];
        let log: VerifierKey = dualaudit_record::checkpoint::SigningKey::secret_text("a.example", random)
            .unwrap()
            .parse::<dualaudit_record::checkpoint::SigningKey>()
            .unwrap()
            .public()
            .clone();
        for (text, says) in [
            ("https://w.example".to_owned(), "URL=PUBLIC_KEY"),
            (format!("ftp://w.example={log}"), "http or https"),
            (format!("https://w.example={log}"), "type 4"),
            ("https://w.example=a+b".to_owned(), "not a public key"),
        ] {
            let error = text.parse::<WitnessAddress>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
