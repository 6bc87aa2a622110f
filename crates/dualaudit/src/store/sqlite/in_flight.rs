//! Executions in flight.

use rusqlite::{Connection, ToSql, params_from_iter};

use super::{error::Result, known::collect, leave};
use crate::store::{InFlight, InFlightFilter, LogState, rows};

/// See [`crate::store::Statistics::in_flight`].
pub(super) fn in_flight(
    connection: &Connection,
    log: &str,
    filter: &InFlightFilter,
    limit: u32,
) -> Result<InFlight> {
    if leave::state(connection, log)? != LogState::Open {
        return Ok(InFlight::default());
    }
    let one_more = i64::from(limit) + 1;
    let texts: Vec<&str> = filter.columns().map(|(_, value)| value).collect();
    let values =
        [&log as &dyn ToSql, &one_more].into_iter().chain(texts.iter().map(|text| text as &dyn ToSql));
    let found =
        collect(connection, &filter.statement('?'), params_from_iter(values), |row| rows::underway(row))?;
    Ok(InFlight::of(found, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate;

    #[test]
    fn what_is_in_flight_is_read_from_its_index_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut connection).unwrap();
        let text = || Some("x".to_owned());
        let filters = [
            InFlightFilter::default(),
            InFlightFilter { workflow: text(), ..InFlightFilter::default() },
            InFlightFilter { namespace: text(), target_kind: text(), ..InFlightFilter::default() },
            InFlightFilter {
                workflow: text(),
                version: text(),
                incident_type: text(),
                ..InFlightFilter::default()
            },
        ];
        for filter in filters {
            let sql = format!("EXPLAIN QUERY PLAN {}", filter.statement('?'));
            let values = ["l", "9"].into_iter().chain(filter.columns().map(|(_, value)| value));
            let plan =
                collect(&connection, &sql, params_from_iter(values), |row| Ok(row.get::<_, String>(3)?))
                    .unwrap();
            let by_workflow = filter.workflow.as_ref().map_or("", |_| " AND workflow_name=?");
            let expected = format!("SEARCH tracked USING COVERING INDEX tracked_running (log=?{by_workflow}");
            assert!(plan[0].starts_with(&expected), "{filter:?}: {plan:?}");
            // Where a term of the order is given, the terms after it are sorted among equals.
            let sorts = plan.iter().filter(|step| step.contains("B-TREE")).count();
            assert_eq!(
                sorts,
                usize::from(filter.namespace.is_some() || filter.incident_type.is_some()),
                "{plan:?}"
            );
        }
    }
}
