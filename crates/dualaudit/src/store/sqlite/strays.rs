//! Rows that nothing vouches for.

use rusqlite::{
    Connection, Row, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::error::{Error, Result};
use crate::store::{
    rows::Cells as _,
    strays::{KeyPart, RowKey, Strays, Table},
    vouched::{Voucher, vouched_for},
};

/// See [`crate::store::Store::strays`].
///
/// Reads on beyond the end of `log` by at most a page, so that one statement serves for one log and
/// for all.
pub(super) fn strays(
    connection: &Connection,
    table: Table,
    log: Option<&str>,
    after: Option<&RowKey>,
    limit: u32,
) -> Result<Strays> {
    let mut values = match after {
        Some(after) => after.columns.iter().map(|(_, part)| Bound(part.clone())).collect(),
        None => vec![Bound(KeyPart::Text(log.unwrap_or_default().to_owned()))],
    };
    values.push(Bound(KeyPart::Number(limit.into())));
    let mut statement = connection.prepare_cached(&page(table, after.is_some()))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut strays = Vec::new();
    let (mut looked_at, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        let key = key(table, row)?;
        if log.is_some_and(|log| log != key.log()) {
            return Ok(Strays { rows: strays, next: None });
        }
        if !row.get::<_, bool>(table.key().len())? {
            strays.push(key.clone());
        }
        looked_at += 1;
        last = Some(key);
    }
    Ok(Strays { rows: strays, next: last.filter(|_| looked_at == limit) })
}

/// The next rows of a table, each with whether it is vouched for.
fn page(table: Table, goes_on: bool) -> String {
    let (name, key, vouched) = (table.name(), table.key().join(", "), vouched_for(table, &Own));
    let places: Vec<_> = (1..=table.key().len()).map(|place| format!("?{place}")).collect();
    let (start, limit) = match goes_on {
        true => (format!("({key}) > ({})", places.join(", ")), places.len() + 1),
        // Of no row it can be said what comes before its key: an id may be empty, a number the least.
        false => ("log >= ?1".to_owned(), 2),
    };
    format!(
        "
        -- strays of {name}
        SELECT {key}, {vouched}
        FROM {name} AS stray
        WHERE {start}
        ORDER BY {key}
        LIMIT ?{limit}"
    )
}

/// What only SQLite says so.
struct Own;

impl Voucher for Own {
    fn own(&self, table: Table) -> &'static str {
        match table {
            // The latest revision, and no other: who asks with SQL believes that it is.
            Table::Execution => {
                "stray.revision IS (
                    SELECT max(entry.revision) FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.execution_id = stray.id
                        AND entry.attempt = stray.attempt)"
            }
            Table::SourceObject => {
                "EXISTS (
                    SELECT 1 FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.idx = stray.idx AND entry.kind = 'execution')"
            }
            // Two rows may name one entry: its idempotency key says which of them it is about.
            Table::Quarantine => {
                "EXISTS (
                    SELECT 1 FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.idx = stray.idx AND entry.kind = 'quarantine'
                        AND entry.execution_id = stray.execution_id
                        AND entry.idempotency_key =
                            'quarantine:' || stray.execution_id || ':' || lower(hex(stray.source_digest)))"
            }
            Table::PurgePending => {
                "EXISTS (
                    SELECT 1 FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.execution_id = stray.id
                        AND entry.attempt = stray.attempt)
                AND NOT EXISTS (
                    SELECT 1 FROM workflow_execution_audit AS waiting
                    WHERE waiting.log = stray.log AND waiting.id = stray.id
                        AND waiting.attempt = stray.attempt AND waiting.created_at <> stray.created_at)"
            }
            _ => unreachable!("every database says it alike"),
        }
    }

    fn is_purged(&self, index: &str) -> String {
        format!(
            "(coalesce(
                (
                    SELECT run.first_idx FROM purged AS run
                    WHERE run.log = stray.log AND run.last_idx >= {index}
                    ORDER BY run.last_idx
                    LIMIT 1
                ),
                {index} + 1) <= {index})"
        )
    }
}

fn key(table: Table, row: &Row<'_>) -> Result<RowKey> {
    let part = |(column, name): (usize, &'static str)| -> Result<_> {
        let part = match row.get_ref(column)? {
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => KeyPart::Text(text.to_owned()),
                Err(_) => KeyPart::Garbled(text.to_owned()),
            },
            ValueRef::Integer(number) => KeyPart::Number(number),
            ValueRef::Blob(bytes) => KeyPart::Bytes(bytes.to_owned()),
            ValueRef::Null | ValueRef::Real(_) => {
                return Err(of(table, row.unreadable(column, "no key holds such a value")));
            }
        };
        Ok((name, part))
    };
    let columns = table.key().iter().copied().enumerate().map(part).collect::<Result<_>>()?;
    Ok(RowKey { columns })
}

fn of(table: Table, error: Error) -> Error {
    match error {
        Error::Damaged(what) => Error::damaged(format!("table {}: {what}", table.name())),
        error => error,
    }
}

/// A part of a key as a parameter, whatever it holds.
struct Bound(KeyPart);

impl ToSql for Bound {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match &self.0 {
            KeyPart::Text(text) => ValueRef::Text(text.as_bytes()),
            KeyPart::Garbled(bytes) => ValueRef::Text(bytes),
            KeyPart::Number(number) => ValueRef::Integer(*number),
            KeyPart::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;
    use crate::store::sqlite::{known::collect, migrate};

    #[test]
    fn every_page_and_every_voucher_is_sought_by_a_key() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut connection).unwrap();
        for table in Table::ALL {
            for goes_on in [false, true] {
                let sql = format!("EXPLAIN QUERY PLAN {}", page(table, goes_on));
                let values = vec![Value::Null; if goes_on { table.key().len() + 1 } else { 2 }];
                let plan =
                    collect(&connection, &sql, params_from_iter(values), |row| Ok(row.get::<_, String>(3)?))
                        .unwrap();
                let start = match table.key() {
                    key if goes_on && key.len() > 1 => format!("(({})>", key.join(",")),
                    _ => "(log>".to_owned(),
                };
                assert!(plan[0].starts_with("SEARCH stray") && plan[0].contains(&start), "{plan:#?}");
                let mut others = plan.iter().filter(|step| !step.contains("SUBQUERY"));
                assert!(others.all(|step| step.starts_with("SEARCH")), "{plan:#?}");
            }
        }
    }
}
