//! Where readers read: a server, or a database directly. The commands don't care.

use anyhow::Context as _;

use super::database::DatabaseArgs;
use crate::{
    client::Client,
    clock::{Clock, SystemClock},
    completeness::{self, Asked, Summary},
    learn::{self, Answer, Ask},
    query::{self, EntriesRequest, EntryPage, Found, ListRequest, ListedEntry, Listing, Page, Sides, Wanted},
    store::SharedStore,
};

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
    Server(Client),
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
        Ok(Reader::Server(Client::new(server).context("--server")?))
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
            Self::Server(client) => Ok(client.list(pairs).await?),
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
            Self::Server(client) => Ok(client.get(wanted).await?),
        }
    }

    /// The object that it was recorded from.
    ///
    /// # Errors
    /// As for [`Reader::get`]; that there is none, and why.
    pub async fn source(&self, wanted: &Wanted) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Database(store) => {
                Ok(query::source(Sides { store: store.as_ref(), live: None }, wanted).await?)
            }
            Self::Server(client) => Ok(client.source(wanted).await?),
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
            Self::Server(client) => Ok(client.entries(listing, pairs).await?),
        }
    }

    /// One of them in full.
    ///
    /// # Errors
    /// That there is no such one; else what could not be reached and why.
    pub async fn entry(&self, listing: Listing, log: &str, index: u64) -> anyhow::Result<ListedEntry> {
        match self {
            Self::Database(store) => Ok(query::entry(store.as_ref(), listing, log, index).await?),
            Self::Server(client) => Ok(client.entry(listing, log, index).await?),
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
            Self::Server(client) => Ok(client.digests(log, asked).await?),
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
            Self::Server(client) => Ok(client.learn::<A>(pairs).await?),
        }
    }
}
