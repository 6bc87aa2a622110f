//! A client of the HTTP API, with the types that it answers. The command line is made of it.
//!
//! # Guarantees
//! - What is asked or said again after a failure has no other effect than once: questions, and sending records, which
//!   answers what is there already with its first receipt. An amendment or a review is said once, and a failure is
//!   the caller's to judge.
//! - Everything is bounded: each try in time, the tries in number and in time, an answer in bytes.
//! - What the server refuses is a [`Problem`], with its type and members; see [`ClientError`].
//! - A token is sent to a server that is shown to be the one that was meant, or on this machine; see [`Access`].
//!
//! ```
//! # use std::sync::Arc;
//! # use dualaudit::{clock::{Clock as _, SystemClock}, http, ingest::Ingest, metrics::Metrics, store};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let store: store::SharedStore =
//! #     Arc::new(store::sqlite::SqliteStore::open(dir.path().join("audit.db"), store::sqlite::Options::default())?);
//! # let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new()));
//! # let opening = store::LogOpening {
//! #     log: "http".to_owned(),
//! #     owner: store::Owner::Producers,
//! #     origin: "audit.example/http".to_owned(),
//! #     secret: [7; 32],
//! #     now: clock.now(),
//! # };
//! # let ingest = Ingest::open(store.clone(), clock.clone(), opening, metrics.clone()).await?;
//! # let stopping = tokio::sync::watch::channel(false).1;
//! # let (doors, live) = (Vec::new(), None);
//! # let access = dualaudit::access::Access::Anonymous;
//! # let (trail, recording) = dualaudit::access::Trail::into_log(ingest.clone(), clock.clone());
//! # tokio::spawn(recording.run(std::future::pending()));
//! # let (producers, keeps_copies) = (vec![ingest], false);
//! # let api = http::Api { access, trail, store, live, producers, clock, metrics, doors, keeps_copies, stopping };
//! # let router = http::router(api);
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let server = format!("http://{}", listener.local_addr()?);
//! # tokio::spawn(http::serve(listener, router, std::future::pending()));
//! use dualaudit::{client::Client, query::Wanted};
//! use futures::TryStreamExt as _;
//!
//! let client = Client::new(&server)?; // such as "http://dualaudit.dualaudit:8080"
//! let record = serde_json::json!({
//!     "id": "run-1", "remediation_id": "rem-1", "workflow_name": "restart", "workflow_version": "v1",
//!     "total_steps": 0, "steps_completed": 0, "steps_failed": 0, "total_duration": 1_500_000_000,
//!     "rollbacks_performed": 0, "step_executions": null, "adaptive_adjustments": null,
//!     "completed_at": "2026-05-01T08:00:00Z", "status": "completed",
//! });
//! let recorded = client.record(None, &[record]).await?;
//! assert_eq!((recorded.receipts[0].index, recorded.refused.len()), (0, 0));
//!
//! // All that fit, page by page; the parameters are those of the API.
//! let failed = [("outcome".to_owned(), "failed".to_owned())];
//! let mut pages = std::pin::pin!(client.pages(&failed));
//! while let Some(page) = pages.try_next().await? {
//!     assert!(page.items.is_empty(), "it was a success");
//! }
//!
//! let wanted = Wanted { id: "run-2".to_owned(), log: None, attempt: None };
//! let problem = client.get(&wanted).await.unwrap_err().into_problem().expect("the server answers");
//! assert_eq!((problem.name(), problem.status), ("no-such-execution", 404));
//! # Ok(())
//! # }
//! ```

mod error;
mod executions;
mod export;
mod log;
mod questions;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod watch;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Method, RequestBuilder, Response, Url, header::AUTHORIZATION, redirect};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

pub use error::{ClientError, Problem};
pub use executions::{Recorded, Refused};
pub use export::Export;
pub use token::Token;
pub use watch::{Happening, Live, Watch};

/// The bytes of an answer, at most: a page and an execution end after 8 MiB of rows, each of which may have a whole
/// record more.
const ANSWER_BYTES: usize = 64 << 20;

/// The pause before the second try, which doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that a server may ask for: whoever is told to wait longer is told so instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a client waits, and how often it tries.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the server may take to take the connection.
    pub connect: Duration,
    /// How long one try may take, its answer included; after so long, no further one is begun either.
    pub answer: Duration,
    /// How long an export may bring nothing. It has no other bound: it may be long.
    pub silence: Duration,
    /// How often it is tried, the first included.
    pub tries: usize,
}

impl Default for Options {
    /// A server answers within 30 seconds, and looks for the next of what is exported for at most 300.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(40),
            silence: Duration::from_secs(300),
            tries: 4,
        }
    }
}

/// How a server is known, and as whom it is asked.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The authorities (PEM) that vouch for a server at https://; those of the platform unless given.
    pub authorities: Option<PathBuf>,
    /// What is sent with each request.
    pub token: Option<Token>,
    /// Whether it is sent over plain HTTP to another machine too, where anybody in between can read it.
    pub token_in_the_open: bool,
    /// Where the server is, if not where its name leads to: the name is what its certificate is for.
    pub address: Option<SocketAddr>,
}

/// A client of one server. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// With a time for each answer.
    answers: reqwest::Client,
    /// With a time for each chunk.
    streams: reqwest::Client,
    /// Without `/api/v1`.
    base: Url,
    token: Option<Token>,
    options: Options,
}

impl Client {
    /// Of a server, such as `http://127.0.0.1:8080`; a path before `/api` is kept.
    ///
    /// # Errors
    /// [`ClientError::NotAServer`].
    pub fn new(server: &str) -> Result<Self, ClientError> {
        Self::with(server, Options::default())
    }

    /// The same with other times.
    ///
    /// # Errors
    /// [`ClientError::NotAServer`].
    pub fn with(server: &str, options: Options) -> Result<Self, ClientError> {
        Self::reaching(server, &Access::default(), options)
    }

    /// The same as somebody.
    ///
    /// # Errors
    /// [`ClientError::NotAServer`]; also of a token that would go over plain HTTP to another machine.
    pub fn reaching(server: &str, access: &Access, options: Options) -> Result<Self, ClientError> {
        // What is before an @ is a password, or may be one.
        let shown = server.rsplit('@').next().unwrap_or_default().to_owned();
        let no_server = |why: String| ClientError::NotAServer { server: shown.clone(), why };
        let base: Url = server.parse().map_err(|error| no_server(format!("is no URL ({error})")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(no_server("must be http://HOST:PORT or https://HOST:PORT".to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(no_server(
                "has a user or a password in its URL: a server is shown a token".to_owned(),
            ));
        }
        let (is_encrypted, is_here) = (base.scheme() == "https", is_loopback(&base));
        if access.token.is_some() && !is_encrypted && !is_here && !access.token_in_the_open {
            return Err(no_server(
                "would be sent a token over plain HTTP, where anybody in between can read it: ask with https://, or \
                 say --insecure-token"
                    .to_owned(),
            ));
        }
        let tls = match is_encrypted {
            true => tls::config(access.authorities.as_deref()).map_err(no_server)?,
            false => tls::none(),
        };
        let common = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("dualaudit/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(options.connect)
                .tls_backend_preconfigured(tls.clone())
                // None of the API's answers is one: what is redirected is no dualaudit server.
                .redirect(redirect::Policy::none());
            match (base.host_str(), access.address) {
                (Some(name), Some(address)) => builder.resolve(name, address).no_proxy(),
                // What is on this machine is no proxy's to ask for, and no token there for one to read.
                _ if is_here => builder.no_proxy(),
                _ => builder,
            }
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| no_server(format!("cannot be asked ({error})")))
        };
        Ok(Self {
            answers: built(common().timeout(options.answer))?,
            streams: built(common().read_timeout(options.silence))?,
            base,
            token: access.token.clone(),
            options,
        })
    }

    /// The server as messages name it: without a path, and without what else a URL may hold.
    pub fn server(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// That the process lives. Asked once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn healthz(&self) -> Result<(), ClientError> {
        self.once(self.request(Method::GET, &["healthz"])).await.map(drop)
    }

    /// That its database answers. Asked once: it is now that is asked about.
    ///
    /// # Errors
    /// A problem when it does not; see [`ClientError`].
    pub async fn readyz(&self) -> Result<(), ClientError> {
        self.once(self.request(Method::GET, &["readyz"])).await.map(drop)
    }

    /// A path under the server's URL; each segment is escaped, so that an id may hold a slash.
    fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A request that is answered in time.
    fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.answers.request(method, self.at(segments))
    }

    /// The answer to a question, as JSON.
    async fn ask<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        pairs: &[(String, String)],
    ) -> Result<T, ClientError> {
        let asked = self.patiently(|| self.request(Method::GET, segments).query(pairs), ANSWER_BYTES).await?;
        self.parsed(&asked)
    }

    /// The body of a good answer to what may be sent again.
    async fn patiently(
        &self,
        request: impl Fn() -> RequestBuilder,
        most: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let begun = Instant::now();
        let pauses = ExponentialBuilder::new()
            .with_min_delay(FIRST_PAUSE)
            .with_max_times(self.options.tries.saturating_sub(1))
            .with_jitter();
        (async || self.body(request(), most).await)
            .retry(pauses)
            .when(|error| error.is_passing() && begun.elapsed() < self.options.answer)
            .adjust(pause)
            .await
    }

    /// The body of a good answer to what is sent once.
    async fn once(&self, request: RequestBuilder) -> Result<Vec<u8>, ClientError> {
        self.body(request, ANSWER_BYTES).await
    }

    async fn body(&self, request: RequestBuilder, most: usize) -> Result<Vec<u8>, ClientError> {
        let response = self.opened(request).await?;
        self.read(response, most).await
    }

    /// A good answer, of which only the head was read.
    async fn opened(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let request = match &self.token {
            None => request,
            Some(token) => {
                let no_token = |why| ClientError::NoToken { server: self.server(), why };
                request.header(AUTHORIZATION, token.header().await.map_err(no_token)?)
            }
        };
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let body = self.read(response, ANSWER_BYTES).await?;
        Err(Problem::read(&body, &headers).map_or_else(
            || ClientError::Unlike {
                server: self.server(),
                status: Some(status.as_u16()),
                why: format!("answers {status}"),
            },
            |problem| ClientError::Problem(Box::new(problem)),
        ))
    }

    async fn read(&self, mut response: Response, most: usize) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > most {
                return Err(self.unlike(format!("answers more than {most} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn parsed<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body)
            .map_err(|error| self.unlike(format!("answers unlike a dualaudit server: {error}")))
    }

    fn unlike(&self, why: String) -> ClientError {
        ClientError::Unlike { server: self.server(), status: None, why }
    }

    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        if let Some(why) = tls::distrust(&error) {
            return ClientError::Untrusted { server: self.server(), why };
        }
        // The URL may hold what was asked for, which is long and known.
        ClientError::Unreachable { server: self.server(), source: error.without_url() }
    }
}

/// Whether a URL leads to this machine (RFC 6761, section 6.3, of the name).
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// How long to wait before the next try: what the server says, and on top of it a pause of one's own, so that those who
/// are told the same do not come back together. `None`: not at all.
fn pause(error: &ClientError, own: Option<Duration>) -> Option<Duration> {
    let said = error.problem().and_then(|problem| problem.retry_after).unwrap_or_default();
    own.filter(|_| said <= LONGEST_PAUSE).map(|own| own + said)
}
