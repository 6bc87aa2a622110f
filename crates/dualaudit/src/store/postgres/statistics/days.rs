//! Rows of days: what people ask in SQL.

use dualaudit_record::statistics::{Daily, MOST};
use tokio_postgres::types::ToSql;

use crate::store::{
    postgres::{error::Result, session::Session},
    statistics::days::{DayRow, DayTable, Days, rows},
};

/// Adds to the rows of days.
pub(in crate::store::postgres) async fn add_days(
    session: &Session,
    log: &str,
    into: Days,
    daily: &Daily,
) -> Result<()> {
    for (table, rows) in rows(daily) {
        if rows.is_empty() {
            continue;
        }
        let (keys, sums) = (keys(table, &rows), sums(table, &rows));
        let columns = parameters(&log, &keys).chain(sums.iter().map(|column| column as &(dyn ToSql + Sync)));
        let add = session.prepare_cached(&add_to_days(table, into)).await?;
        session.execute(&add, &columns.collect::<Vec<_>>()).await?;
        let takes: Vec<&DayRow<'_>> = rows.iter().filter(|row| row.takes()).collect();
        if !takes.is_empty() {
            let keys = self::keys(table, takes);
            let remove = session.prepare_cached(&remove_days(table, into)).await?;
            session.execute(&remove, &parameters(&log, &keys).collect::<Vec<_>>()).await?;
        }
    }
    Ok(())
}

/// The values of keys, by columns.
fn keys<'a>(table: &DayTable, rows: impl IntoIterator<Item = &'a DayRow<'a>>) -> Vec<Vec<&'a str>> {
    let mut columns = vec![Vec::new(); table.key.len()];
    for row in rows {
        columns.iter_mut().zip(&row.key).for_each(|(column, value)| column.push(value.as_ref()));
    }
    columns
}

/// Numbers, by columns.
fn sums(table: &DayTable, rows: &[DayRow<'_>]) -> Vec<Vec<i64>> {
    (0..table.sums.len()).map(|place| rows.iter().map(|row| row.sums[place]).collect()).collect()
}

fn parameters<'a>(
    log: &'a &'a str,
    keys: &'a [Vec<&'a str>],
) -> impl Iterator<Item = &'a (dyn ToSql + Sync)> {
    std::iter::once(log as &(dyn ToSql + Sync)).chain(keys.iter().map(|column| column as &(dyn ToSql + Sync)))
}

/// The value of a column of the key out of its text.
fn out_of_text(column: &str) -> String {
    match column {
        "day" => "added.day::date".to_owned(),
        "step_number" => "added.step_number::integer".to_owned(),
        text => format!("added.{text}"),
    }
}

/// `$2::text[], $3::text[], ... $8::bigint[]`, so many of each.
fn arrays(keys: usize, sums: usize) -> String {
    let arrays =
        (0..keys + sums).map(|n| format!("${}::{}[]", n + 2, if n < keys { "text" } else { "bigint" }));
    arrays.collect::<Vec<_>>().join(", ")
}

/// Adds numbers to rows. None of them goes beyond [`MOST`], because a fold that stops at one execution would stop all.
fn add_to_days(table: &DayTable, into: Days) -> String {
    let (name, key, sums) = (into.name(table), table.key.join(", "), table.sums.join(", "));
    let arrays = arrays(table.key.len(), table.sums.len());
    let values: Vec<String> = table.key.iter().map(|column| out_of_text(column)).collect();
    let values = values.join(", ");
    let summed =
        |sum: &&str| format!("{sum} = greatest(least(kept.{sum} + excluded.{sum}, {MOST}), -{MOST})");
    let summed = table.sums.iter().map(summed).collect::<Vec<_>>().join(",\n            ");
    format!(
        "
        -- statistics: add to days
        INSERT INTO {name} AS kept (log, {key}, {sums})
        SELECT $1, {values}, {sums}
        FROM unnest({arrays}) AS added ({key}, {sums})
        ON CONFLICT (log, {key}) DO UPDATE
        SET {summed}"
    )
}

/// Removes rows if nothing is left of them.
fn remove_days(table: &DayTable, into: Days) -> String {
    let (name, key, arrays) = (into.name(table), table.key.join(", "), arrays(table.key.len(), 0));
    let same = table.key.iter().map(|column| format!(" AND kept.{column} = {}", out_of_text(column)));
    let zero = table.sums.iter().map(|sum| format!(" AND kept.{sum} = 0"));
    let (same, zero) = (same.collect::<String>(), zero.collect::<String>());
    format!(
        "
        -- statistics: remove days
        DELETE FROM {name} AS kept
        USING unnest({arrays}) AS added ({key})
        WHERE kept.log = $1{same}{zero}"
    )
}
