//! Rows that nothing vouches for.

use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    error::{Error, Result},
    session::Session,
    values::Micros,
};
use crate::store::{
    rows::Cells as _,
    strays::{KeyPart, RowKey, Strays, Table},
    vouched::{Voucher, vouched_for},
};

/// See [`crate::store::Store::strays`].
pub(super) async fn strays(
    session: &Session,
    table: Table,
    log: Option<&str>,
    after: Option<&RowKey>,
    limit: u32,
) -> Result<Strays> {
    let (mut rows, mut looked_at, mut last) = (Vec::new(), 0, None);
    for place in places(table, log, after) {
        let left = i64::from(limit - looked_at);
        let sql = page(table, place);
        let statement = session.prepare_cached(&sql).await?;
        let types = statement.params();
        let mut values: Vec<Box<dyn ToSql + Sync + Send>> = Vec::new();
        match after {
            Some(after) => {
                for ((name, part), wanted) in after.columns.iter().zip(types) {
                    values.push(value(name, part, wanted));
                }
            }
            None => values.push(Box::new(log.unwrap_or_default().to_owned())),
        }
        values.truncate(types.len() - 1);
        values.push(Box::new(left));
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value.as_ref() as _).collect();
        for row in session.query(&statement, &values).await? {
            let key = key(table, &row)?;
            if !row.try_get::<_, bool>(columns(table).len())? {
                rows.push(key.clone());
            }
            looked_at += 1;
            last = Some(key);
        }
        if looked_at == limit {
            break;
        }
    }
    Ok(Strays { rows, next: last.filter(|_| looked_at == limit) })
}

/// The columns of a table's key, in the order its index has them. An execution's begins with its
/// time: there is no other index that reads on where a page ended.
fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Execution => &["log", "created_at", "id", "attempt"],
        _ => table.key(),
    }
}

/// A part of the table, as a condition on the key that was seen last or the log that is meant.
type Place = &'static str;

/// The parts that follow, in order. Those of other logs only where all logs are meant.
fn places(table: Table, log: Option<&str>, after: Option<&RowKey>) -> Vec<Place> {
    let one = log.is_some();
    match (after.is_some(), table, one) {
        (false, _, true) => vec!["log = $1"],
        (false, _, false) => vec!["log >= $1"],
        // Times go down in that index, all else up.
        (true, Table::Execution, _) => {
            let mut places = vec![
                "log = $1 AND created_at = $2 AND (id, attempt) > ($3, $4)",
                "log = $1 AND created_at < $2",
            ];
            places.extend((!one).then_some("log > $1"));
            places
        }
        (true, Table::Entry | Table::SourceObject | Table::Hold | Table::Review, true) => {
            vec!["log = $1 AND idx > $2"]
        }
        (true, Table::Entry | Table::SourceObject | Table::Hold | Table::Review, false) => {
            vec!["(log, idx) > ($1, $2)"]
        }
        (true, Table::Revision, true) => vec!["log = $1 AND (id, attempt, revision) > ($2, $3, $4)"],
        (true, Table::Revision, false) => vec!["(log, id, attempt, revision) > ($1, $2, $3, $4)"],
        (true, Table::Quarantine, true) => vec!["log = $1 AND (execution_id, source_digest) > ($2, $3)"],
        (true, Table::Quarantine, false) => vec!["(log, execution_id, source_digest) > ($1, $2, $3)"],
        (true, Table::Purged, true) => vec!["log = $1 AND last_idx > $2"],
        (true, Table::Purged, false) => vec!["(log, last_idx) > ($1, $2)"],
        (true, Table::Erased, true) => vec!["log = $1 AND entry_idx > $2"],
        (true, Table::Erased, false) => vec!["(log, entry_idx) > ($1, $2)"],
        (true, Table::PurgePending, true) => vec!["log = $1 AND (id, attempt) > ($2, $3)"],
        (true, Table::PurgePending, false) => vec!["(log, id, attempt) > ($1, $2, $3)"],
        (true, Table::Tile, true) => vec!["log = $1 AND (level, idx) > ($2, $3)"],
        (true, Table::Tile, false) => vec!["(log, level, idx) > ($1, $2, $3)"],
        // A log has one.
        (true, Table::Checkpoint | Table::Succession, true) => vec![],
        (true, Table::Checkpoint | Table::Succession, false) => vec!["log > $1"],
    }
}

/// The next rows of a table, each with whether it is vouched for.
fn page(table: Table, place: Place) -> String {
    let (name, key, vouched) = (table.name(), columns(table).join(", "), vouched_for(table, &Own));
    let order = match table {
        Table::Execution => "log, created_at DESC, id, attempt",
        _ => &key,
    };
    let limit = (1..=4).rev().find(|number| place.contains(&format!("${number}"))).unwrap_or(0) + 1;
    format!(
        "
        -- strays of {name}
        SELECT {key}, {vouched}
        FROM {name} AS stray
        WHERE {place}
        ORDER BY {order}
        LIMIT ${limit}"
    )
}

/// Every statement there is about a table.
#[cfg(test)]
pub(super) fn pages(table: Table) -> Vec<String> {
    let after = RowKey { columns: Vec::new() };
    let mut pages = Vec::new();
    for log in [None, Some("")] {
        for after in [None, Some(&after)] {
            pages.extend(places(table, log, after).into_iter().map(|place| page(table, place)));
        }
    }
    pages
}

/// What only PostgreSQL says so.
struct Own;

impl Voucher for Own {
    fn own(&self, table: Table) -> &'static str {
        match table {
            // The latest revision, and no other: who asks with SQL believes that it is. In the partition
            // that its entry says, where whoever looks for it looks.
            Table::Execution => {
                "coalesce(
                    (
                        SELECT entry.revision = stray.revision AND entry.created_at = stray.created_at
                        FROM log_entry AS entry
                        WHERE entry.log = stray.log AND entry.execution_id = stray.id
                            AND entry.attempt = stray.attempt
                        ORDER BY entry.revision DESC
                        LIMIT 1
                    ),
                    FALSE)"
            }
            Table::SourceObject => {
                "EXISTS (
                    SELECT 1 FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.idx = stray.idx AND entry.kind = 'execution'
                        AND entry.created_at = stray.created_at)"
            }
            // Two rows may name one entry: its idempotency key says which of them it is about.
            Table::Quarantine => {
                "EXISTS (
                    SELECT 1 FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.idx = stray.idx AND entry.kind = 'quarantine'
                        AND entry.execution_id = stray.execution_id
                        AND entry.idempotency_key =
                            'quarantine:' || stray.execution_id || ':' || encode(stray.source_digest, 'hex'))"
            }
            Table::PurgePending => {
                "EXISTS (
                    SELECT 1 FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.execution_id = stray.id
                        AND entry.attempt = stray.attempt AND entry.created_at = stray.created_at)"
            }
            _ => unreachable!("every database says it alike"),
        }
    }

    fn is_purged(&self, index: &str) -> String {
        format!("dualaudit_is_purged(stray.log, {index})")
    }
}

fn key(table: Table, row: &Row) -> Result<RowKey> {
    let part = |(column, &name): (usize, &&'static str)| -> Result<_> {
        let part = match *row.columns()[column].type_() {
            Type::TEXT => row.string(column).map(KeyPart::Text),
            Type::BYTEA => row.blob(column).map(|bytes| KeyPart::Bytes(bytes.to_owned())),
            Type::TIMESTAMPTZ => row.micros(column).map(KeyPart::Number),
            _ => row.integer(column).map(KeyPart::Number),
        };
        Ok((name, part?))
    };
    let columns = columns(table).iter().enumerate().map(part).collect::<Result<_>>();
    columns.map(|columns| RowKey { columns }).map_err(|error| match error {
        Error::Damaged(what) => Error::damaged(format!("table {}: {what}", table.name())),
        error => error,
    })
}

/// A part of a key as a parameter of the type that its column has.
fn value(name: &str, part: &KeyPart, wanted: &Type) -> Box<dyn ToSql + Sync + Send> {
    match part {
        KeyPart::Text(text) => Box::new(text.clone()),
        // No text here is garbled.
        KeyPart::Bytes(bytes) | KeyPart::Garbled(bytes) => Box::new(bytes.clone()),
        KeyPart::Number(micros) if name == "created_at" => Box::new(Micros(*micros)),
        KeyPart::Number(number) => match *wanted {
            Type::INT2 => Box::new(i16::try_from(*number).unwrap_or(i16::MAX)),
            Type::INT4 => Box::new(i32::try_from(*number).unwrap_or(i32::MAX)),
            _ => Box::new(*number),
        },
    }
}
