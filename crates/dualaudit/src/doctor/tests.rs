//! Each check where it fails: on a real server and a real file. What neither can be brought to show stands in
//! tables beside the rules.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use dualaudit_record::Time;

use super::{database::*, *};
use crate::{
    clock::Clock,
    store::{
        postgres::{
            self, Location,
            tests::{Fresh, fresh, server::Server},
        },
        sqlite,
    },
};

/// When the databases of the tests were made.
fn then() -> Time {
    Time::from_micros(1_760_000_000_000_000).unwrap()
}

/// A clock that stands still.
struct Stopped(Time);

impl Clock for Stopped {
    fn now(&self) -> Time {
        self.0
    }
}

fn found<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.check == name).unwrap_or_else(|| panic!("no {name} in {checks:?}"))
}

async fn seen(location: &Location, now: Time) -> Vec<Check> {
    of_a_server(&postgres::observe(location, &Stopped(now)).await.unwrap())
}

/// That the check is `verdict` after `sql`, and says `what`.
async fn expect(store: &Fresh, sql: &str, name: &str, verdict: Verdict, what: &str) {
    store.database.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let checks = seen(&store.location(), then()).await;
    let check = found(&checks, name);
    assert!(check.verdict == verdict && check.found.contains(what), "{sql}: {check:?}");
    assert_eq!(check.remedy.is_some(), verdict != Verdict::Ok, "{check:?}");
}

#[tokio::test]
async fn a_schema_that_is_not_there_not_ours_or_altered_is_wrong() {
    let store = fresh();
    for name in ["schema", "schema unaltered", "connection", "durability", "partitions", "disk"] {
        expect(&store, "SELECT 1", name, Verdict::Ok, "").await;
    }
    let altered = "ALTER TABLE log DISABLE TRIGGER log_only_grows; DROP TRIGGER hold_is_not_deleted ON hold";
    let what = "trigger hold_is_not_deleted on hold is missing; trigger log_only_grows on log is disabled";
    expect(&store, altered, "schema unaltered", Verdict::Wrong, what).await;
    let newer = "INSERT INTO dualaudit_schema (version) VALUES (99)";
    expect(&store, newer, "schema", Verdict::Wrong, "use a newer dualaudit").await;
    for (sql, what) in
        [("SELECT 1", "run `dualaudit migrate`"), ("CREATE TABLE hold ()", "another application")]
    {
        let database = Server::shared().database(None);
        database.execute(sql).unwrap();
        let checks = seen(&Location::parse(&database.url()).unwrap(), then()).await;
        let check = found(&checks, "schema");
        assert!(check.verdict == Verdict::Wrong && check.found.contains(what), "{check:?}");
    }
}

#[tokio::test]
async fn a_role_that_may_too_little_or_too_much_is_said() {
    let store = fresh();
    expect(&store, "SELECT 1", "privileges", Verdict::Warning, "is superuser").await;
    let role = format!("{}_runner", store.database.name);
    store.database.execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    let runner = store.location().with_user(&role);
    let check = async |verdict, what: &str| {
        let checks = seen(&runner, then()).await;
        let check = found(&checks, "privileges");
        assert!(check.verdict == verdict && check.found.contains(what), "{what:?}: {check:?}");
    };
    let nothing = seen(&runner, then()).await;
    assert!(found(&nothing, "schema").found.contains("--grant-to"), "{nothing:?}");
    let _ = postgres::migrate(&store.location(), then(), Some(&role)).await.unwrap();
    check(Verdict::Ok, "and no more").await;
    let run = |sql: &str| store.database.execute(&sql.replace('%', &role)).unwrap();
    run("GRANT DELETE ON log_entry TO %");
    check(Verdict::Warning, "may DELETE log_entry").await;
    run(
        "REVOKE INSERT ON log_entry FROM %; REVOKE UPDATE (size) ON log FROM %; REVOKE DELETE ON tracked FROM %",
    );
    check(Verdict::Wrong, "UPDATE log, INSERT log_entry, DELETE tracked").await;
    run("GRANT INSERT ON log_entry TO %; GRANT UPDATE (size) ON log TO %; GRANT DELETE ON tracked TO %");
    run("REVOKE DELETE ON log_entry FROM %; ALTER TABLE hold OWNER TO %");
    check(Verdict::Warning, "owns hold").await;
    run("ALTER TABLE hold OWNER TO CURRENT_USER; DROP OWNED BY %; DROP ROLE %");
}

#[tokio::test]
async fn partitions_that_run_out_and_clocks_that_differ_are_said() {
    let store = fresh();
    let later = |months: i64| then().saturating_add_micros(months * 30 * 24 * 3600 * 1_000_000);
    for (months, verdict, what) in [
        (2, Verdict::Ok, "4 months"),
        (4, Verdict::Warning, "only 2 months"),
        (8, Verdict::Wrong, "the present month"),
    ] {
        let checks = seen(&store.location(), later(months)).await;
        let check = found(&checks, "partitions");
        assert!(check.verdict == verdict && check.found.contains(what), "{months}: {check:?}");
    }
    let now = crate::clock::SystemClock.now();
    for (behind, verdict) in [(0, Verdict::Ok), (60, Verdict::Warning), (3600, Verdict::Wrong)] {
        let checks = seen(&store.location(), now.saturating_add_micros(-behind * 1_000_000)).await;
        assert_eq!(found(&checks, "clock").verdict, verdict, "{checks:?}");
    }
    store.database.execute("ALTER TABLE source_object DETACH PARTITION source_object_later").unwrap();
    let checks = seen(&store.location(), then()).await;
    assert!(found(&checks, "partitions").found.contains("_later"), "{checks:?}");
}

#[tokio::test]
async fn a_server_that_would_lose_records_or_fill_its_disk_is_said() {
    let careless = Server::start(&["fsync=off"]);
    let checks = seen(&Location::parse(&careless.url("postgres")).unwrap(), then()).await;
    let check = found(&checks, "durability");
    assert!(check.verdict == Verdict::Wrong && check.found.contains("fsync is off"), "{check:?}");
    let server = Server::start(&["full_page_writes=off", "archive_mode=on", "archive_command=false"]);
    server.execute("postgres", "SELECT pg_create_physical_replication_slot('gone', true)").unwrap();
    server.execute("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0").unwrap();
    let location = Location::parse(&server.url("latin")).unwrap();
    let checks = seen(&location, then()).await;
    assert_eq!(found(&checks, "durability").verdict, Verdict::Warning, "{checks:?}");
    let check = found(&checks, "connection");
    assert!(check.verdict == Verdict::Wrong && check.found.contains("LATIN1"), "{check:?}");
    let kept = postgres::observe(&location, &Stopped(then())).await.unwrap().slots;
    assert_eq!(kept.iter().map(|slot| slot.name.as_str()).collect::<Vec<_>>(), ["gone"]);
    server.execute("postgres", "SELECT pg_switch_wal()").unwrap();
    for tries in 0.. {
        let checks = seen(&location, then()).await;
        let check = found(&checks, "disk");
        if check.verdict == Verdict::Warning {
            assert!(check.found.contains("archiving WAL fails"), "{check:?}");
            break;
        }
        assert!(tries < 400, "{check:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_file_that_others_read_or_that_was_altered_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.db");
    assert!(matches!(&sqlite::observe(&file), Err(error) if unreachable(error).found.contains("audit.db")));
    sqlite::migrate(&file).unwrap();
    let checks = || of_a_file(&sqlite::observe(&file).unwrap());
    assert!(
        checks().iter().all(|check| check.check == "disk" || check.verdict == Verdict::Ok),
        "{:?}",
        checks()
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(found(&checks(), "privileges").found.contains("644"), "{:?}", checks());
    let shell = rusqlite::Connection::open(&file).unwrap();
    shell.execute_batch("DROP TRIGGER hold_is_not_deleted; DROP INDEX log_entry_execution").unwrap();
    let altered = checks();
    let altered = found(&altered, "schema unaltered");
    for what in ["hold_is_not_deleted is missing", "log_entry_execution is missing"] {
        assert!(altered.verdict == Verdict::Wrong && altered.found.contains(what), "{altered:?}");
    }
    shell.pragma_update(None, "user_version", 99).unwrap();
    assert!(found(&checks(), "schema").found.contains("use a newer dualaudit"), "{:?}", checks());
    drop(shell);
    fs::write(&file, "not a database, but long enough to be read as one").unwrap();
    assert_eq!(found(&checks(), "schema").verdict, Verdict::Wrong, "{:?}", checks());
}

#[test]
fn clocks_may_differ_by_seconds_and_must_not_by_minutes() {
    for (seconds, verdict) in [
        (0, Verdict::Ok),
        (-4, Verdict::Ok),
        (5, Verdict::Warning),
        (-299, Verdict::Warning),
        (300, Verdict::Wrong),
        (-90_000, Verdict::Wrong),
    ] {
        assert_eq!(clock("clock", "it", seconds * 1_000_000).verdict, verdict, "{seconds}");
    }
    assert_eq!(clock("clock", "it", -7_900_000).found, "it is 7 s behind this machine");
}

#[test]
fn the_worst_of_the_checks_counts() {
    let checks = [Check::ok("a", ""), Check::warning("b", "", ""), Check::unknown("c", "", "")];
    assert_eq!(worst(&[]), Verdict::Ok);
    assert_eq!(worst(&checks[..2]), Verdict::Warning);
    assert_eq!(worst(&checks), Verdict::Unknown);
    assert_eq!(worst(&[Check::wrong("d", "", ""), checks[2].clone()]), Verdict::Wrong);
}
