//! Pages of executions: SQL built from a filter, every value a parameter.

use rusqlite::{Connection, params_from_iter, types::Value};

use super::error::Result;
use crate::store::{
    Cursor, Filter, LabelRequirement, Listed, Reach, Reviews,
    conditions::{Compared, Conditions, may_be_read, narrow, verdict_is},
    page::{Filling, Page},
    rows::{self, listed_columns},
};

/// See [`crate::store::Store::list`].
///
/// A page begins with the rest of the instant its cursor stands in, then goes on to earlier ones.
/// Two statements, because the order goes down in time and up in the rest, and so has no single
/// comparison that the index could seek by.
pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let mut page = Filling::new(limit);
    match after {
        None => fill(&mut page, connection, filter, |_| {})?,
        Some(after) => {
            fill(&mut page, connection, filter, |query| query.rest_of_instant(after))?;
            if !page.is_full() {
                fill(&mut page, connection, filter, |query| query.before_instant(after))?;
            }
        }
    }
    Ok(page.finish())
}

/// See [`crate::store::Store::count`].
pub(super) fn count(connection: &Connection, filter: &Filter, most: u32) -> Result<u64> {
    let Query { sql, values } = statement(filter, most, |_| {});
    let sql = format!("SELECT count(*) FROM (\n{sql}\n)");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params_from_iter(values), |row| row.get(0))?)
}

fn fill(
    page: &mut Filling,
    connection: &Connection,
    filter: &Filter,
    position: impl FnOnce(&mut Query),
) -> Result<()> {
    let Query { sql, values } = statement(filter, page.wanted(), position);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    while let Some(row) = found.next()? {
        if !page.push(Listed { log: row.get(0)?, execution: rows::listed(row)? }) {
            break;
        }
    }
    Ok(())
}

fn statement(filter: &Filter, limit: u32, position: impl FnOnce(&mut Query)) -> Query {
    let mut query = Query::of(filter);
    position(&mut query);
    let limit = query.bind(i64::from(limit));
    query.sql.push_str("\nORDER BY created_at DESC, log, id, attempt\nLIMIT ");
    query.sql.push_str(&limit);
    query
}

/// A statement under construction.
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    fn of(filter: &Filter) -> Self {
        // Each of the indexes is in the order of lists, within what it is about. Named, because
        // the planner would rather take the primary key for `log` and sort everything.
        let index = match filter {
            Filter { name: Some(name), .. } if !name.is_empty() => "workflow_execution_audit_name",
            Filter { remediation_id: Some(_), .. } => "workflow_execution_audit_remediation",
            Filter { workflow: Some(_), .. } => "workflow_execution_audit_workflow",
            Filter { namespace: Some(namespace), .. } if !namespace.is_empty() => {
                "workflow_execution_audit_namespace"
            }
            _ => "workflow_execution_audit_newest",
        };
        let sql = format!(
            "-- list\nSELECT {}\nFROM workflow_execution_audit INDEXED BY {index}\nWHERE TRUE",
            listed_columns!()
        );
        let mut query = Self { sql, values: Vec::new() };
        if let Some(log) = &filter.log {
            // The plus keeps the planner from sorting what the index has in order.
            query.compare("+log", "=", Compared::Text(log));
        }
        narrow(&mut query, filter);
        query.require(
            "NOT EXISTS (
                SELECT 1 FROM purge_pending AS pending
                WHERE pending.log = workflow_execution_audit.log AND pending.id = workflow_execution_audit.id
                    AND pending.attempt = workflow_execution_audit.attempt)",
        );
        query
    }

    fn rest_of_instant(&mut self, after: &Cursor) {
        self.compare("created_at", "=", Compared::Time(after.created_at));
        let log = self.bind(after.log.clone());
        let id = self.bind(after.id.clone());
        let attempt = self.bind(i64::from(after.attempt));
        self.require(&format!("(log, id, attempt) > ({log}, {id}, {attempt})"));
    }

    fn before_instant(&mut self, after: &Cursor) {
        self.compare("created_at", "<", Compared::Time(after.created_at));
    }

    /// A parameter that stands for a value.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }
}

impl Conditions for Query {
    fn compare(&mut self, column: &str, comparison: &str, value: Compared<'_>) {
        let value = match value {
            Compared::Text(text) => self.bind(text.to_owned()),
            Compared::Time(time) => self.bind(time.as_micros()),
            Compared::Integer(number) => self.bind(number),
            Compared::Real(number) => self.bind(number),
        };
        self.require(&format!("{column} {comparison} {value}"));
    }

    fn empty(&mut self, column: &str) {
        self.require(&format!("coalesce({column}, '') = ''"));
    }

    fn label(&mut self, requirement: &LabelRequirement) {
        let (negated, key, values) = match requirement {
            LabelRequirement::In(key, values) => ("", key, Some(values)),
            LabelRequirement::NotIn(key, values) => ("NOT ", key, Some(values)),
            LabelRequirement::Exists(key) => ("", key, None),
            LabelRequirement::Absent(key) => ("NOT ", key, None),
        };
        let key = self.bind(key.clone());
        let among = match values {
            None => String::new(),
            Some(values) => {
                let values: Vec<_> = values.iter().map(|value| self.bind(value.clone())).collect();
                format!(" AND label.value IN ({})", values.join(", "))
            }
        };
        self.require(&format!(
            "{negated}EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = {key}{among})"
        ));
    }

    fn last_attempt(&mut self) {
        self.require(
            "NOT EXISTS (
                SELECT 1 FROM log_entry AS later
                WHERE later.log = workflow_execution_audit.log AND later.execution_id = workflow_execution_audit.id
                    AND later.attempt > workflow_execution_audit.attempt)",
        );
    }

    fn reviewed(&mut self, review: Reviews) {
        self.require(&verdict_is(
            review,
            "(
                SELECT verdict FROM review INDEXED BY review_execution
                WHERE review.log = workflow_execution_audit.log AND review.id = workflow_execution_audit.id
                    AND review.attempt = workflow_execution_audit.attempt
                ORDER BY idx DESC
                LIMIT 1)",
        ));
    }

    fn within(&mut self, reach: &Reach) {
        // The plus keeps the planner from sorting what the index has in order.
        let condition = may_be_read(
            reach,
            "+log",
            |value| self.bind(value),
            |since| since.as_micros().into(),
            |namespaces| {
                format!(
                    "EXISTS (
                        SELECT 1 FROM json_each({namespaces}) AS may
                        WHERE may.key = namespace AND may.value <= created_at)"
                )
            },
        );
        self.require(&condition);
    }

    fn require(&mut self, condition: &str) {
        self.sql.push_str("\n    AND ");
        self.sql.push_str(condition);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dualaudit_record::{Time, execution::Outcome};

    use super::*;
    use crate::store::{
        Within,
        sqlite::{known::collect, migrate},
    };

    #[test]
    fn every_list_seeks_in_an_index_and_sorts_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut connection).unwrap();
        let text = || Some("x".to_owned());
        let since = Time::from_micros(0).unwrap();
        let shop = Within::Namespaces([("shop".to_owned(), since)].into());
        let reach = Arc::new(Reach::of([("a".to_owned(), Within::Whole), ("b".to_owned(), shop)]));
        let filters = [
            Filter::default(),
            Filter { log: text(), ..Filter::default() },
            Filter { workflow: text(), log: text(), ..Filter::default() },
            Filter { remediation_id: text(), workflow: text(), ..Filter::default() },
            Filter { name: text(), namespace: text(), ..Filter::default() },
            Filter { name: Some(String::new()), review: Some(Reviews::None), ..Filter::default() },
            Filter { outcome: Some(Outcome::Failed), since: Time::from_micros(0), ..Filter::default() },
            Filter { until: Time::from_micros(9), min_score: Some(0.5), ..Filter::default() },
            Filter { labels: vec![LabelRequirement::Exists("x".to_owned())], ..Filter::default() },
            Filter { counted: true, ..Filter::default() },
            Filter { namespace: text(), log: text(), since: Time::from_micros(0), ..Filter::default() },
            Filter { namespace: Some(String::new()), ..Filter::default() },
            Filter { within: Some(reach.clone()), ..Filter::default() },
            Filter { within: Some(reach), workflow: text(), ..Filter::default() },
            Filter { counted: true, workflow: text(), log: text(), ..Filter::default() },
        ];
        let after = Cursor {
            created_at: Time::from_micros(3).unwrap(),
            log: "l".to_owned(),
            id: "i".to_owned(),
            attempt: 1,
        };
        for filter in filters {
            let positions: [(&str, Query); 3] = [
                ("SCAN", statement(&filter, 9, |_| {})),
                ("SEARCH", statement(&filter, 9, |query| query.rest_of_instant(&after))),
                ("SEARCH", statement(&filter, 9, |query| query.before_instant(&after))),
            ];
            for (way, Query { sql, values }) in positions {
                let plan = collect(
                    &connection,
                    &format!("EXPLAIN QUERY PLAN {sql}"),
                    params_from_iter(values),
                    |row| Ok(row.get::<_, String>(3)?),
                )
                .unwrap();
                let first = &plan[0];
                assert!(first.starts_with(way) || first.starts_with("SEARCH"), "{filter:?}: {plan:?}");
                assert!(first.contains("USING INDEX workflow_execution_audit_"), "{filter:?}: {plan:?}");
                assert!(!plan.iter().any(|step| step.contains("B-TREE")), "{filter:?}: {plan:?}");
                let later: Vec<_> = plan.iter().filter(|step| step.contains(" later ")).collect();
                assert_eq!(later.len(), usize::from(filter.counted), "{filter:?}: {plan:?}");
                let sought = "SEARCH later USING COVERING INDEX log_entry_execution";
                assert!(later.iter().all(|step| step.starts_with(sought)), "{filter:?}: {plan:?}");
            }
        }
    }
}
