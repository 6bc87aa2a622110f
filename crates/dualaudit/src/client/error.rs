//! What can go wrong between a client and a server.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Why there is no answer, or another than was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server says what is wrong: with what was asked, or with itself.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Nothing came, or less than all of it.
    #[error("no answer from the server {server}")]
    Unreachable {
        /// Which.
        server: String,
        /// What happened to the connection.
        source: reqwest::Error,
    },
    /// What came is nothing that a dualaudit server answers: another program is there, or another version, or
    /// something between.
    #[error("the server {server} {why}")]
    Unlike {
        /// Which.
        server: String,
        /// The status, of what is no success.
        status: Option<u16>,
        /// What came.
        why: String,
    },
    /// It is not shown to be the server that was meant: nothing was asked.
    #[error("the server {server} {why}")]
    Untrusted {
        /// Which.
        server: String,
        /// What is wrong with its certificate, and what to do.
        why: String,
    },
    /// There is a token to send, and it cannot be had at present.
    #[error("no token for the server {server}: {why}")]
    NoToken {
        /// Which.
        server: String,
        /// Why, without the token.
        why: String,
    },
    /// No server can be at this URL.
    #[error("{server} {why}")]
    NotAServer {
        /// As it was given.
        server: String,
        /// What it must be.
        why: String,
    },
    /// What was to be sent has no form in JSON.
    #[error("a record cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl ClientError {
    /// What the server says, if it does.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// The same, for keeps.
    pub fn into_problem(self) -> Option<Problem> {
        match self {
            Self::Problem(problem) => Some(*problem),
            _ => None,
        }
    }

    /// Whether it may be over when the same is sent again: there was no answer, or the server is busy or not ready.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Problem(problem) => matches!(problem.status, 429 | 503),
            Self::Unreachable { .. } => true,
            // Said by what stands before a server that is down.
            Self::Unlike { status, .. } => matches!(status, Some(429 | 502..=504)),
            Self::Untrusted { .. } | Self::NoToken { .. } | Self::NotAServer { .. } | Self::Unwritable(_) => {
                false
            }
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that stays what it is; see [`Problem::name`].
    #[serde(rename = "type")]
    pub uri: String,
    /// What its type is called.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do about it.
    pub detail: String,
    /// What is said beside, such as the `field` and the `rule` of a record that breaks one.
    #[serde(flatten)]
    pub members: Map<String, Value>,
    /// How long to wait before the same is sent again, where the server says so.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// The last part of its type, such as `no-such-execution`.
    pub fn name(&self) -> &str {
        self.uri.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn read(body: &[u8], headers: &HeaderMap) -> Option<Self> {
        let problem: Self = serde_json::from_slice(body).ok()?;
        let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Some(Self { retry_after: said.map(Duration::from_secs), ..problem })
    }
}

/// What was asked wrongly is said by the detail alone; what is wrong with the server is not.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { title, status, detail, .. } = self;
        if *status < 500 { f.write_str(detail) } else { write!(f, "the server: {title}. {detail}") }
    }
}
