//! One role a log: who is granted one log writes it as before, and nothing of another.

use std::collections::BTreeMap;

use futures::SinkExt as _;
use tokio_postgres::{Client, NoTls, error::SqlState};

use super::{Fresh, fresh, triggers::fill};
use crate::{
    clock::SystemClock,
    doctor::{Verdict, database::of_a_server},
    store::{
        Folding, Owner, Statistics as _, Store as _, StoreError, Succession as _,
        conformance::{
            Maintained as _,
            check::check_log,
            sample::{LOG, append, at, batch, from_resource, open, opening, record},
        },
        postgres::{Location, Options, PostgresStore, grant_logs, observe, schema},
    },
};

/// A database with two roles, each of which is granted a log, and what there is of the first.
struct Apart {
    store: Fresh,
    ours: Location,
    theirs: Location,
}

const THEIRS: &str = "theirs";

impl Apart {
    async fn new() -> Self {
        let store = fresh();
        let name = &store.database.name;
        let (ours, theirs) = (format!("{name}_ours"), format!("{name}_theirs"));
        store.database.execute(&format!("CREATE ROLE {ours} LOGIN; CREATE ROLE {theirs} LOGIN")).unwrap();
        let grants = [(LOG.to_owned(), ours.clone()), (THEIRS.to_owned(), theirs.clone())];
        grant_logs(&store.location(), &grants).await.unwrap();
        let (ours, theirs) = (store.location().with_user(&ours), store.location().with_user(&theirs));
        Self { store, ours, theirs }
    }

    fn role(location: &Location) -> &str {
        location.config.get_user().unwrap()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for role in [&self.ours, &self.theirs] {
            let role = Self::role(role);
            let _ = self.store.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
        }
    }
}

async fn running(location: &Location) -> PostgresStore {
    PostgresStore::open(location, Options::default(), at(0)).await.unwrap()
}

async fn connect(location: &Location) -> Client {
    let (client, connection) = location.config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// What comes of a statement that is undone afterwards: the rows it would have written, or why none.
async fn tried(client: &Client, statement: &str) -> Result<u64, SqlState> {
    client.batch_execute("BEGIN").await.unwrap();
    let done = client.execute(statement, &[]).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    done.map_err(|error| error.code().unwrap_or_else(|| panic!("{statement}: {error:?}")).clone())
}

/// The tables that have a log, as they call it.
async fn tables(client: &Client) -> Vec<(String, String)> {
    const TABLES: &str = "
        SELECT relname::text, attname::text
        FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid AND attname = CASE relname WHEN 'log' THEN 'name' ELSE 'log' END
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname <> 'dualaudit_log_grant'
        ORDER BY relname";
    let rows = client.query(TABLES, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_role_does_its_work_in_its_own_log_and_none_in_anothers() {
    let apart = Apart::new().await;
    let (ours, theirs) = (running(&apart.ours).await, running(&apart.theirs).await);
    open(&ours, LOG).await;
    fill(&ours).await;
    theirs.open_log(opening(THEIRS)).await.unwrap();
    theirs.append(THEIRS, batch([from_resource(record("x"))]), at(100)).await.unwrap();
    // Each folds its own statistics, and reads those of all.
    check_log(&ours, LOG).await;
    check_log(&theirs, THEIRS).await;
    check_log(&ours, THEIRS).await;
    check_log(&theirs, LOG).await;

    let told = |error: StoreError| match error {
        StoreError::Foreign(told) => told,
        other => panic!("{other:?}"),
    };
    let hint = format!("--grant-log {LOG}={}", Apart::role(&apart.theirs));
    for error in [
        theirs.open_log(opening(LOG)).await.err().unwrap(),
        theirs.append(LOG, batch([from_resource(record("y"))]), at(100)).await.unwrap_err(),
        theirs.append(LOG, batch([]), at(100)).await.unwrap_err(),
    ] {
        let told = told(error);
        assert!(told.contains(&hint), "{told}");
    }
    let third = theirs.open_log(opening("third")).await.err().unwrap();
    assert!(told(third).contains("may not write the log third"));
    check_log(&ours, LOG).await;

    // What the owner does, it does to all.
    apart.store.remove_purged().await;
    check_log(&*apart.store, LOG).await;
    for (location, what) in [(&apart.ours, "may write default,"), (&apart.theirs, "may write theirs,")] {
        let checks = of_a_server(&observe(location, &SystemClock).await.unwrap());
        let check = checks.iter().find(|check| check.check == "logs").unwrap();
        assert!(check.verdict == Verdict::Ok && check.found.contains(what), "{check:?}");
        let privileges = checks.iter().find(|check| check.check == "privileges").unwrap();
        assert_eq!(privileges.verdict, Verdict::Ok, "{privileges:?}");
    }
}

#[tokio::test]
async fn nothing_of_another_log_can_be_written_by_sql() {
    let apart = Apart::new().await;
    let store = running(&apart.ours).await;
    open(&store, LOG).await;
    fill(&store).await;
    while store.fold(LOG).await.unwrap() == Folding::More {}
    append(&store, [from_resource(record("c"))]).await;
    let (ours, theirs) = (connect(&apart.ours).await, connect(&apart.theirs).await);
    let mut reached = BTreeMap::new();
    for (table, log) in tables(&ours).await {
        let of_log = format!("{log} = '{LOG}'");
        const COLUMNS: &str = "
            SELECT attname::text
            FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
                AND has_column_privilege(attrelid, attnum, 'UPDATE')";
        let rows = ours.query(COLUMNS, &[&table]).await.unwrap();
        let columns: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let mut statements = vec![
            format!("INSERT INTO {table} SELECT * FROM {table} WHERE {of_log} LIMIT 1"),
            format!("DELETE FROM {table} WHERE {of_log}"),
        ];
        statements.extend(
            columns.iter().map(|column| format!("UPDATE {table} SET {column} = {column} WHERE {of_log}")),
        );
        for statement in statements {
            // What stands against it beside may be asked first; what it says is that no row goes.
            let of_theirs = tried(&theirs, &statement).await;
            let is_refused = matches!(
                of_theirs,
                Ok(0)
                    | Err(SqlState::INSUFFICIENT_PRIVILEGE
                        | SqlState::RESTRICT_VIOLATION
                        | SqlState::UNIQUE_VIOLATION)
            );
            assert!(is_refused, "{statement}: {of_theirs:?}");
            let of_ours = tried(&ours, &statement).await;
            if of_ours != of_theirs {
                reached.entry(table.clone()).or_insert_with(Vec::new).push(statement);
            }
        }
    }
    // Each of them would have done something, or come farther, in the role's own log.
    let expected = [
        "hold",
        "log",
        "log_tile",
        "quarantine",
        "statistics_log",
        "statistics_page",
        "statistics_pending",
        "statistics_step_day",
        "statistics_workflow_day",
        "tracked",
        "workflow_execution_revision",
    ];
    for table in expected {
        assert!(reached.contains_key(table), "{table}: {reached:#?}");
    }

    // By COPY, as an append writes.
    let next =
        ours.query_one("SELECT size, recorded_at::text FROM log WHERE name = 'default'", &[]).await.unwrap();
    let (size, recorded_at): (i64, String) = (next.get(0), next.get(1));
    let digest = format!("\\\\x{}", "0".repeat(64));
    let row = format!("{LOG}\t{size}\t{recorded_at}\tgap\tforged\tforged\t{digest}\t{digest}\t{{}}\n");
    let copied = async |client: &Client| {
        client.batch_execute("BEGIN").await.unwrap();
        let columns =
            "log, idx, recorded_at, kind, execution_id, idempotency_key, body_digest, leaf_hash, body";
        let sink = client.copy_in(&format!("COPY log_entry ({columns}) FROM STDIN")).await.unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes::Bytes::from(row.clone())).await.unwrap();
        let done = sink.as_mut().finish().await;
        client.batch_execute("ROLLBACK").await.unwrap();
        done.map_err(|error| error.code().unwrap().clone())
    };
    assert_eq!(copied(&ours).await, Ok(1));
    assert_eq!(copied(&theirs).await, Err(SqlState::INSUFFICIENT_PRIVILEGE));

    // Nor can who is granted what be changed by those who it binds.
    for statement in [
        "INSERT INTO dualaudit_log_grant (log, grantee) VALUES ('default', current_user)",
        "UPDATE dualaudit_log_grant SET revoked_at = NULL",
        "DELETE FROM dualaudit_log_grant",
        "SELECT dualaudit_grant_log('default', current_user::text)",
        "SELECT dualaudit_revoke_log('default', current_user::text)",
        "ALTER TABLE log DISABLE ROW LEVEL SECURITY",
        "DROP POLICY log_is_written_by_log ON log",
        "INSERT INTO log SELECT 'third', owner, cluster_uid, origin, secret, created_at, 0, sha256(''), NULL FROM log",
    ] {
        let refused = theirs.batch_execute(statement).await.expect_err(statement);
        assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {refused:?}");
    }
}

/// What rows of another log come to in the tables that an append copies into, where nothing else stands against it.
#[tokio::test]
async fn what_is_copied_is_looked_at_by_triggers() {
    const TABLES: [(&str, &str); 6] = [
        ("log_entry", "body"),
        ("workflow_execution_audit", "outcome"),
        ("source_object", "object"),
        ("purged", ""),
        ("purge_pending", ""),
        ("erased", ""),
    ];
    let apart = Apart::new().await;
    let store = running(&apart.ours).await;
    open(&store, LOG).await;
    fill(&store).await;
    let (ours, theirs) = (connect(&apart.ours).await, connect(&apart.theirs).await);
    for (table, column) in TABLES {
        let alone = format!(
            "ALTER TABLE {table} DISABLE TRIGGER USER;
             ALTER TABLE {table} ENABLE TRIGGER {table}_is_added_by_log;
             ALTER TABLE {table} ENABLE TRIGGER {table}_is_changed_by_log;
             CREATE TABLE spare_{table} AS SELECT * FROM {table};
             GRANT SELECT ON spare_{table} TO PUBLIC;
             DELETE FROM {table}"
        );
        apart.store.database.execute(&alone).unwrap();
        let back = format!("INSERT INTO {table} SELECT * FROM spare_{table}");
        let (of_ours, of_theirs) = (tried(&ours, &back).await, tried(&theirs, &back).await);
        assert!(of_ours.as_ref().is_ok_and(|rows| *rows > 0), "{table}: {of_ours:?}");
        assert_eq!(of_theirs, Err(SqlState::INSUFFICIENT_PRIVILEGE), "{table}");
        apart.store.database.execute(&back).unwrap();
        if column.is_empty() {
            continue;
        }
        let change = format!("UPDATE {table} SET {column} = {column}");
        let (of_ours, of_theirs) = (tried(&ours, &change).await, tried(&theirs, &change).await);
        assert!(of_ours.as_ref().is_ok_and(|rows| *rows > 0), "{table}: {of_ours:?}");
        assert_eq!(of_theirs, Err(SqlState::INSUFFICIENT_PRIVILEGE), "{table}");
    }
}

#[tokio::test]
async fn every_table_that_has_a_log_is_kept_apart() {
    let store = fresh();
    let client = connect(&store.location()).await;
    for (table, _) in tables(&client).await {
        const APART: &str = "
            SELECT relrowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid),
                (SELECT count(*) FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgfoid = 'dualaudit_refuse_other_logs'::regproc)
            FROM pg_class WHERE oid = to_regclass($1)";
        let row = client.query_one(APART, &[&table]).await.unwrap();
        let by: (bool, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert!(by == (true, 2, 0) || by == (false, 0, 3), "{table}: {by:?}");
    }
    assert_eq!(schema::alterations(&client).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn what_was_revoked_is_over_and_opens_nothing_to_others() {
    let apart = Apart::new().await;
    let ours = running(&apart.ours).await;
    open(&ours, LOG).await;
    let append =
        async |store: &PostgresStore| store.append(LOG, batch([from_resource(record("a"))]), at(100)).await;
    append(&ours).await.unwrap();
    let (role, other) = (Apart::role(&apart.ours).to_owned(), Apart::role(&apart.theirs).to_owned());
    let run = |sql: String| apart.store.database.execute(&sql).unwrap();
    run(format!(
        "SELECT dualaudit_revoke_log('{LOG}', '{role}'); SELECT dualaudit_revoke_log('{THEIRS}', '{other}')"
    ));
    for location in [&apart.ours, &apart.theirs] {
        let store = running(location).await;
        assert!(matches!(append(&store).await, Err(StoreError::Foreign(_))));
        let checks = of_a_server(&observe(location, &SystemClock).await.unwrap());
        let check = checks.iter().find(|check| check.check == "logs").unwrap();
        assert!(check.verdict == Verdict::Wrong && check.found.contains("no log"), "{check:?}");
    }
    apart.store.database.execute(&format!("SELECT dualaudit_revoke_log('{LOG}', '{role}')")).unwrap_err();
    // Granted again; also to those who inherit from the role.
    run(format!("SELECT dualaudit_grant_log('{LOG}', '{role}'); GRANT {role} TO {other}"));
    append(&ours).await.unwrap();
    append(&running(&apart.theirs).await).await.unwrap();
    run(format!("REVOKE {role} FROM {other}"));
    assert!(matches!(append(&running(&apart.theirs).await).await, Err(StoreError::Foreign(_))));
    // A log that goes on in another's place is written by the same.
    apart.store.store.begin_successor(LOG, "default.2", "dualaudit.dev/2", at(60)).await.unwrap();
    apart.store.store.close_succeeded(LOG, "default.2").await.unwrap();
    assert_eq!(ours.open_log(opening(LOG)).await.unwrap().name, "default.2");
    assert!(running(&apart.theirs).await.open_log(opening(LOG)).await.is_err());
}

#[tokio::test]
async fn several_clusters_with_one_role_are_warned_of() {
    let store = fresh();
    let logs = async || {
        let checks = of_a_server(&observe(&store.location(), &SystemClock).await.unwrap());
        checks.into_iter().find(|check| check.check == "logs").unwrap()
    };
    open(&*store, LOG).await;
    append(&*store, [from_resource(record("a"))]).await;
    assert_eq!(logs().await.verdict, Verdict::Ok);
    store
        .open_log(crate::store::LogOpening { owner: Owner::Cluster("other".to_owned()), ..opening("second") })
        .await
        .unwrap();
    let check = logs().await;
    assert!(check.verdict == Verdict::Warning && check.found.starts_with("2 clusters"), "{check:?}");
    assert!(check.remedy.unwrap().contains("--grant-log"));
}

#[tokio::test]
async fn what_a_role_may_write_is_asked_once_a_statement_and_found_by_keys() {
    let apart = Apart::new().await;
    let store = running(&apart.ours).await;
    open(&store, LOG).await;
    fill(&store).await;
    let session = crate::store::postgres::session::Session::new(&store.pools.writers).await.unwrap();
    for (statement, index) in [
        ("DELETE FROM tracked WHERE log = 'default' AND id = ANY ('{a,b}')", "tracked_pkey"),
        ("UPDATE log SET size = 9 WHERE name = 'default'", "log_pkey"),
        ("SELECT size FROM log WHERE name = 'default' FOR UPDATE", "log_pkey"),
        ("UPDATE log_tile SET hashes = '' WHERE log = 'default' AND level = 0 AND idx = 0", "log_tile_pkey"),
    ] {
        let rows = session.query(&format!("EXPLAIN (COSTS off) {statement}"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(&format!("Index Scan using {index}")) && !plan.contains("Seq Scan"), "{plan}");
        assert!(plan.contains("InitPlan") && !plan.contains("dualaudit_granted()"), "{plan}");
    }
}

#[tokio::test]
async fn no_temporary_table_is_taken_for_one_of_ours() {
    let apart = Apart::new().await;
    let store = running(&apart.ours).await;
    open(&store, LOG).await;
    fill(&store).await;
    let client = connect(&apart.store.location()).await;
    const PATHS: &str = "
        SELECT DISTINCT setting
        FROM pg_proc, unnest(proconfig) AS setting
        WHERE pronamespace = current_schema()::regnamespace AND setting LIKE 'search_path=%'";
    let rows = client.query(PATHS, &[]).await.unwrap();
    let paths: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(paths, ["search_path=public, pg_temp"]);
    for (location, statement, code) in [
        (
            &apart.theirs,
            "CREATE TEMP TABLE dualaudit_log_grant (log text, grantee text, revoked_at timestamptz);
             INSERT INTO tracked SELECT 'default', 'x', 'n', 'n', 'p', NULL, '', now(), 'open'",
            SqlState::INSUFFICIENT_PRIVILEGE,
        ),
        (
            &apart.ours,
            "CREATE TEMP TABLE log_entry AS SELECT * FROM public.log_entry;
             UPDATE log_entry SET execution_id = 'forged' WHERE idx = 1;
             CREATE TEMP TABLE forged AS SELECT * FROM workflow_execution_audit WHERE id = 'b';
             UPDATE forged SET id = 'forged';
             INSERT INTO workflow_execution_audit SELECT * FROM forged",
            SqlState::RESTRICT_VIOLATION,
        ),
    ] {
        let refused = connect(location).await.batch_execute(statement).await.expect_err(statement);
        assert_eq!(refused.code(), Some(&code), "{statement}: {refused:?}");
    }
}
