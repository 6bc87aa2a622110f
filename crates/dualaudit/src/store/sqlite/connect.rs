//! Opens connections with the settings the promises rest on.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use deadpool_sqlite::{Config, Hook, HookError, Pool, PoolConfig, Runtime, Timeouts};
use rusqlite::{Connection, OpenFlags};

use super::{
    Options,
    error::{Error, Result},
    filesystem, migrate,
};
use crate::store::StoreError;

/// WAL pages before a commit copies them into the database file: about 80 MiB. Checkpoints write
/// each page once however often it changed, so rarer ones write less.
const CHECKPOINT_PAGES: u32 = 20_000;

/// Page cache of one reader, in KiB.
const READER_CACHE_KIB: i32 = 2 * 1024;

/// Connections that answer questions at the same time.
pub(super) const READERS: usize = 4;

/// Connections for what the work itself depends on, so that no question keeps it waiting.
pub(super) const RESERVED: usize = 2;

/// How long a reader may wait for one of them.
const READER_WAIT: Duration = Duration::from_secs(30);

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 64;

/// Opens the file for the writer, creates and migrates it.
pub(super) fn writer(file: &Path, options: &Options) -> Result<Connection> {
    refuse_what_is_no_file(file)?;
    filesystem::refuse_network(file)?;
    if !file.exists() {
        // Whoever came first has created it, and why it cannot be created is said by opening it.
        let _ = create_private(file);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Before anything is set: journal_mode is a change of the file.
    migrate::check(&connection)?;
    let journal: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    let cache = i32::try_from(options.cache_mib.saturating_mul(1024)).unwrap_or(i32::MAX);
    for (pragma, value) in [
        ("synchronous", 2),
        ("foreign_keys", 1),
        // What is deleted is overwritten: what was erased, or tracked once, is in no page that was freed.
        ("secure_delete", 1),
        ("cache_size", -cache),
        ("wal_autocheckpoint", i32::try_from(CHECKPOINT_PAGES).unwrap_or(i32::MAX)),
        ("temp_store", 2),
        ("mmap_size", 0),
    ] {
        // Some of these answer with the value that now holds.
        connection.pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(no_answer)?;
    }
    let synchronous: i32 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if journal != "wal" || synchronous != 2 {
        return Err(StoreError::Unavailable(format!(
            "{} cannot promise durability: journal_mode is {journal} (wal is needed), synchronous is \
             {synchronous} (2 is needed); put it on a local file system",
            file.display()
        ))
        .into());
    }
    migrate::migrate(&mut connection)?;
    migrate::check_unaltered(&connection)?;
    Ok(connection)
}

/// Creates an empty file that only this user may read, as it will hold the secrets of logs. What
/// SQLite keeps beside a database takes its mode.
///
/// # Errors
/// Also when there is a file of that name.
pub(super) fn create_private(file: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map(drop)
}

/// Checks that the file is there, is ours and needs no migration. Changes nothing.
pub(super) fn check_existing(file: &Path, options: &Options) -> Result<()> {
    refuse_what_is_no_file(file)?;
    if !file.exists() {
        return Err(StoreError::Unavailable(format!(
            "there is no database {}: name the file that `dualaudit run` writes",
            file.display()
        ))
        .into());
    }
    filesystem::refuse_network(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    migrate::check(&connection)?.require_latest()
}

/// A pool of `size` connections that can only read. They are opened when they are needed.
pub(super) fn readers(file: &Path, options: &Options, size: usize) -> Result<Pool> {
    let busy_timeout = options.busy_timeout;
    let mut pool = PoolConfig::new(size);
    pool.timeouts = Timeouts { wait: Some(READER_WAIT), ..Timeouts::default() };
    let config = Config { path: read_only_uri(file), pool: Some(pool) };
    let prepare = Hook::async_fn(move |connection, _| {
        Box::pin(async move {
            connection
                .interact(move |connection| {
                    connection.busy_timeout(busy_timeout)?;
                    connection.set_prepared_statement_cache_capacity(STATEMENTS);
                    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
                    connection.pragma_update(None, "temp_store", 2)
                })
                .await
                .map_err(|error| HookError::message(error.to_string()))?
                .map_err(HookError::Backend)
        })
    });
    let Ok(builder) = config.builder(Runtime::Tokio1);
    builder
        .post_create(prepare)
        .build()
        .map_err(|error| Error::Store(StoreError::Unavailable(format!("no pool of readers: {error}"))))
}

/// The file as an SQLite URI that neither creates nor writes it.
fn read_only_uri(file: &Path) -> PathBuf {
    use std::fmt::Write as _;
    let mut uri = String::from("file:");
    for &byte in file.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?mode=ro");
    PathBuf::from(uri)
}

/// Refuses a directory, and what is in memory alone.
pub(super) fn refuse_what_is_no_file(file: &Path) -> Result<()> {
    if file.is_dir() {
        return Err(StoreError::Unavailable(format!(
            "{} is a directory: name a file in it, such as {}",
            file.display(),
            file.join("dualaudit.db").display()
        ))
        .into());
    }
    if file.as_os_str().is_empty() || file.as_os_str() == ":memory:" {
        return Err(StoreError::Unavailable(
            "a database in memory would lose what it acknowledged: name a file".to_owned(),
        )
        .into());
    }
    Ok(())
}

fn no_answer(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        error => Err(error),
    }
}
