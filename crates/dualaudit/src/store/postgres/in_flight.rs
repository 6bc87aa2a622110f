//! Executions in flight.

use tokio_postgres::types::ToSql;

use super::{error::Result, log, session::Session};
use crate::store::{InFlight, InFlightFilter, LogState, rows};

/// See [`crate::store::Statistics::in_flight`].
pub(super) async fn in_flight(
    session: &Session,
    log: &str,
    filter: &InFlightFilter,
    limit: u32,
) -> Result<InFlight> {
    const STATE: &str = "
        -- in flight: where a log went
        SELECT state, moved_from, (SELECT successor FROM succession WHERE log = $1)
        FROM log
        WHERE name = $1";
    match session.row(STATE, &[&log]).await? {
        Some(row) if log::state(&row, 0)? == LogState::Open => {}
        _ => return Ok(InFlight::default()),
    }
    let one_more = i64::from(limit) + 1;
    let texts: Vec<&str> = filter.columns().map(|(_, value)| value).collect();
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&log, &one_more];
    values.extend(texts.iter().map(|text| text as &(dyn ToSql + Sync)));
    let found = session.rows(&filter.statement('$'), &values).await?;
    Ok(InFlight::of(found.iter().map(rows::underway).collect::<Result<_>>()?, limit))
}
