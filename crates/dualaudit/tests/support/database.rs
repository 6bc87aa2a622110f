//! A look into the test's database past dualaudit, as an auditor with `sqlite3` has it.

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::cluster::Cluster;

/// Holds the database's write lock until dropped.
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] Connection);

impl Cluster {
    fn open(&self, flags: OpenFlags) -> Connection {
        let connection =
            Connection::open_with_flags(self.dir.path().join("audit.db"), flags).expect("the database");
        connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
        connection
    }

    fn column<T: rusqlite::types::FromSql>(&self, sql: &str) -> Vec<T> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY);
        let mut statement = connection.prepare(sql).expect("a statement");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    /// The gap entries' bodies.
    pub fn gaps(&self) -> Vec<Value> {
        let bodies: Vec<String> =
            self.column("SELECT CAST(body AS TEXT) FROM log_entry WHERE kind = 'gap' ORDER BY idx");
        bodies.iter().map(|body| serde_json::from_str(body).expect("a body is JSON")).collect()
    }

    /// How many executions are tracked.
    pub fn tracked(&self) -> usize {
        self.tracked_phases().len()
    }

    /// Their phases.
    pub fn tracked_phases(&self) -> Vec<String> {
        self.column("SELECT phase FROM tracked")
    }

    /// What is in flight: name, workflow, version, incident type and kind of target of each.
    pub fn in_flight(&self) -> Vec<String> {
        self.column(
            "SELECT concat_ws(' ', name, workflow_name, workflow_version, incident_type, target_kind) FROM tracked \
             WHERE running_since IS NOT NULL ORDER BY name",
        )
    }

    /// Leaves of what is in flight what there was before versions that tell.
    pub fn forget_in_flight(&self) {
        let forget = "UPDATE tracked SET workflow_name = '', workflow_version = '', incident_type = '', \
                      target_kind = '', running_since = NULL";
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE).execute(forget, []).expect("the change");
    }

    /// The source objects as stored.
    pub fn source_objects(&self) -> Vec<String> {
        let objects: Vec<Vec<u8>> = self.column("SELECT object FROM source_object");
        let text = |object: Vec<u8>| zstd::decode_all(object.as_slice()).expect("zstd");
        objects.into_iter().map(|object| String::from_utf8(text(object)).expect("UTF-8")).collect()
    }

    /// Changes a record past the trigger that forbids it, as whoever owns the file can.
    pub fn tamper(&self, change: &str) {
        const TRIGGER: &str = "workflow_execution_audit_is_only_erased";
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE);
        let trigger: String = connection
            .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [TRIGGER], |row| row.get(0))
            .expect("the trigger");
        let batch = format!("BEGIN IMMEDIATE; DROP TRIGGER {TRIGGER}; {change}; {trigger}; COMMIT");
        connection.execute_batch(&batch).expect("the change");
    }

    /// Locks the database against every other writer.
    pub fn lock_database(&self) -> Lock {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE);
        connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        Lock(connection)
    }
}
