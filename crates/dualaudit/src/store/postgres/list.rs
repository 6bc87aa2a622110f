//! Pages of executions: SQL built from a filter, every value a parameter.

use std::pin::pin;

use dualaudit_record::Time;
use futures::TryStreamExt as _;
use tokio_postgres::types::ToSql;

use super::{
    error::Result,
    session::Session,
    values::{Micros, small},
};
use crate::store::{
    Cursor, Filter, LabelRequirement, Listed, Reach, Reviews,
    conditions::{Compared, Conditions, may_be_read, narrow, verdict_is},
    page::{Filling, Page},
    rows::{self, Cells, listed_columns},
};

/// How far back a page looks at first: a statement is planned for every partition that it may read, and
/// nearly every page is full before the third of them.
const RECENT: i64 = 32 * 86_400_000_000;

/// See [`crate::store::Store::list`].
///
/// A page begins with the rest of the instant its cursor stands in, then goes on to earlier ones: to
/// recent ones, and to all others only where these do not fill it. The instant has a statement of its own,
/// because the order goes down in time and up in the rest, and so has no single comparison that the index
/// could seek by.
pub(super) async fn list(
    session: &Session,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let mut page = Filling::new(limit);
    if let Some(after) = after {
        fill(&mut page, session, filter, |query| query.rest_of_instant(after)).await?;
    }
    let mut before = after.map(|after| after.created_at);
    if page.is_full() {
        return Ok(page.finish());
    }
    if let Some(recent) = recent(session, filter, before).await? {
        fill(&mut page, session, filter, |query| {
            query.since_instant(recent);
            query.before_instant(before);
        })
        .await?;
        if page.is_full() || filter.since.is_some_and(|since| since >= recent) {
            return Ok(page.finish());
        }
        before = Some(recent);
    }
    fill(&mut page, session, filter, |query| query.before_instant(before)).await?;
    Ok(page.finish())
}

/// Where the recent ones begin that a page looks at first; `None` where no log has an entry.
async fn recent(session: &Session, filter: &Filter, before: Option<Time>) -> Result<Option<Time>> {
    const NEWEST: &str = "
        -- list: newest entry
        SELECT max(recorded_at)
        FROM log
        WHERE name = $1 OR $1 IS NULL";
    let newest = match before {
        Some(before) => Some(before),
        None => match session.row(NEWEST, &[&filter.log]).await? {
            Some(row) => row.optional(0, Cells::time)?,
            None => None,
        },
    };
    let newest = newest.map(|newest| filter.until.map_or(newest, |until| newest.min(until)));
    Ok(newest.map(|newest| newest.saturating_add_micros(-RECENT)))
}

/// See [`crate::store::Store::count`].
pub(super) async fn count(session: &Session, filter: &Filter, most: u32) -> Result<u64> {
    let Query { sql, values, .. } = statement(filter, most, |_| {});
    let statement = session.prepare(&format!("SELECT count(*) FROM (\n{sql}\n) AS counted")).await?;
    let values: Vec<_> = values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect();
    session.query_one(&statement, &values).await?.number(0)
}

async fn fill(
    page: &mut Filling,
    session: &Session,
    filter: &Filter,
    position: impl FnOnce(&mut Query),
) -> Result<()> {
    let Query { sql, values, .. } = statement(filter, page.wanted(), position);
    let statement = session.prepare(&sql).await?;
    let values = values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync));
    let mut found = pin!(session.query_raw(&statement, values).await?);
    while let Some(row) = found.try_next().await? {
        if !page.push(Listed { log: row.string(0)?, execution: rows::listed(&row)? }) {
            break;
        }
    }
    Ok(())
}

/// Every log gives its own page, in the order of its index; the whole page is the beginning of all
/// these together. A filter on the log leaves one.
pub(super) fn statement(filter: &Filter, limit: u32, position: impl FnOnce(&mut Query)) -> Query {
    let mut query = Query::of(filter);
    position(&mut query);
    let limit = query.bind(i64::from(limit));
    query.sql = format!(
        "-- list
SELECT execution.*
FROM log AS each
CROSS JOIN LATERAL (
    SELECT {columns}
    FROM workflow_execution_audit
    WHERE log = each.name{conditions}
    ORDER BY created_at DESC, id, attempt
    LIMIT {limit}
) AS execution
WHERE each.state = 'open'{logs}
ORDER BY execution.created_at DESC, execution.log, execution.id, execution.attempt
LIMIT {limit}",
        columns = listed_columns!(),
        conditions = query.sql,
        logs = query.logs,
    );
    query
}

/// A statement under construction: its conditions, until it is put together.
#[derive(Default)]
pub(super) struct Query {
    pub(super) sql: String,
    /// Conditions on the logs.
    logs: String,
    pub(super) values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Query {
    fn of(filter: &Filter) -> Self {
        let mut query = Self::default();
        if let Some(log) = &filter.log {
            let log = query.bind(log.clone());
            query.logs = format!(" AND each.name = {log}");
        }
        narrow(&mut query, filter);
        // One look at a key for each row, whatever the planner believes of that table.
        query.require(
            "(
            SELECT 1
            FROM purge_pending AS pending
            WHERE pending.log = each.name AND pending.id = workflow_execution_audit.id
                AND pending.attempt = workflow_execution_audit.attempt
            LIMIT 1
        ) IS NULL",
        );
        query
    }

    pub(super) fn rest_of_instant(&mut self, after: &Cursor) {
        self.compare("created_at", "=", Compared::Time(after.created_at));
        let log = self.bind(after.log.clone());
        let id = self.bind(after.id.clone());
        let attempt = self.bind(small(after.attempt));
        self.logs.push_str(&format!(" AND each.name >= {log}"));
        self.require(&format!("(each.name > {log} OR (id, attempt) > ({id}, {attempt}))"));
    }

    pub(super) fn since_instant(&mut self, instant: Time) {
        self.compare("created_at", ">=", Compared::Time(instant));
    }

    pub(super) fn before_instant(&mut self, instant: Option<Time>) {
        if let Some(instant) = instant {
            self.compare("created_at", "<", Compared::Time(instant));
        }
    }

    /// A parameter that stands for a value.
    fn bind(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }
}

impl Conditions for Query {
    fn compare(&mut self, column: &str, comparison: &str, value: Compared<'_>) {
        let value = match value {
            Compared::Text(text) => self.bind(text.to_owned()),
            Compared::Time(time) => self.bind(Micros::from(time)),
            Compared::Integer(number) => self.bind(number),
            Compared::Real(number) => self.bind(number),
        };
        self.require(&format!("{column} {comparison} {value}"));
    }

    fn empty(&mut self, column: &str) {
        self.require(&format!("coalesce({column}, '') = ''"));
    }

    // A label's value is a text, never null.
    fn label(&mut self, requirement: &LabelRequirement) {
        let (LabelRequirement::In(key, _)
        | LabelRequirement::NotIn(key, _)
        | LabelRequirement::Exists(key)
        | LabelRequirement::Absent(key)) = requirement;
        let value = format!("labels ->> {}", self.bind(key.clone()));
        let condition = match requirement {
            LabelRequirement::In(_, values) => format!("({value}) = ANY ({})", self.bind(values.clone())),
            LabelRequirement::NotIn(_, values) => {
                format!("(({value}) = ANY ({})) IS NOT TRUE", self.bind(values.clone()))
            }
            LabelRequirement::Exists(_) => format!("({value}) IS NOT NULL"),
            LabelRequirement::Absent(_) => format!("({value}) IS NULL"),
        };
        self.require(&condition);
    }

    // One look at the index for each row, as for what is purged.
    fn last_attempt(&mut self) {
        self.require(
            "(
            SELECT 1
            FROM log_entry AS later
            WHERE later.log = each.name AND later.execution_id = workflow_execution_audit.id
                AND later.attempt > workflow_execution_audit.attempt
            LIMIT 1
        ) IS NULL",
        );
    }

    fn reviewed(&mut self, review: Reviews) {
        self.require(&verdict_is(
            review,
            "(
            SELECT verdict
            FROM review
            WHERE review.log = each.name AND review.id = workflow_execution_audit.id
                AND review.attempt = workflow_execution_audit.attempt
            ORDER BY idx DESC
            LIMIT 1
        )",
        ));
    }

    fn within(&mut self, reach: &Reach) {
        let condition = may_be_read(
            reach,
            "each.name",
            |value| self.bind(value),
            |since| since.to_string().into(),
            |namespaces| format!("({namespaces}::text::jsonb ->> namespace)::timestamptz <= created_at"),
        );
        self.require(&condition);
    }

    fn require(&mut self, condition: &str) {
        self.sql.push_str("\n        AND ");
        self.sql.push_str(condition);
    }
}
