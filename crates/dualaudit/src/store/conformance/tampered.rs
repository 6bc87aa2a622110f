//! Stores whose tables can be changed behind their back, as the owner of a database can.

use std::sync::Arc;

use crate::store::{Rebuild, SharedStore, postgres, sqlite};

use super::{Maintained, sample::at};

/// A store with its tables.
pub(crate) trait Tampered: Maintained + Sized {
    /// The same, to rebuild.
    fn rebuilds(&self) -> &dyn Rebuild;

    /// The same, to be handed around.
    fn shared(&self) -> SharedStore;

    /// Runs SQL with no trigger and no foreign key in its way; they are there again afterwards.
    fn tamper(&self, sql: &str);

    /// Takes what else says which values there may be out of the way, for good.
    fn uncheck(&self);

    /// Every column there is, and what kind of value it holds.
    fn columns(&self) -> Vec<Column>;

    /// How many rows a table has.
    fn count(&self, table: &str) -> u64;

    /// SQL of bytes.
    fn blob(bytes: &[u8]) -> String;

    /// SQL that makes another value of a column's.
    fn another(column: &Column) -> String;

    /// Opens it anew, as only a database is opened whose schema is as it was made.
    async fn reopen(&self);
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) table: String,
    pub(crate) name: String,
    /// As the database calls it.
    pub(crate) kind: String,
    /// Whether it is part of the key.
    pub(crate) key: bool,
}

impl Column {
    fn of(row: &[String]) -> Self {
        let [table, name, kind, key] = row else { panic!("{row:?}") };
        Self { table: table.clone(), name: name.clone(), kind: kind.to_lowercase(), key: key != "0" }
    }
}

impl Tampered for sqlite::tests::Fresh {
    fn rebuilds(&self) -> &dyn Rebuild {
        &self.store
    }

    fn shared(&self) -> SharedStore {
        Arc::new(self.store.clone())
    }

    fn tamper(&self, sql: &str) {
        let mut shell = rusqlite::Connection::open(self.file()).unwrap();
        shell.execute_batch("PRAGMA foreign_keys = 0; PRAGMA ignore_check_constraints = 1").unwrap();
        let shell = shell.transaction().unwrap();
        let triggers =
            rows(&shell, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid");
        for trigger in &triggers {
            shell.execute_batch(&format!("DROP TRIGGER {}", trigger[0])).unwrap();
        }
        shell.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        for trigger in &triggers {
            shell.execute_batch(&trigger[1]).unwrap();
        }
        shell.commit().unwrap();
    }

    fn uncheck(&self) {
        const UNIQUE: &str =
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql LIKE 'CREATE UNIQUE%'";
        let shell = rusqlite::Connection::open(self.file()).unwrap();
        for index in rows(&shell, UNIQUE) {
            shell.execute_batch(&format!("DROP INDEX {}", index[0])).unwrap();
        }
    }

    fn columns(&self) -> Vec<Column> {
        const COLUMNS: &str = "
            SELECT made.name, held.name, held.type, held.pk
            FROM sqlite_schema AS made, pragma_table_info(made.name) AS held
            WHERE made.type = 'table' AND made.name NOT LIKE 'sqlite%'
            ORDER BY made.name, held.cid";
        let shell = rusqlite::Connection::open(self.file()).unwrap();
        rows(&shell, COLUMNS).iter().map(|row| Column::of(row)).collect()
    }

    fn count(&self, table: &str) -> u64 {
        let shell = rusqlite::Connection::open(self.file()).unwrap();
        rows(&shell, &format!("SELECT count(*) FROM {table}"))[0][0].parse().unwrap()
    }

    fn blob(bytes: &[u8]) -> String {
        format!("x'{}'", hex::encode(bytes))
    }

    fn another(Column { name, kind, .. }: &Column) -> String {
        match kind.as_str() {
            "text" => format!("coalesce({name}, '') || 'x'"),
            "integer" => format!("coalesce({name}, 0) + 1000"),
            "real" => format!("{name} / 2 + 0.125"),
            "blob" => format!(
                "CASE WHEN length({name}) = 32 THEN zeroblob(32) ELSE CAST(coalesce({name}, x'') || x'00' AS BLOB) END"
            ),
            kind => panic!("{name} is {kind}"),
        }
    }

    async fn reopen(&self) {
        sqlite::SqliteStore::open(self.file(), sqlite::Options::default()).unwrap();
    }
}

/// Every value as text.
fn rows(shell: &rusqlite::Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = shell.prepare(sql).unwrap();
    let columns = statement.column_count();
    let read = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    value => value.as_str().map_err(rusqlite::Error::from)?.to_owned(),
                })
            })
            .collect()
    });
    read.unwrap().map(Result::unwrap).collect()
}

impl Tampered for postgres::tests::Fresh {
    fn rebuilds(&self) -> &dyn Rebuild {
        &self.store
    }

    fn shared(&self) -> SharedStore {
        Arc::new(self.store.clone())
    }

    fn tamper(&self, sql: &str) {
        let sql = format!("SET session_replication_role = replica; {sql}");
        self.database.execute(&sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    fn uncheck(&self) {
        const UNCHECKED: &str = "
            DO $$
            DECLARE checked record;
            BEGIN
                FOR checked IN
                    SELECT conrelid::regclass AS kept, conname FROM pg_constraint
                    WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND coninhcount = 0
                LOOP
                    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', checked.kept, checked.conname);
                END LOOP;
                FOR checked IN
                    SELECT indexrelid::regclass AS kept FROM pg_index
                    JOIN pg_class ON pg_class.oid = indrelid
                    WHERE indisunique AND NOT indisprimary AND relnamespace = 'public'::regnamespace
                        AND NOT relispartition
                LOOP
                    EXECUTE format('DROP INDEX %s', checked.kept);
                END LOOP;
            END
            $$";
        self.tamper(UNCHECKED);
    }

    fn columns(&self) -> Vec<Column> {
        const COLUMNS: &str = "
            SELECT made.relname, held.attname, format_type(held.atttypid, NULL),
                CASE WHEN held.attnum = ANY (keyed.indkey) THEN 1 ELSE 0 END
            FROM pg_class AS made
            JOIN pg_attribute AS held ON held.attrelid = made.oid AND held.attnum > 0 AND NOT held.attisdropped
            LEFT JOIN pg_index AS keyed ON keyed.indrelid = made.oid AND keyed.indisprimary
            WHERE made.relnamespace = 'public'::regnamespace AND made.relkind IN ('r', 'p')
                AND NOT made.relispartition
            ORDER BY made.relname, held.attnum";
        let database = &self.database;
        let rows = database.server.rows(&database.name, COLUMNS).unwrap();
        rows.iter().map(|row| Column::of(row)).collect()
    }

    fn count(&self, table: &str) -> u64 {
        let database = &self.database;
        let rows = database.server.rows(&database.name, &format!("SELECT count(*) FROM {table}")).unwrap();
        rows[0][0].parse().unwrap()
    }

    fn blob(bytes: &[u8]) -> String {
        format!("'\\x{}'::bytea", hex::encode(bytes))
    }

    fn another(Column { name, kind, .. }: &Column) -> String {
        match kind.as_str() {
            "text" => format!("coalesce({name}, '') || 'x'"),
            "bigint" | "integer" | "smallint" => format!("coalesce({name}, 0) + 1000"),
            "double precision" => format!("{name} / 2 + 0.125"),
            "bytea" => format!(
                "CASE WHEN octet_length({name}) = 32 THEN sha256('x') ELSE coalesce({name}, '') || '\\x00'::bytea END"
            ),
            "timestamp with time zone" => format!("coalesce({name}, '2026-01-01Z') + interval '1 second'"),
            "jsonb" => format!(
                "CASE jsonb_typeof({name}) WHEN 'array' THEN {name} || '[7]' ELSE coalesce({name}, '{{}}') || '{{\"x\": \"x\"}}' END"
            ),
            kind => panic!("{name} is {kind}"),
        }
    }

    async fn reopen(&self) {
        let options = postgres::Options::default();
        postgres::PostgresStore::open(&self.location(), options, at(0)).await.unwrap();
    }
}

/// Makes a test of each of these functions, on both databases.
macro_rules! on_both {
    ($($name:ident,)+) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&crate::store::sqlite::tests::fresh()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&crate::store::postgres::tests::fresh()).await;
            })+
        }
    };
}

pub(crate) use on_both;
