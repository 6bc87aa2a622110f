//! Which database is meant, and opening it.

use std::{
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind, parser::ValueSource};

use crate::{
    clock::{Clock as _, SystemClock},
    doctor::{self, Check},
    store::{
        Owned, SharedStore, StoreError,
        postgres::{self, PostgresStore},
        sqlite::{self, SqliteStore},
    },
};

/// The database a command works on.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseArgs {
    /// The database, as sqlite:PATH or postgres://USER@HOST:PORT/NAME; without a password.
    ///
    /// Of PostgreSQL, ?sslmode= is disable, prefer (unless given), require or verify-full, and
    /// &sslrootcert= a file with the authorities that verify-full trusts.
    #[arg(
        long,
        env = "DUALAUDIT_DATABASE",
        default_value = "sqlite:dualaudit.db",
        value_name = "URL",
        hide_env_values = true,
        value_parser = Unrepeated
    )]
    pub database: Location,

    /// A file that holds PostgreSQL's password; without it, PGPASSWORD is looked at.
    #[arg(long, env = "DUALAUDIT_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// One file.
    Sqlite(PathBuf),
    /// A database of a server. Boxed: it is large.
    Postgres(Box<postgres::Location>),
}

/// What was done to a database that was maintained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintained {
    /// To a file.
    Sqlite(sqlite::Maintained),
    /// To a database of a server.
    Postgres(postgres::Maintained),
}

/// Without a password, as everywhere.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(location) => location.fmt(f),
        }
    }
}

impl FromStr for Location {
    type Err = String;

    // The text is not repeated in an error: it may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(Box::new(postgres::Location::parse(text)?)));
        }
        let Some(path) = text.strip_prefix("sqlite:") else {
            return Err("must be sqlite:PATH, such as sqlite:dualaudit.db, or postgres://HOST/NAME".into());
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
pub(super) struct Unrepeated;

impl TypedValueParser for Unrepeated {
    type Value = Location;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Location, clap::Error> {
        let parsed = value.to_str().ok_or_else(|| "is not UTF-8".to_owned()).and_then(str::parse);
        parsed.map_err(|rule| refused(command, argument, &rule))
    }

    /// What stands on the command line is seen by whoever lists processes: a password there is refused.
    fn parse_ref_(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<Location, clap::Error> {
        const VISIBLE: &str = "has a password, which whoever lists the processes of this machine can read there: put it \
            into a file and name that by --database-password-file, or into PGPASSWORD";
        let location = self.parse_ref(command, argument, value)?;
        match &location {
            Location::Postgres(there) if there.has_password() && source == ValueSource::CommandLine => {
                Err(refused(command, argument, VISIBLE))
            }
            _ => Ok(location),
        }
    }
}

fn refused(command: &Command, argument: Option<&Arg>, rule: &str) -> clap::Error {
    let named = argument.map_or_else(|| "--database <URL>".to_owned(), ToString::to_string);
    let what = format!("invalid value for '{named}': {rule}\n");
    clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(command)
}

impl DatabaseArgs {
    /// Opens the database for writing; creates it and brings its schema up to date. A PostgreSQL
    /// database is there already, and its schema is only changed by a role that may.
    ///
    /// # Errors
    /// Says which database could not be opened and why.
    pub async fn open(&self) -> anyhow::Result<SharedStore> {
        let opened = match &self.database {
            Location::Sqlite(path) => {
                off_the_async_threads(path, |path| SqliteStore::open(path, sqlite::Options::default()))
                    .await?
                    .map(shared)
            }
            Location::Postgres(location) => {
                let location = self.with_password(location)?;
                PostgresStore::open(&location, postgres::Options::default(), SystemClock.now())
                    .await
                    .map(shared)
            }
        };
        opened.with_context(|| format!("cannot open the database {}", self.database))
    }

    /// The same of a database that is there: what is misspelt is not created.
    ///
    /// # Errors
    /// Those of [`Self::open`]; also when there is no such file.
    pub async fn open_there(&self) -> anyhow::Result<SharedStore> {
        if let Location::Sqlite(path) = &self.database
            && !path.exists()
        {
            bail!("{}", no_database(&self.database));
        }
        self.open().await
    }

    /// The same for what is its owner's to do; with `writes` off, to look only.
    ///
    /// # Errors
    /// Those of [`Self::open_there`], or of [`Self::open_existing`].
    pub async fn open_owned(&self, writes: bool) -> anyhow::Result<Arc<dyn Owned>> {
        let opened: Result<Arc<dyn Owned>, StoreError> = match &self.database {
            Location::Sqlite(path) if !path.exists() => bail!("{}", no_database(&self.database)),
            Location::Sqlite(path) => {
                let options = sqlite::Options::default();
                let open = move |path: &Path| match writes {
                    true => SqliteStore::open(path, options),
                    false => SqliteStore::open_existing(path, options),
                };
                off_the_async_threads(path, open).await?.map(|store| Arc::new(store) as _)
            }
            Location::Postgres(location) => {
                let (location, options) = (self.with_password(location)?, postgres::Options::default());
                let opened = match writes {
                    true => PostgresStore::open(&location, options, SystemClock.now()).await,
                    false => PostgresStore::open_existing(&location, options).await,
                };
                opened.map(|store| Arc::new(store) as _)
            }
        };
        opened.with_context(|| format!("cannot open the database {}", self.database))
    }

    /// Opens a database that is there, for reading; changes nothing.
    ///
    /// # Errors
    /// Says which database could not be opened and why.
    pub async fn open_existing(&self) -> anyhow::Result<SharedStore> {
        let opened = match &self.database {
            Location::Sqlite(path) => {
                let open = |path: &Path| SqliteStore::open_existing(path, sqlite::Options::default());
                off_the_async_threads(path, open).await?.map(shared)
            }
            Location::Postgres(location) => {
                let location = self.with_password(location)?;
                PostgresStore::open_existing(&location, postgres::Options::default()).await.map(shared)
            }
        };
        opened.with_context(|| format!("cannot open the database {}", self.database))
    }

    /// Creates the database if it is a file, brings its schema up to date, does what else it needs of its
    /// owner, and lets the role `grant_to` do what `dualaudit run` does.
    ///
    /// # Errors
    /// Says which database could not be migrated and why.
    pub async fn migrate(&self, grant_to: Option<&str>) -> anyhow::Result<Option<postgres::Maintained>> {
        let migrated = match &self.database {
            Location::Sqlite(_) if grant_to.is_some() => {
                bail!("--grant-to is for PostgreSQL: files have no roles")
            }
            Location::Sqlite(path) => {
                off_the_async_threads(path, |path| sqlite::migrate(path)).await?.map(|()| None)
            }
            Location::Postgres(location) => {
                postgres::migrate(&self.with_password(location)?, SystemClock.now(), grant_to).await.map(Some)
            }
        };
        migrated.with_context(|| format!("cannot migrate the database {}", self.database))
    }

    /// Lets each role write its log alone, where roles are kept apart.
    ///
    /// # Errors
    /// A file, which has no roles; a role that is not there.
    pub async fn grant_logs(&self, grants: &[(String, String)]) -> anyhow::Result<()> {
        match &self.database {
            _ if grants.is_empty() => Ok(()),
            Location::Sqlite(_) => bail!("--grant-log is for PostgreSQL: files have no roles"),
            Location::Postgres(location) => {
                let granted = postgres::grant_logs(&self.with_password(location)?, grants).await;
                granted.with_context(|| format!("cannot grant logs of the database {}", self.database))
            }
        }
    }

    /// Writes a consistent copy of the database to a new file, where the database is one.
    ///
    /// # Errors
    /// A database that cannot be opened, or is a server's; a file that cannot be written.
    pub async fn backup(&self, file: &Path) -> anyhow::Result<()> {
        let Location::Sqlite(path) = &self.database else {
            bail!(
                "cannot write the backup {}: {} is a PostgreSQL database, whose backups are its server's: \
                 pg_basebackup with archived WAL, or pg_dump for a copy of this database alone",
                file.display(),
                self.database
            );
        };
        let open = |path: &Path| SqliteStore::open_existing(path, sqlite::Options::default());
        let store = off_the_async_threads(path, open)
            .await?
            .with_context(|| format!("cannot open the database {}", self.database))?;
        store.backup(file).await.with_context(|| format!("cannot write the backup {}", file.display()))
    }

    /// Does what the database needs from time to time.
    ///
    /// # Errors
    /// Says which database it could not be done to and why.
    pub async fn maintain(&self) -> anyhow::Result<Maintained> {
        let maintained = match &self.database {
            Location::Sqlite(path) => {
                off_the_async_threads(path, |path| sqlite::maintain(path)).await?.map(Maintained::Sqlite)
            }
            Location::Postgres(location) => {
                let location = self.with_password(location)?;
                postgres::maintain(&location, SystemClock.now()).await.map(Maintained::Postgres)
            }
        };
        maintained.with_context(|| format!("cannot maintain the database {}", self.database))
    }

    /// Looks at the database, and says how it is with it; changes nothing.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub async fn examine(&self) -> anyhow::Result<Vec<Check>> {
        let seen = match &self.database {
            Location::Sqlite(path) => off_the_async_threads(path, |path| sqlite::observe(path))
                .await?
                .map(|seen| doctor::database::of_a_file(&seen)),
            Location::Postgres(location) => {
                let location = self.with_password(location)?;
                let seen = postgres::observe(&location, &SystemClock).await;
                seen.map(|seen| doctor::database::of_a_server(&seen))
            }
        };
        Ok(seen.unwrap_or_else(|error| vec![doctor::database::unreachable(&error)]))
    }

    /// Where the server is with the password to it; nothing for a file.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub fn server(&self) -> anyhow::Result<Option<postgres::Location>> {
        match &self.database {
            Location::Sqlite(_) => Ok(None),
            Location::Postgres(location) => self.with_password(location).map(Some),
        }
    }

    /// The location with the password from where passwords are kept.
    pub(super) fn with_password(&self, location: &postgres::Location) -> anyhow::Result<postgres::Location> {
        let location = location.clone();
        if let Some(file) = &self.database_password_file {
            let password = fs::read_to_string(file)
                .with_context(|| format!("cannot read --database-password-file {}", file.display()))?;
            return Ok(location.with_password(password.trim_end_matches(['\r', '\n'])));
        }
        Ok(match std::env::var("PGPASSWORD") {
            Ok(password) if !location.has_password() => location.with_password(password),
            _ => location,
        })
    }
}

/// That there is no such file, and what to do.
fn no_database(database: &Location) -> String {
    format!(
        "there is no database {database}: name the file that `dualaudit run` writes, or make one by `dualaudit migrate`"
    )
}

fn shared(store: impl crate::store::Store) -> SharedStore {
    Arc::new(store)
}

/// Opening a file waits for locks and migrates.
pub(super) async fn off_the_async_threads<T: Send + 'static>(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<T, StoreError> + Send + 'static,
) -> anyhow::Result<Result<T, StoreError>> {
    let path = path.to_owned();
    Ok(tokio::task::spawn_blocking(move || open(&path)).await?)
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
            "postgres://me:hunter2@db/x?sslmode=hunter2",
            "postgresql://me:hunter2@db:hunter2",
            "hunter2",
            "sqlite:",
            "sqlite://hunter2",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let location: Location = "postgres://me:hunter2@db/audit".parse().unwrap();
        let args = DatabaseArgs { database: location.clone(), database_password_file: None };
        assert_eq!(location.to_string(), "postgres://me@db:5432/audit");
        assert!(!format!("{args:?}").contains("hunter2"));
    }

    #[test]
    fn the_file_of_the_password_goes_before_the_url() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, "from the file\n").unwrap();
        let Location::Postgres(location) = "postgres://me:url@db/audit".parse().unwrap() else { panic!() };
        let mut args =
            DatabaseArgs { database: Location::Postgres(location.clone()), database_password_file: None };
        assert_eq!(args.with_password(&location).unwrap(), *location);
        args.database_password_file = Some(file);
        let expected = (*location).clone().with_password("from the file");
        assert_eq!(args.with_password(&location).unwrap(), expected);
        args.database_password_file = Some(dir.path().join("missing"));
        assert!(args.with_password(&location).unwrap_err().to_string().contains("missing"));
    }
}
