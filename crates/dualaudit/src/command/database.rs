//! Which database is meant, and opening it.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::Context;
use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};

use crate::store::{
    SharedStore, StoreError,
    sqlite::{Options, SqliteStore},
};

/// The database a command works on.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseArgs {
    /// The database, as sqlite:PATH.
    #[arg(
        long,
        env = "DUALAUDIT_DATABASE",
        default_value = "sqlite:dualaudit.db",
        value_name = "URL",
        hide_env_values = true,
        value_parser = Unrepeated
    )]
    pub database: Location,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// One file.
    Sqlite(PathBuf),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl FromStr for Location {
    type Err = String;

    // The text is not repeated in an error: it may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Err("PostgreSQL is not in this version; use sqlite:PATH".into());
        }
        let Some(path) = text.strip_prefix("sqlite:") else {
            return Err("must be sqlite:PATH, such as sqlite:dualaudit.db".into());
        };
        // `sqlite://host/…` is how other programs write it, and would become a path from the root.
        if path.starts_with("//") && !path.starts_with("///") {
            return Err("must be sqlite:PATH; write sqlite:relative/path or sqlite:/absolute/path".into());
        }
        if path.is_empty() {
            return Err("names no file; write sqlite:PATH".into());
        }
        Ok(Self::Sqlite(path.into()))
    }
}

/// Parses a [`Location`] without repeating what was given, as clap's own errors do: it may hold a
/// password.
#[derive(Clone, Debug)]
struct Unrepeated;

impl TypedValueParser for Unrepeated {
    type Value = Location;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Location, clap::Error> {
        let parsed = value.to_str().ok_or_else(|| "is not UTF-8".to_owned()).and_then(str::parse);
        parsed.map_err(|rule| {
            let what = format!("invalid value for '--database <URL>': {rule}\n");
            clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(command)
        })
    }
}

impl DatabaseArgs {
    /// Opens the database for writing; creates it and brings its schema up to date.
    ///
    /// # Errors
    /// Says which database could not be opened and why.
    pub async fn open(&self) -> anyhow::Result<SharedStore> {
        self.with(|path| SqliteStore::open(path, Options::default())).await
    }

    /// Opens a database that is there, for reading; changes nothing.
    ///
    /// # Errors
    /// Says which database could not be opened and why.
    pub async fn open_existing(&self) -> anyhow::Result<SharedStore> {
        self.with(|path| SqliteStore::open_existing(path, Options::default())).await
    }

    /// Opening waits for locks and migrates, so it stays off the async threads.
    async fn with(
        &self,
        open: impl FnOnce(&Path) -> Result<SqliteStore, StoreError> + Send + 'static,
    ) -> anyhow::Result<SharedStore> {
        let Location::Sqlite(path) = self.database.clone();
        let store = tokio::task::spawn_blocking(move || open(&path)).await?;
        Ok(Arc::new(store.with_context(|| format!("cannot open the database {}", self.database))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_its_scheme_and_path() {
        assert_eq!("sqlite:a/b.db".parse(), Ok(Location::Sqlite("a/b.db".into())));
        assert_eq!("sqlite:/a.db".parse(), Ok(Location::Sqlite("/a.db".into())));
        assert_eq!("sqlite:///a.db".parse(), Ok(Location::Sqlite("/a.db".into())));
    }

    #[test]
    fn what_is_no_database_is_refused_and_its_password_not_repeated() {
        for text in [
            "postgres://me:hunter2@db/x",
            "postgresql://me:hunter2@db",
            "hunter2",
            "sqlite:",
            "sqlite://hunter2",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = "postgres://db".parse::<Location>().unwrap_err();
        insta::assert_snapshot!(error, @"PostgreSQL is not in this version; use sqlite:PATH");
    }
}
