//! Nothing is recorded where what protects the records is gone.

use super::fresh;
use crate::store::{
    LogReader as _, StoreError,
    conformance::sample::{LOG, append, at, from_resource, open, record},
    postgres::{Options, PostgresStore, maintain},
};

const ALTERED: [(&str, &str); 22] = [
    ("DROP TRIGGER log_is_not_deleted ON log", "trigger log_is_not_deleted on log is missing"),
    (
        "ALTER TABLE log_entry DISABLE TRIGGER log_entry_is_appended",
        "trigger log_entry_is_appended on log_entry is disabled",
    ),
    (
        "ALTER TABLE workflow_execution_audit_y2025m10 DISABLE TRIGGER ALL",
        "trigger workflow_execution_audit_is_only_amended on workflow_execution_audit_y2025m10 is disabled",
    ),
    (
        "DROP TRIGGER source_object_y2025m10_is_not_truncated ON source_object_y2025m10",
        "trigger source_object_y2025m10_is_not_truncated on source_object_y2025m10 is missing",
    ),
    (
        "CREATE OR REPLACE FUNCTION dualaudit_refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RETURN OLD; END $$",
        "function dualaudit_refuse() was changed",
    ),
    ("ALTER FUNCTION log_only_grows() SET enable_seqscan = on", "function log_only_grows() was changed"),
    ("ALTER TABLE hold DROP CONSTRAINT hold_log_fkey", "constraint hold_log_fkey on hold is missing"),
    (
        "ALTER TABLE log_tile DROP CONSTRAINT log_tile_level_check;
         ALTER TABLE log_tile ADD CONSTRAINT log_tile_level_check CHECK (level >= 0)",
        "constraint log_tile_level_check on log_tile was changed",
    ),
    (
        "ALTER TABLE tracked ADD CONSTRAINT short CHECK (length(id) < 9)",
        "constraint short on tracked was added",
    ),
    ("DROP INDEX log_entry_execution", "index log_entry_execution is missing"),
    ("CREATE UNIQUE INDEX one ON tracked (namespace)", "index one was added"),
    ("CREATE UNIQUE INDEX one ON source_object_y2025m10 (object)", "index one was added"),
    (
        "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER quiet BEFORE INSERT ON log_entry FOR EACH ROW EXECUTE FUNCTION quiet()",
        "trigger quiet on log_entry was added",
    ),
    ("CREATE RULE quiet AS ON INSERT TO hold DO INSTEAD NOTHING", "rule quiet on hold was added"),
    ("ALTER TABLE quarantine SET UNLOGGED", "table quarantine was changed"),
    ("ALTER TABLE erased ENABLE ROW LEVEL SECURITY", "table erased was changed"),
    ("ALTER TABLE tracked DISABLE ROW LEVEL SECURITY", "table tracked was changed"),
    ("ALTER TABLE tracked FORCE ROW LEVEL SECURITY", "table tracked was changed"),
    ("DROP POLICY log_is_written_by_log ON log", "policy log_is_written_by_log on log is missing"),
    (
        "ALTER POLICY hold_is_written_by_log ON hold USING (true)",
        "policy hold_is_written_by_log on hold was changed",
    ),
    ("CREATE POLICY all_of_it ON review USING (true)", "policy all_of_it on review was added"),
    (
        "ALTER TABLE workflow_execution_revision ALTER nonce DROP NOT NULL, ADD COLUMN note text",
        "column workflow_execution_revision.nonce was changed (and 1 more",
    ),
];

#[tokio::test]
async fn nothing_is_recorded_where_the_schema_was_altered() {
    for (sql, what) in ALTERED {
        let store = fresh();
        store.database.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let opened = PostgresStore::open(&store.location(), Options::default(), at(0)).await;
        let Err(StoreError::Corrupt(text)) = opened else { panic!("opened after {sql}") };
        assert!(text.contains(what) && text.contains("restore a backup"), "{what:?} in: {text}");
        let opened = PostgresStore::open_existing(&store.location(), Options::default()).await;
        opened.expect("it can be looked at");
    }
}

#[tokio::test]
async fn sessions_that_fire_no_triggers_record_nothing() {
    let store = fresh();
    let name = &store.database.name;
    let unchecked = format!("ALTER DATABASE {name} SET session_replication_role = replica");
    store.database.execute(&unchecked).unwrap();
    let opened = PostgresStore::open(&store.location(), Options::default(), at(0)).await;
    let Err(StoreError::Corrupt(text)) = opened else { panic!("opened") };
    assert!(text.contains("setting session_replication_role was changed"), "{text}");
}

#[tokio::test]
async fn people_may_add_to_it_and_months_come() {
    let store = fresh();
    let own = "CREATE TABLE teams (name text PRIMARY KEY);
        CREATE INDEX own ON workflow_execution_audit (namespace);
        CREATE VIEW failed AS SELECT id FROM workflow_execution_audit WHERE outcome = 'failed';
        CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'";
    store.database.execute(own).unwrap();
    maintain(&store.location(), at(300 * 24 * 3600)).await.unwrap();
    let opened = PostgresStore::open(&store.location(), Options::default(), at(0)).await.unwrap();
    open(&opened, LOG).await;
    append(&opened, [from_resource(record("a"))]).await;
    assert_eq!(opened.logs().await.unwrap().len(), 1);
}
