//! Where readers read: a server, or a database directly. The commands don't care.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::{Client, Url};
use serde::{Deserialize, de::DeserializeOwned};

use super::database::DatabaseArgs;
use crate::{
    clock::{Clock, SystemClock},
    completeness::{self, Asked, Summary},
    learn::{self, Answer, Ask},
    query::{self, EntriesRequest, EntryPage, Found, ListRequest, ListedEntry, Listing, Page, Sides, Wanted},
    store::SharedStore,
};

/// Longer than a server takes at most for a request.
const PATIENCE: Duration = Duration::from_secs(40);
const CONNECT: Duration = Duration::from_secs(5);

/// Where a command reads.
#[derive(Clone, Debug, clap::Args)]
pub struct ReaderArgs {
    /// A dualaudit server, such as http://127.0.0.1:8080; comes before --database.
    #[arg(long, env = "DUALAUDIT_SERVER", hide_env_values = true, value_name = "URL")]
    pub server: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its own fields say it")]
    pub database: DatabaseArgs,
}

/// Reads from a server or a database.
pub enum Reader {
    /// Over HTTP.
    Server {
        /// With timeouts.
        client: Client,
        /// Without `/api/v1`.
        base: Url,
    },
    /// Directly.
    Database(SharedStore),
}

impl ReaderArgs {
    /// Whether they name a server.
    pub fn is_server(&self) -> bool {
        self.server.as_deref().is_some_and(|server| !server.is_empty())
    }

    /// Opens what the flags name.
    ///
    /// # Errors
    /// An unusable URL; a database that is not there or cannot be read.
    pub async fn open(&self) -> anyhow::Result<Reader> {
        let Some(server) = self.server.as_deref().filter(|server| !server.is_empty()) else {
            return Ok(Reader::Database(self.database.open_existing().await?));
        };
        let base: Url = server.parse().with_context(|| format!("--server {server} is no URL"))?;
        if base.scheme() != "http" || base.cannot_be_a_base() {
            bail!("--server {server}: must be http://HOST:PORT; https is not in this version");
        }
        let client = Client::builder().timeout(PATIENCE).connect_timeout(CONNECT).build()?;
        Ok(Reader::Server { client, base })
    }
}

impl Reader {
    /// One page; `pairs` are the API's parameters.
    ///
    /// # Errors
    /// [`crate::parameter::BadParameter`] for what is asked wrongly; else what could not be reached and why.
    pub async fn list(&self, pairs: &[(String, String)]) -> anyhow::Result<Page> {
        // Asked wrongly is told the same way on both paths.
        let request = ListRequest::parse(pairs, SystemClock.now())?;
        match self {
            Self::Database(store) => {
                Ok(query::list(Sides { store: store.as_ref(), live: None }, &request).await?)
            }
            Self::Server { client, base } => {
                fetch(client, at(base, &["api", "v1", "executions"]), pairs).await
            }
        }
    }

    /// One execution in full.
    ///
    /// # Errors
    /// That there is none like that, or several; else what could not be reached and why.
    pub async fn get(&self, wanted: &Wanted) -> anyhow::Result<Found> {
        match self {
            Self::Database(store) => {
                Ok(query::get(Sides { store: store.as_ref(), live: None }, wanted).await?)
            }
            Self::Server { client, base } => {
                let log = wanted.log.iter().map(|log| ("log".to_owned(), log.clone()));
                let attempt = wanted.attempt.iter().map(|n| ("attempt".to_owned(), n.to_string()));
                let pairs: Vec<_> = log.chain(attempt).collect();
                fetch(client, at(base, &["api", "v1", "executions", &wanted.id]), &pairs).await
            }
        }
    }
}

impl Reader {
    /// One page of gaps, what is in quarantine, or purges; `pairs` are the API's parameters.
    ///
    /// # Errors
    /// [`crate::parameter::BadParameter`] for what is asked wrongly; that there is no such log; else what could not be
    /// reached and why.
    pub async fn entries(&self, listing: Listing, pairs: &[(String, String)]) -> anyhow::Result<EntryPage> {
        let request = EntriesRequest::parse(listing, pairs)?;
        match self {
            Self::Database(store) => Ok(query::entries(store.as_ref(), &request).await?),
            Self::Server { client, base } => {
                fetch(client, at(base, &["api", "v1", listing.name()]), pairs).await
            }
        }
    }

    /// One of them in full.
    ///
    /// # Errors
    /// That there is no such one; else what could not be reached and why.
    pub async fn entry(&self, listing: Listing, log: &str, index: u64) -> anyhow::Result<ListedEntry> {
        match self {
            Self::Database(store) => Ok(query::entry(store.as_ref(), listing, log, index).await?),
            Self::Server { client, base } => {
                let url = at(base, &["api", "v1", listing.name(), log, &index.to_string()]);
                fetch(client, url, &[]).await
            }
        }
    }

    /// What days amount to, and what is missing.
    ///
    /// # Errors
    /// That there is no such log; else what could not be reached and why.
    pub async fn digests(&self, log: Option<&str>, asked: Asked) -> anyhow::Result<Summary> {
        match self {
            Self::Database(store) => {
                Ok(completeness::summary(store.as_ref(), log, asked, SystemClock.now()).await?)
            }
            Self::Server { client, base } => {
                let named = log.map(|log| ("log".to_owned(), log.to_owned()));
                let days = [("since", asked.since), ("until", asked.until)];
                let days =
                    days.into_iter().filter_map(|(name, day)| Some((name.to_owned(), day?.to_string())));
                let pairs: Vec<_> = named.into_iter().chain(days).collect();
                fetch(client, at(base, &["api", "v1", "digests"]), &pairs).await
            }
        }
    }
}

impl Reader {
    /// An answer of learning; `pairs` are the API's parameters.
    ///
    /// # Errors
    /// [`crate::learn::Unanswerable`] for what is asked wrongly; that there is no such log; else what could not be
    /// reached and why.
    pub async fn learn<A: Ask>(&self, pairs: &[(String, String)]) -> anyhow::Result<Answer<A::Answer>> {
        let now = SystemClock.now();
        let asked = A::parse(pairs, now)?;
        match self {
            Self::Database(store) => Ok(learn::ask(store.as_ref(), &asked, now).await?),
            Self::Server { client, base } => {
                fetch(client, at(base, &["api", "v1", "learn", A::NAME]), pairs).await
            }
        }
    }
}

/// A path under the server's URL; each segment is escaped, so that an id may hold a slash.
pub(super) fn at(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

pub(super) async fn fetch<T: DeserializeOwned>(
    client: &Client,
    url: Url,
    pairs: &[(String, String)],
) -> anyhow::Result<T> {
    let host = url.origin().ascii_serialization();
    let unreachable = || format!("no answer from the server {host}");
    let response = client.get(url).query(pairs).send().await.with_context(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.with_context(unreachable)?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .with_context(|| format!("{host} answers unlike a dualaudit server"));
    }
    Err(problem(&body).unwrap_or_else(|| anyhow!("the server {host} answers {status}")))
}

/// What a problem document says, for people.
pub(super) fn problem(body: &[u8]) -> Option<anyhow::Error> {
    #[derive(Deserialize)]
    struct Said {
        title: String,
        status: u16,
        detail: String,
    }
    let Said { title, status, detail } = serde_json::from_slice(body).ok()?;
    // What was asked wrongly is said by the detail alone; what is wrong with the server is not.
    Some(if status < 500 { anyhow!("{detail}") } else { anyhow!("the server: {title}. {detail}") })
}
