//! Rows of days: what people ask in SQL.

use dualaudit_record::statistics::{Daily, MOST};
use rusqlite::Connection;

use crate::store::{
    sqlite::error::Result,
    statistics::days::{DayTable, Days, rows},
};

/// Adds to the rows of days.
pub(in crate::store::sqlite) fn add_days(
    connection: &Connection,
    log: &str,
    into: Days,
    daily: &Daily,
) -> Result<()> {
    for (table, rows) in rows(daily) {
        let [add, remove] = [add_to_day(table, into), remove_day(table, into)];
        for row in &rows {
            let key = || std::iter::once(log).chain(row.key.iter().map(AsRef::as_ref));
            let mut statement = connection.prepare_cached(&add)?;
            let mut place = 1;
            for text in key() {
                statement.raw_bind_parameter(place, text)?;
                place += 1;
            }
            for number in &row.sums {
                statement.raw_bind_parameter(place, number)?;
                place += 1;
            }
            statement.raw_execute()?;
            if row.takes() {
                connection.prepare_cached(&remove)?.execute(rusqlite::params_from_iter(key()))?;
            }
        }
    }
    Ok(())
}

/// Adds numbers to a row. None of them goes beyond [`MOST`], because a fold that stops at one execution would stop all.
fn add_to_day(table: &DayTable, into: Days) -> String {
    let (name, key, sums) = (into.name(table), table.key.join(", "), table.sums.join(", "));
    let values: Vec<String> = (1..=1 + table.key.len() + table.sums.len()).map(|n| format!("?{n}")).collect();
    let added =
        table.sums.iter().map(|sum| format!("{sum} = max(min({sum} + excluded.{sum}, {MOST}), -{MOST})"));
    format!(
        "
        -- statistics: add to a day
        INSERT INTO {name} (log, {key}, {sums})
        VALUES ({values})
        ON CONFLICT (log, {key}) DO UPDATE
        SET {added}",
        values = values.join(", "),
        added = added.collect::<Vec<_>>().join(",\n            "),
    )
}

/// Removes a row if nothing is left of it.
fn remove_day(table: &DayTable, into: Days) -> String {
    let key = table.key.iter().enumerate().map(|(n, column)| format!(" AND {column} = ?{}", n + 2));
    let zero = table.sums.iter().map(|sum| format!(" AND {sum} = 0"));
    format!(
        "
        -- statistics: remove a day
        DELETE FROM {name}
        WHERE log = ?1{key}{zero}",
        name = into.name(table),
        key = key.collect::<String>(),
        zero = zero.collect::<String>(),
    )
}
