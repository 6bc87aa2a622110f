//! Pages over both sides as one: what only the cluster has between what the database has.
//!
//! The live side is looked at before the stored one. What is recorded and released meanwhile is then on the stored side, and
//! what is on both is told once: both have the same place in the order, which is `created_at`, log, id and attempt.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use dualaudit_record::{WorkflowExecutionAudit, entry::Verdict, execution::Status};
use serde::{Deserialize, Serialize};

use super::{ListRequest, Page, Summary, Tier, summary::phase_of};
use crate::{
    live::{Board, LiveExecution, Place, Sight},
    store::{self, Cursor, Filter, Head, Listed, LogState, Owner, Reach, Reviews, Store, StoreError},
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
            Self::Stored(listed) => Summary::recorded(&listed.log, listed.execution, board),
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
    let limit = request.limit as usize;
    let after = |wanted: &dyn Fn(&LiveExecution) -> bool| {
        sides.live.map(|board| board.after(request.place().as_ref(), limit + 1, wanted)).unwrap_or_default()
    };
    // Before the database: what moves meanwhile is there.
    let mut live = after(&|it| it.recorded.is_none() && request.passes(it, None));
    let (found, missing) = tokio::join!(stored(sides, request), missing_live(sides, request.into()));
    let mut found = match found {
        Ok(found) => found,
        // Nobody else knows what was said of an execution.
        Err(StoreError::Unavailable(cause)) if sides.live.is_some() && request.filter.review.is_none() => {
            live = after(&|it| request.passes(it, None));
            Rows { warnings: vec![Warning::away(&cause)], ..Rows::default() }
        }
        Err(error) => return Err(error),
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
    found.warnings.extend(missing);
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
    let mut found = Rows { warnings: missing_live(sides, request.into()).await, ..Rows::default() };
    let Some(board) = sides.live else { return Ok(found) };
    let (limit, mut place) = (request.limit as usize, request.place());
    let step = if request.filter.review.is_some() { LOOKED_THROUGH } else { limit + 1 };
    loop {
        let unsaid = |it: &LiveExecution| request.passes_live(it);
        let next = board.after(place.as_ref(), step, unsaid);
        let is_last = next.len() < step;
        place = next.last().map(|it| it.place.clone());
        let verdicts = match request.filter.review {
            Some(_) => verdicts(sides.store, &next).await?,
            None => HashMap::new(),
        };
        let said = |it: &LiveExecution| verdicts.get(&it.place).copied();
        found.rows.extend(next.into_iter().filter(|it| request.passes(it, said(it))).map(Row::Live));
        if is_last || found.rows.len() > limit {
            break;
        }
    }
    found.more = found.rows.len() > limit;
    found.rows.truncate(limit);
    Ok(found)
}

/// The newest verdict on each of these that has one. What was recorded before its log was succeeded is in that.
async fn verdicts(
    store: &dyn Store,
    live: &[Arc<LiveExecution>],
) -> Result<HashMap<Place, Verdict>, StoreError> {
    let mut by_log: BTreeMap<&str, Vec<(String, u32)>> = BTreeMap::new();
    for Place { log, id, attempt, .. } in live.iter().filter(|it| it.recorded.is_some()).map(|it| &it.place) {
        by_log.entry(log).or_default().push((id.clone(), *attempt));
    }
    let mut verdicts = HashMap::new();
    for (log, of) in by_log {
        let said = store.verdicts(log, &of).await?;
        let place = |it: &Arc<LiveExecution>| {
            let verdict = said.get(&(it.place.id.clone(), it.place.attempt))?;
            (it.place.log == log).then(|| (it.place.clone(), *verdict))
        };
        verdicts.extend(live.iter().filter_map(place));
    }
    Ok(verdicts)
}

/// What may be asked for of the live side, as far as it decides what of that can be missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    pub(super) tier: Option<Tier>,
    /// In this log only.
    pub(super) log: Option<&'a str>,
    /// In this namespace only.
    pub(super) namespace: Option<&'a str>,
    /// What may be read.
    pub(super) within: Option<&'a Reach>,
}

impl<'a> From<&'a ListRequest> for Asked<'a> {
    fn from(request: &'a ListRequest) -> Self {
        let ListRequest { tier, filter, .. } = request;
        Self {
            tier: *tier,
            log: filter.log.as_deref(),
            namespace: filter.namespace.as_deref(),
            within: filter.within.as_deref(),
        }
    }
}

impl Asked<'_> {
    /// Whether it is about what is in this log, among others.
    pub fn is_about(self, log: &str) -> bool {
        self.log.is_none_or(|asked| asked == log)
            && self.within.is_none_or(|reach| reach.of_log(log).is_some())
    }
}

/// What of the live side is missing that is asked for.
pub async fn missing_live(sides: Sides<'_>, asked: Asked<'_>) -> Vec<Warning> {
    if asked.tier == Some(Tier::Stored) {
        return Vec::new();
    }
    let board = sides.live.filter(|board| asked.is_about(board.log()));
    let sighted = board.and_then(Warning::of_sight);
    let elsewhere = board.and_then(|board| Warning::of_other_namespaces(board, asked));
    let unseen = match sides.store.logs().await {
        Ok(heads) => unseen(&heads, asked, sides.live),
        Err(error) => {
            tracing::warn!(%error, "which logs there are cannot be told");
            let detail =
                "which clusters there are besides cannot be told: the database does not answer".to_owned();
            vec![Warning { missing: Missing::Live, log: None, detail }]
        }
    };
    sighted.into_iter().chain(elsewhere).chain(unseen).collect()
}

impl Warning {
    /// That not all of a cluster is seen.
    pub fn of_sight(board: &Board) -> Option<Self> {
        let log = board.log();
        let (missing, detail) = match board.sight() {
            Sight::Whole => return None,
            Sight::Listing => (
                Missing::Live,
                format!(
                    "the executions of {log} are still being read from its cluster; ask again in a while"
                ),
            ),
            Sight::Lost => (
                Missing::LiveChanges,
                format!(
                    "the API server of {log} does not answer: its live executions are shown as they were seen last"
                ),
            ),
        };
        Some(Self { missing, log: Some(log.to_owned()), detail })
    }

    /// That one namespace is watched, and others were asked about.
    fn of_other_namespaces(board: &Board, asked: Asked<'_>) -> Option<Self> {
        let watched = board.namespace().filter(|watched| asked.namespace != Some(watched))?;
        let log = board.log();
        let detail = format!(
            "of the cluster of log {log} this server watches the namespace {watched} alone: what is live in others is not seen"
        );
        Some(Self { missing: Missing::Live, log: Some(log.to_owned()), detail })
    }

    /// That the database does not answer. Why is told to the log alone: it may name paths.
    pub(super) fn away(cause: &str) -> Self {
        tracing::warn!(%cause, "the database does not answer: what is live is shown alone");
        let detail =
            "the database does not answer at present: what is recorded and gone from its cluster is missing";
        Self { missing: Missing::Stored, log: None, detail: detail.to_owned() }
    }
}

/// The clusters that this process does not see.
fn unseen(heads: &[Head], asked: Asked<'_>, seen: Option<&Board>) -> Vec<Warning> {
    heads
        .iter()
        .filter(|head| asked.is_about(&head.log))
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
