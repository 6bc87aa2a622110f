//! Files that are locked, full, read-only, damaged, somebody else's or not there.

use std::{fs, path::Path, time::Duration};

use dualaudit_record::WorkflowExecutionAudit;
use rusqlite::Connection;

use super::{
    super::{backup, maintain::maintain, migrate},
    Fresh, Options, SqliteStore, fresh,
};
use crate::store::{
    Filter, Store as _, StoreError, StoredBody, Which,
    conformance::{
        check::check_log,
        sample::{
            LOG, append, at, batch, from_producer, from_resource, hold, open, quarantine, record, stored,
        },
    },
};

const IMPATIENT: Options =
    Options { cache_mib: 1, busy_timeout: Duration::from_millis(20), question_limit: None };

fn file(store: &Fresh) -> std::path::PathBuf {
    store.directory.path().join("audit.db")
}

fn both_ways(file: &Path) -> [Result<SqliteStore, StoreError>; 2] {
    [SqliteStore::open(file, Options::default()), SqliteStore::open_existing(file, Options::default())]
}

fn sentence(error: StoreError, kind: fn(&StoreError) -> bool, parts: &[&str]) {
    assert!(kind(&error), "{error:?}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part:?} in: {error}");
    }
}

fn unavailable(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_))
}

fn corrupt(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt(_))
}

fn unsupported(error: &StoreError) -> bool {
    matches!(error, StoreError::Unsupported(_))
}

#[tokio::test]
async fn what_is_reopened_goes_on_where_it_ended() {
    let first = fresh();
    open(&*first, LOG).await;
    append(&*first, (0..300).map(|n| from_resource(record(&n.to_string())))).await;
    let again = SqliteStore::open(file(&first), Options::default()).unwrap();
    // Each finds that the other has moved the head, and does not trust the tree it kept.
    for n in 0..4 {
        let store = if n % 2 == 0 { &again } else { &first.store };
        assert_eq!(stored(store, from_resource(record(&format!("new-{n}")))).await.index, 300 + n);
    }
    assert_eq!(check_log(&again, LOG).await.len(), 304);
    migrate(file(&first)).unwrap();
}

#[tokio::test]
async fn a_locked_file_is_unavailable_until_it_is_free() {
    let store = fresh();
    let store = Fresh { store: SqliteStore::open(file(&store), IMPATIENT).unwrap(), ..store };
    open(&*store, LOG).await;
    let other = Connection::open(file(&store)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.append(LOG, batch([from_resource(record("a"))]), at(1)).await.unwrap_err();
    sentence(error, unavailable, &["audit.db", "locked by another process"]);
    assert!(store.list(&Filter::default(), None, 1).await.unwrap().rows.is_empty(), "readers go on");
    other.execute_batch("ROLLBACK").unwrap();
    stored(&*store, from_resource(record("a"))).await;
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing_acknowledged() {
    let store = fresh();
    open(&*store, LOG).await;
    store
        .store
        .write(|writer| {
            let pages: i64 = writer.connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            Ok(writer.connection.pragma_update_and_check(None, "max_page_count", pages + 200, |_| Ok(()))?)
        })
        .await
        .unwrap();
    let mut acknowledged = 0;
    let error = loop {
        let drafts = (0..20).map(|n| from_producer(record(&format!("{acknowledged}-{n}")), None));
        match store.append(LOG, batch(drafts), at(1)).await {
            Ok(answers) => acknowledged += answers.len(),
            Err(error) => break error,
        }
    };
    sentence(error, unavailable, &["audit.db", "disk is full"]);
    assert!(acknowledged > 20);
    assert_eq!(check_log(&*store, LOG).await.len(), acknowledged);
    store
        .store
        .write(|writer| {
            Ok(writer.connection.pragma_update_and_check(None, "max_page_count", 1 << 30, |_| Ok(()))?)
        })
        .await
        .unwrap();
    append(&*store, [from_producer(record("more"), None)]).await;
    assert_eq!(check_log(&*store, LOG).await.len(), acknowledged + 1);
}

#[tokio::test]
async fn a_read_only_connection_says_so() {
    let store = fresh();
    open(&*store, LOG).await;
    store.store.write(|writer| Ok(writer.connection.pragma_update(None, "query_only", 1)?)).await.unwrap();
    let error = store.append(LOG, batch([from_resource(record("a"))]), at(1)).await.unwrap_err();
    sentence(error, unavailable, &["audit.db", "read-only"]);
}

#[tokio::test]
async fn a_reader_of_an_existing_file_creates_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("typo.db");
    let error = SqliteStore::open_existing(&missing, Options::default()).err().unwrap();
    sentence(error, unavailable, &["there is no database", "typo.db"]);
    assert!(!missing.exists());

    let store = fresh();
    open(&*store, LOG).await;
    stored(&*store, from_resource(record("a"))).await;
    let reader = SqliteStore::open_existing(file(&store), Options::default()).unwrap();
    let error = reader.append(LOG, batch([from_resource(record("b"))]), at(1)).await.unwrap_err();
    sentence(error, unavailable, &["opened for reading only"]);
    assert_eq!(check_log(&reader, LOG).await.len(), 1);
    stored(&*store, from_resource(record("b"))).await;
    assert_eq!(check_log(&reader, LOG).await.len(), 2, "it sees what was committed before it was asked");
    reader.backup(&store.directory.path().join("copy.db")).await.unwrap();
    let copy =
        SqliteStore::open_existing(store.directory.path().join("copy.db"), Options::default()).unwrap();
    assert_eq!(check_log(&copy, LOG).await.len(), 2);
}

/// Copies the file as it is when its process is killed: with a log that nobody has checkpointed.
#[tokio::test]
async fn a_file_whose_writer_was_killed_can_be_read_and_written() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, (0..50).map(|n| from_resource(record(&n.to_string())))).await;
    for reading in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        for name in ["audit.db", "audit.db-wal"] {
            fs::copy(store.directory.path().join(name), directory.path().join(name)).unwrap();
        }
        let file = directory.path().join("audit.db");
        let copy = match reading {
            true => SqliteStore::open_existing(file, Options::default()),
            false => SqliteStore::open(file, Options::default()),
        };
        assert_eq!(check_log(&copy.unwrap(), LOG).await.len(), 50);
    }
}

#[test]
fn files_that_are_not_ours_are_named_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("garbage.db"), "no database at all, but long enough to be looked at. ".repeat(100)).unwrap();
    Connection::open(at("foreign.db")).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    Connection::open(at("marked.db")).unwrap().execute_batch("PRAGMA application_id = 7").unwrap();
    for (name, part) in [
        ("garbage.db", "no SQLite database"),
        ("foreign.db", "foreign.db: the file is an SQLite database of another application"),
        ("marked.db", "another application"),
    ] {
        let before = fs::read(at(name)).unwrap();
        for opened in both_ways(&at(name)) {
            let error = opened.err().unwrap();
            sentence(error, corrupt, &[name, part]);
        }
        assert_eq!(fs::read(at(name)).unwrap(), before, "{name} is untouched");
        assert!(!at(&format!("{name}-wal")).exists());
    }
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused() {
    let store = fresh();
    let shell = Connection::open(file(&store)).unwrap();
    shell.execute_batch("PRAGMA user_version = 99").unwrap();
    for opened in both_ways(&file(&store)) {
        let error = opened.err().unwrap();
        sentence(error, unsupported, &["is version 99", "knows up to 16", "newer dualaudit"]);
    }
    let empty = store.directory.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    let error = SqliteStore::open_existing(&empty, Options::default()).err().unwrap();
    sentence(error, unsupported, &["version 0", "dualaudit migrate"]);
    SqliteStore::open(&empty, Options::default()).unwrap();
}

#[tokio::test]
async fn a_truncated_or_overwritten_file_is_damaged() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, (0..200).map(|n| from_resource(record(&n.to_string())))).await;
    let whole = store.directory.path().join("whole.db");
    store.store.backup(&whole).await.unwrap();
    let bytes = fs::read(&whole).unwrap();

    let truncated = store.directory.path().join("truncated.db");
    fs::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    let error = SqliteStore::open(&truncated, Options::default()).err().unwrap();
    sentence(error, corrupt, &["truncated.db", "damaged", "restore a backup"]);

    let overwritten = store.directory.path().join("overwritten.db");
    let root: usize = Connection::open(&whole)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'workflow_execution_audit'", [], |row| {
            row.get(0)
        })
        .unwrap();
    let mut bytes = bytes;
    bytes[(root - 1) * 4096..root * 4096].fill(0xa5);
    fs::write(&overwritten, &bytes).unwrap();
    let damaged = SqliteStore::open(&overwritten, Options::default()).unwrap();
    let error = damaged.list(&Filter::default(), None, 1000).await.unwrap_err();
    sentence(error, corrupt, &["overwritten.db", "damaged"]);
}

#[tokio::test]
async fn a_row_changed_behind_the_triggers_does_not_read_back_intact() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, ["a", "b", "c"].map(|id| from_resource(record(id)))).await;
    let shell = Connection::open(file(&store)).unwrap();
    shell
        .execute_batch(
            "DROP TRIGGER workflow_execution_audit_is_only_erased;
             UPDATE workflow_execution_audit SET effectiveness_score = 1 WHERE id = 'a';
             UPDATE workflow_execution_audit SET step_executions = '[{}]' WHERE id = 'b';",
        )
        .unwrap();
    for (id, intact) in [("a", false), ("b", false), ("c", true)] {
        assert_eq!(store.read_back(LOG, id, 1).await.unwrap().unwrap().intact, intact, "{id}");
    }
    let entries = store.entries(LOG, Which::All, 0, 10).await.unwrap();
    let StoredBody::Unreadable(reason) = &entries[1].body else { panic!("{:?}", entries[1].body) };
    assert!(reason.contains("step_executions"), "{reason}");
    assert!(entries[2].body.entry().is_some());
}

#[tokio::test]
async fn nothing_is_recorded_where_the_schema_was_altered() {
    for (sql, what) in [
        ("DROP TRIGGER log_is_not_deleted", "trigger log_is_not_deleted is missing"),
        ("DROP INDEX log_entry_execution", "index log_entry_execution is missing"),
        ("ALTER TABLE hold ADD COLUMN note TEXT", "table hold was changed"),
        (
            "CREATE TRIGGER quiet AFTER INSERT ON log_entry BEGIN DELETE FROM tracked; END",
            "trigger quiet was added",
        ),
        (
            "CREATE UNIQUE INDEX one ON workflow_execution_audit (workflow_name) WHERE outcome = 'failed'",
            "index one was added",
        ),
    ] {
        let store = fresh();
        let file = file(&store);
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let error = SqliteStore::open(&file, Options::default()).err().unwrap();
        sentence(error, corrupt, &["audit.db", what, "restore a backup"]);
        SqliteStore::open_existing(&file, Options::default()).expect("it can be looked at");
    }
    let store = fresh();
    let own = "CREATE TABLE teams (name TEXT); CREATE INDEX own ON workflow_execution_audit (namespace)";
    Connection::open(file(&store)).unwrap().execute_batch(own).unwrap();
    SqliteStore::open(file(&store), Options::default()).expect("people may add to it");
}

#[test]
fn what_would_not_be_durable_is_refused() {
    for name in [":memory:", ""] {
        let error = SqliteStore::open(name, Options::default()).err().unwrap();
        sentence(error, unavailable, &["in memory"]);
    }
    let error = SqliteStore::open("/nowhere/at/all/audit.db", Options::default()).err().unwrap();
    sentence(error, unavailable, &["/nowhere/at/all/audit.db", "cannot be opened", "directory exists"]);
}

#[tokio::test]
async fn a_database_that_contradicts_itself_is_damaged_and_says_where() {
    for sql in [
        // The head is an entry behind: the next goes where one is.
        "UPDATE log SET size = 1, root = (SELECT leaf_hash FROM log_entry WHERE idx = 0);
         UPDATE log_tile SET hashes = substr(hashes, 1, 32)",
        // A row that has no entry: the draft's has its place taken.
        "INSERT INTO workflow_execution_audit SELECT * FROM forged",
    ] {
        let store = fresh();
        open(&*store, LOG).await;
        append(&*store, ["a", "b"].map(|id| from_resource(record(id)))).await;
        let shell = Connection::open(file(&store)).unwrap();
        shell
            .execute_batch(
                "DROP TRIGGER log_only_grows;
                 DROP TRIGGER workflow_execution_audit_is_not_replaced;
                 DROP TRIGGER log_tile_only_grows;
                 CREATE TEMP TABLE forged AS SELECT * FROM workflow_execution_audit WHERE id = 'a';
                 UPDATE forged SET id = 'c';",
            )
            .unwrap();
        shell.execute_batch(sql).unwrap();
        let error = store.append(LOG, batch([from_resource(record("c"))]), at(1)).await.unwrap_err();
        sentence(error, corrupt, &["audit.db", "log default", "execution c", "dualaudit verify"]);
    }
}

#[tokio::test]
async fn what_sqlite_alone_refuses_is_rejected() {
    let store = fresh();
    open(&*store, LOG).await;
    let many = dualaudit_record::WorkflowExecutionAudit { steps_failed: 99, ..record("a") };
    let error = store.append(LOG, batch([from_resource(many)]), at(1)).await.unwrap_err();
    sentence(error, |error| matches!(error, StoreError::Rejected(_)), &["CHECK"]);
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_a_database_and_its_backup() {
    use std::os::unix::fs::PermissionsExt as _;
    let store = fresh();
    open(&*store, LOG).await;
    store.store.backup(&store.directory.path().join("copy.db")).await.unwrap();
    let mut names = Vec::new();
    for found in fs::read_dir(store.directory.path()).unwrap().map(Result::unwrap) {
        names.push(found.file_name().into_string().unwrap());
        assert_eq!(found.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{names:?}");
    }
    names.sort_unstable();
    assert_eq!(names, ["audit.db", "audit.db-shm", "audit.db-wal", "copy.db"]);
}

#[tokio::test]
async fn a_backup_is_not_written_beside_what_another_database_left() {
    let store = fresh();
    open(&*store, LOG).await;
    for suffix in ["-wal", "-journal"] {
        let left = store.directory.path().join(format!("copy.db{suffix}"));
        fs::write(&left, "left").unwrap();
        let error = store.store.backup(&store.directory.path().join("copy.db")).await.unwrap_err();
        sentence(error, unavailable, &["copy.db", suffix, "move it away"]);
        assert_eq!(fs::read(&left).unwrap(), b"left");
        fs::remove_file(left).unwrap();
    }
    store.store.backup(&store.directory.path().join("copy.db")).await.unwrap();
}

#[test]
fn a_backup_that_finds_no_room_names_itself() {
    let full = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
    let error = backup::unfinished(Path::new("/copy.db"), full).at(Path::new("/audit.db"));
    sentence(error, unavailable, &["the backup is not complete: /copy.db cannot grow", "make room"]);
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_behind() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, (0..200).map(|n| from_resource(record(&n.to_string())))).await;
    let whole = store.directory.path().join("whole.db");
    store.store.backup(&whole).await.unwrap();
    let bytes = fs::read(&whole).unwrap();
    let damaged = store.directory.path().join("damaged.db");
    fs::write(&damaged, &bytes[..bytes.len() / 2 / 4096 * 4096]).unwrap();
    let connection = Connection::open(&damaged).unwrap();
    let copies = tempfile::tempdir().unwrap();
    let error = backup::backup(&connection, &copies.path().join("copy.db")).unwrap_err();
    sentence(error.at(&damaged), corrupt, &["damaged.db", "restore a backup"]);
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_backup_holds_everything_and_overwrites_nothing() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, (0..300).map(|n| from_resource(record(&n.to_string())))).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("it's a backup.db");
    store.store.backup(&file).await.unwrap();
    let error = store.store.backup(&file).await.unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["it's a backup.db"], "nothing else is left behind");
    let missing = store.store.backup(&directory.path().join("missing/backup.db")).await.unwrap_err();
    assert!(matches!(missing, StoreError::Unavailable(_)), "{missing}");
}

#[tokio::test]
async fn a_file_of_the_first_schema_keeps_everything_when_it_is_migrated() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, [from_resource(record("a")), quarantine("q", "{}"), hold("a", "audit")]).await;
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("a") };
    stored(&*store, from_resource(amended)).await;
    let expected = check_log(&*store, LOG).await;
    let old = store.directory.path().join("old.db");
    {
        let shell = Connection::open(&old).unwrap();
        shell.execute_batch(migrate::FIRST).unwrap();
        shell.execute_batch("PRAGMA application_id = 0x6475616c; PRAGMA user_version = 1").unwrap();
        shell.execute("ATTACH ?1 AS new", [file(&store).to_str().unwrap()]).unwrap();
        let triggers: Vec<(String, String)> = shell
            .prepare("SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for (name, _) in &triggers {
            shell.execute_batch(&format!("DROP TRIGGER main.{name}")).unwrap();
        }
        for table in [
            "log",
            "log_entry",
            "workflow_execution_audit",
            "workflow_execution_revision",
            "source_object",
            "quarantine",
            "log_tile",
        ] {
            shell.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM new.{table}")).unwrap();
        }
        shell
            .execute_batch(
                "INSERT INTO main.hold SELECT log, execution_id, idx, reason, actor, placed_at, NULL FROM new.hold",
            )
            .unwrap();
        for (_, sql) in &triggers {
            shell.execute_batch(sql).unwrap();
        }
    }
    let migrated = SqliteStore::open(&old, Options::default()).unwrap();
    assert_eq!(check_log(&migrated, LOG).await, expected);
    assert!(migrated.known(LOG, &["a".to_owned()]).await.unwrap()[0].held);
    stored(&migrated, from_resource(record("b"))).await;
    check_log(&migrated, LOG).await;
}

#[tokio::test]
async fn maintenance_empties_the_log_into_the_file_while_others_write_and_read() {
    let store = fresh();
    let file = file(&store);
    open(&*store, LOG).await;
    append(&*store, ["a", "b"].map(|id| from_resource(record(id)))).await;
    let done = maintain(&file).unwrap();
    assert!(done.pages_written > 0 && done.emptied, "{done:?}");
    append(&*store, [from_resource(record("c"))]).await;
    // A reader in the midst of the log keeps its room, and nobody waits for anybody.
    let reader = Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM log_entry").unwrap();
    append(&*store, [from_resource(record("d"))]).await;
    assert!(!maintain(&file).unwrap().emptied);
    reader.execute_batch("COMMIT").unwrap();
    let writer = Connection::open(&file).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(!maintain(&file).unwrap().emptied);
    drop(writer);
    assert!(maintain(&file).unwrap().emptied);
    check_log(&*store, LOG).await;
    let error = maintain(file.with_file_name("none.db")).unwrap_err();
    sentence(error, unavailable, &["none.db", "there is no database"]);
    assert!(!file.with_file_name("none.db").exists());
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_in_use_takes_nothing() {
    let Fresh { store, directory } = fresh();
    open(&store, LOG).await;
    append(&store, [hold("a", "before")]).await;
    let file = directory.path().join("audit.db");
    let aside = directory.path().join("aside.db");
    std::fs::rename(&file, &aside).unwrap();
    let refused = store.append(LOG, batch([hold("a", "nowhere")]), at(100)).await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("replaced while it was in use")),
        "{refused:?}"
    );
    std::fs::copy(&aside, &file).unwrap();
    assert!(store.append(LOG, batch([hold("a", "nowhere")]), at(100)).await.is_err());
    std::fs::rename(&aside, &file).unwrap();
    append(&store, [hold("a", "after")]).await;
    assert_eq!(check_log(&store, LOG).await.len(), 2);
}
