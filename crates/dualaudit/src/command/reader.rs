//! Where readers read: a server, or a database directly. The commands don't care.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;

use super::database::DatabaseArgs;
use crate::{
    client::{Access, Client, ClientError, Options, Token},
    clock::{Clock, SystemClock},
    completeness::{self, Asked, Summary},
    learn::{self, Answer, Ask},
    query::{self, EntriesRequest, EntryPage, Found, ListRequest, ListedEntry, Listing, Page, Sides, Wanted},
    store::SharedStore,
};

/// Where a command reads.
#[derive(Clone, Debug, clap::Args)]
pub struct ReaderArgs {
    /// A dualaudit server, such as http://127.0.0.1:8080 or https://audit.example; comes before --database, but
    /// where the environment names it and the command line a database.
    #[arg(long, env = "DUALAUDIT_SERVER", hide_env_values = true, value_name = "URL")]
    pub server: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its own fields say it")]
    pub access: AccessArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its own fields say it")]
    pub database: DatabaseArgs,
}

/// How the server is known, and as whom it is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct AccessArgs {
    /// The authorities (PEM) that vouch for a server at https:// [default: those of the platform]
    #[arg(long, env = "DUALAUDIT_SERVER_CA", value_name = "FILE")]
    pub server_ca: Option<PathBuf>,

    /// A file that holds the bearer token to show to the server, read again at each request; without it,
    /// DUALAUDIT_TOKEN is looked at.
    #[arg(long, env = "DUALAUDIT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Send the token over plain HTTP to another machine, too, where anybody in between can read it.
    #[arg(long)]
    pub insecure_token: bool,

    /// What kubectl's configuration says of it.
    #[arg(skip)]
    pub(super) found: FoundAccess,
}

/// What is known of a server that was found in a cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct FoundAccess {
    /// Where it is.
    pub(super) address: Option<SocketAddr>,
    /// As whom it is asked, unless somebody else is named.
    pub(super) token: Option<Token>,
}

impl AccessArgs {
    /// Whether they say as whom.
    pub(super) fn names_a_token(&self) -> bool {
        self.token_file.is_some() || said_token().is_some()
    }

    /// What is known of the server.
    ///
    /// # Errors
    /// A token that is none.
    fn access(&self) -> anyhow::Result<Access> {
        let token = match (&self.token_file, said_token()) {
            (Some(file), _) => Some(Token::file(file.clone())),
            (None, Some(text)) => {
                Some(Token::text(&text).map_err(|why| anyhow::anyhow!("DUALAUDIT_TOKEN: {why}"))?)
            }
            (None, None) => self.found.token.clone(),
        };
        Ok(Access {
            authorities: self.server_ca.clone(),
            token,
            token_in_the_open: self.insecure_token,
            address: self.found.address,
        })
    }
}

/// The token in the environment: arguments can be seen by others.
fn said_token() -> Option<String> {
    std::env::var("DUALAUDIT_TOKEN").ok().filter(|text| !text.is_empty())
}

/// What to do where a server does not let somebody in.
pub(super) fn what_to_do(error: &ClientError) -> Option<&'static str> {
    let problem = error.problem()?;
    Some(match problem.status {
        401 => {
            "show the server a token: --token-file FILE or DUALAUDIT_TOKEN, such as one that `kubectl create token ACCOUNT` \
             prints"
        }
        403 if problem.name() == "forbidden" => {
            "ask whoever administers the cluster for a role of deploy/ that allows it (docs/access.md)"
        }
        _ => return None,
    })
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
        let client = Client::reaching(server, &self.access.access()?, Options::default());
        Ok(Reader::Server(client.context("--server")?))
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
    /// One page of gaps, what is in quarantine, purges, holds, or accesses; `pairs` are the API's parameters.
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
