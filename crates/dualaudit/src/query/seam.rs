//! Pages over both sides as one: what only the cluster has between what the database has.
//!
//! The live side is looked at before the stored one. What is recorded and released meanwhile is then on the stored side, and
//! what is on both is told once: both have the same place in the order, which is `created_at`, log, id and attempt.

use std::{cmp::Reverse, sync::Arc};

use dualaudit_record::{WorkflowExecutionAudit, entry::Verdict, execution::Status};
use serde::{Deserialize, Serialize};

use super::{ListRequest, Page, Summary, Tier, summary::phase_of};
use crate::{
    live::{Board, LiveExecution, Place, Sight},
    store::{self, Cursor, Filter, Head, Listed, LogState, Owner, Reviews, Store, StoreError},
};

/// Live executions that are looked through at once where the database has to be asked about each.
const LOOKED_THROUGH: usize = 1000;

/// Both sides.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// What is recorded.
    pub store: &'a dyn Store,
    /// What this process sees of a cluster, if it sees one.
    pub live: Option<&'a Board>,
}

/// Something that an answer lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Warning {
    /// What is missing.
    pub missing: Missing,
    /// Of which log; of all where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Why, and what to do.
    pub detail: String,
}

/// What an answer may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Executions that run, or wait in their window: all of a cluster's.
    Live,
    /// What happened in a cluster since it was seen last.
    LiveChanges,
    /// What is recorded.
    Stored,
    /// How many there are in all.
    Count,
}

/// A row of either side.
pub(super) enum Row {
    Stored(Box<Listed>),
    Live(Arc<LiveExecution>),
}

impl Row {
    fn place(&self) -> Place {
        match self {
            Self::Stored(listed) => {
                let record = &listed.execution.record;
                Place {
                    created_at: Reverse(record.created_at),
                    log: listed.log.clone(),
                    id: record.id.clone(),
                    attempt: record.attempt,
                }
            }
            Self::Live(live) => live.place.clone(),
        }
    }

    fn summary(self, board: Option<&Board>) -> Summary {
        match self {
            Self::Live(live) => Summary::live(&live),
            Self::Stored(listed) => {
                let live = board.filter(|board| board.log() == listed.log);
                let live = live.and_then(|board| board.get(&listed.execution.record.id));
                let live = live.filter(|live| live.place.attempt == listed.execution.record.attempt);
                Summary::stored(*listed, live.as_deref())
            }
        }
    }
}

/// Rows in their order, and whether more follow.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) more: bool,
    warnings: Vec<Warning>,
}

/// One page of executions.
///
/// # Errors
/// Those of [`Store::list`]; that the database cannot be reached only where no other side could answer.
pub async fn list(sides: Sides<'_>, request: &ListRequest) -> Result<Page, StoreError> {
    let Rows { rows, more, warnings } = match request.tier {
        Some(Tier::Live) => live(sides, request).await?,
        Some(Tier::Stored) => stored(sides, request).await?,
        None => both(sides, request).await?,
    };
    let last = rows.last().filter(|_| more).map(Row::place);
    let next_cursor = last.map(|place| request.question.cursor(&cursor(place)));
    let items = rows.into_iter().map(|row| row.summary(sides.live));
    let items = items.filter(|row| request.phase.as_ref().is_none_or(|phase| *phase == row.phase));
    let mut page = Page { items: items.collect(), next_cursor, count: None, warnings };
    if request.count {
        match super::count::count(sides, request).await {
            Ok(count) => page.count = Some(count),
            Err(StoreError::TooSlow(_) | StoreError::Unavailable(_)) => page.warnings.push(Warning {
                missing: Missing::Count,
                log: None,
                detail: "the database did not count them in time; narrow the list by a workflow or a time"
                    .into(),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(page)
}

async fn both(sides: Sides<'_>, request: &ListRequest) -> Result<Rows, StoreError> {
    let Some(board) = sides.live else {
        let (stored, heads) = tokio::join!(stored(sides, request), sides.store.logs());
        let mut rows = stored?;
        rows.warnings.extend(unseen(&heads?, request, None));
        return Ok(rows);
    };
    // Before the database: what moves meanwhile is there.
    let limit = request.limit as usize;
    let only_live = |it: &LiveExecution| it.recorded.is_none() && request.passes(it, None);
    let mut live = board.after(request.place().as_ref(), limit + 1, only_live);
    let (found, heads) = tokio::join!(stored(sides, request), sides.store.logs());
    let (mut found, heads) = match (found, heads) {
        (Ok(found), heads) => (found, heads.unwrap_or_default()),
        // Nobody else knows what was said of an execution.
        (Err(error @ StoreError::Unavailable(_)), _) if request.filter.review.is_none() => {
            live = board.after(request.place().as_ref(), limit + 1, |it| request.passes(it, None));
            let detail = format!(
                "the database does not answer, so these are the live executions of {} alone, without what is \
                 recorded and gone: {error}",
                board.log()
            );
            let missing = Warning { missing: Missing::Stored, log: None, detail };
            (Rows { warnings: vec![missing], ..Rows::default() }, Vec::new())
        }
        (Err(error), _) => return Err(error),
    };
    if found.more
        && let Some(last) = found.rows.last().map(Row::place)
    {
        live.retain(|it| it.place < last);
    }
    let mut rows: Vec<Row> = found.rows.into_iter().chain(live.into_iter().map(Row::Live)).collect();
    // Stable: of what is on both sides the stored one is the first, and stays.
    rows.sort_by_cached_key(Row::place);
    rows.dedup_by_key(|row| row.place());
    found.warnings.extend(sighted(board, request));
    found.warnings.extend(unseen(&heads, request, Some(board)));
    let more = found.more || rows.len() > limit;
    rows.truncate(limit);
    Ok(Rows { rows, more, warnings: found.warnings })
}

async fn stored(sides: Sides<'_>, request: &ListRequest) -> Result<Rows, StoreError> {
    let Some(filter) = request.filter_of_records() else { return Ok(Rows::default()) };
    let store::Page { rows, more } = sides.store.list(&filter, request.after.as_ref(), request.limit).await?;
    let rows = rows.into_iter().map(|listed| Row::Stored(Box::new(listed))).collect();
    Ok(Rows { rows, more, warnings: Vec::new() })
}

/// What is live, whether it is recorded or not. The database is asked only what was said of it.
pub(super) async fn live(sides: Sides<'_>, request: &ListRequest) -> Result<Rows, StoreError> {
    let heads = sides.store.logs().await;
    let heads = heads.unwrap_or_default();
    let mut found = Rows { warnings: unseen(&heads, request, sides.live), ..Rows::default() };
    let Some(board) = sides.live else { return Ok(found) };
    found.warnings.extend(sighted(board, request));
    let (limit, mut place) = (request.limit as usize, request.place());
    let step = if request.filter.review.is_some() { LOOKED_THROUGH } else { limit + 1 };
    loop {
        let unsaid = |it: &LiveExecution| request.passes_live(it);
        let next = board.after(place.as_ref(), step, unsaid);
        let is_last = next.len() < step;
        place = next.last().map(|it| it.place.clone());
        let verdicts = match request.filter.review {
            Some(_) => {
                let recorded = next.iter().filter(|it| it.recorded.is_some());
                let of: Vec<_> = recorded.map(|it| (it.place.id.clone(), it.place.attempt)).collect();
                sides.store.verdicts(board.log(), &of).await?
            }
            None => Default::default(),
        };
        let said = |it: &LiveExecution| verdicts.get(&(it.place.id.clone(), it.place.attempt)).copied();
        found.rows.extend(next.into_iter().filter(|it| request.passes(it, said(it))).map(Row::Live));
        if is_last || found.rows.len() > limit {
            break;
        }
    }
    found.more = found.rows.len() > limit;
    found.rows.truncate(limit);
    Ok(found)
}

/// That not all of a cluster is seen.
fn sighted(board: &Board, request: &ListRequest) -> Option<Warning> {
    let log = board.log();
    if request.filter.log.as_deref().is_some_and(|asked| asked != log) {
        return None;
    }
    let (missing, detail) = match board.sight() {
        Sight::Whole => return None,
        Sight::Listing => (
            Missing::Live,
            format!("the executions of {log} are still being read from its cluster; ask again in a while"),
        ),
        Sight::Lost => (
            Missing::LiveChanges,
            format!(
                "the API server of {log} does not answer: its live executions are shown as they were seen last"
            ),
        ),
    };
    Some(Warning { missing, log: Some(log.to_owned()), detail })
}

/// The clusters that this process does not see.
fn unseen(heads: &[Head], request: &ListRequest, seen: Option<&Board>) -> Vec<Warning> {
    let asked = |head: &&Head| request.filter.log.as_ref().is_none_or(|asked| *asked == head.log);
    heads
        .iter()
        .filter(asked)
        .filter(|head| matches!((&head.owner, &head.state), (Owner::Cluster(_), LogState::Open)))
        .filter(|head| seen.is_none_or(|board| board.log() != head.log))
        .map(|head| Warning {
            missing: Missing::Live,
            log: Some(head.log.clone()),
            detail: format!(
                "what is live in the cluster of log {} is not seen from here; ask the server that runs its controller",
                head.log
            ),
        })
        .collect()
}

impl ListRequest {
    /// Where the list goes on.
    fn place(&self) -> Option<Place> {
        let Cursor { created_at, log, id, attempt } = self.after.clone()?;
        Some(Place { created_at: Reverse(created_at), log, id, attempt })
    }

    /// What is asked for of the records; `None` where nothing of these can be.
    pub(super) fn filter_of_records(&self) -> Option<Filter> {
        let mut filter = self.filter.clone();
        if let Some(phase) = &self.phase {
            let status = Status::ALL.iter().copied().find(|&status| phase_of(status) == phase)?;
            if filter.status.is_some_and(|asked| asked != status) {
                return None;
            }
            filter.status = Some(status);
        }
        Some(filter)
    }

    /// Whether a record of this log is asked for, whatever was said of it.
    pub fn passes_record(&self, log: &str, record: &WorkflowExecutionAudit) -> bool {
        self.filter.passes(log, record, true)
            && self.phase.as_deref().is_none_or(|asked| asked == phase_of(record.status))
    }

    /// Whether a live execution is asked for, of which this is the newest verdict.
    pub(super) fn passes(&self, it: &LiveExecution, said: Option<Verdict>) -> bool {
        self.passes_live(it) && self.filter.review.is_none_or(|review: Reviews| review.has(said))
    }

    /// Whether a live execution is asked for, whatever was said of it.
    pub fn passes_live(&self, it: &LiveExecution) -> bool {
        let phase = || if it.ended { phase_of(it.record.status) } else { &it.phase };
        self.filter.passes(&it.place.log, &it.record, it.ended)
            && (!self.filter.counted || it.recorded.is_some())
            && self.phase.as_deref().is_none_or(|asked| asked == phase())
    }
}

fn cursor(Place { created_at: Reverse(created_at), log, id, attempt }: Place) -> Cursor {
    Cursor { created_at, log, id, attempt }
}
