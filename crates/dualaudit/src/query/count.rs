//! How many rows a list has.

use dualaudit_record::{
    execution::Status,
    statistics::{Bucket, Cell, Ended, Hour, Keys, Level, Part, Stratum},
    time::{MAX, ZERO},
};
use serde::{Deserialize, Serialize};

use super::{
    ListRequest, Sides, Tier,
    seam::{self, Rows},
};
use crate::{
    live::LiveExecution,
    store::{Filter, Store, StoreError, WantedCells},
};

/// Rows of the database that are counted.
const COUNTED: u32 = 10_000;

/// How many rows a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Count {
    /// So many,
    pub value: u64,
    /// or more: nobody counted any further.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// Where nobody counted further, and the statistics tell: executions that were ever recorded, each once, by its last
    /// attempt; also those that were purged since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u64>,
}

/// How many a list has in all, whatever page of it is asked for.
pub(super) async fn count(sides: Sides<'_>, request: &ListRequest) -> Result<Count, StoreError> {
    let live = |wanted: &dyn Fn(&LiveExecution) -> bool| sides.live.map_or(0, |board| board.count(wanted));
    let live = match (request.tier, request.filter.review) {
        (Some(Tier::Live), Some(_)) => {
            let all = ListRequest { after: None, limit: COUNTED, ..request.clone() };
            let Rows { rows, more, .. } = seam::live(sides, &all).await?;
            return Ok(Count { value: rows.len() as u64, at_least: more, recorded: None });
        }
        (Some(Tier::Live), None) => live(&|it| request.passes(it, None)),
        (Some(Tier::Stored), _) => 0,
        (None, _) => live(&|it| it.recorded.is_none() && request.passes(it, None)),
    };
    let stored = match (request.tier, request.filter_of_records()) {
        (Some(Tier::Live), _) | (_, None) => 0,
        (_, Some(filter)) => sides.store.count(&filter, COUNTED + 1).await?,
    };
    let at_least = stored > COUNTED.into();
    let recorded = if at_least { recorded(sides.store, request).await? } else { None };
    Ok(Count { value: live + stored.min(COUNTED.into()), at_least, recorded })
}

/// How many executions were recorded that are asked for, as the statistics have it; `None` where these do not tell apart
/// what is asked for, or lack some of what was recorded.
async fn recorded(store: &dyn Store, request: &ListRequest) -> Result<Option<u64>, StoreError> {
    let Some(filter) = request.filter_of_records() else { return Ok(None) };
    let Filter { workflow, version, namespace, incident_type, target_kind, .. } = &filter;
    let [workflow, version, namespace, incident_type, target_kind] =
        [workflow, version, namespace, incident_type, target_kind].map(Option::as_deref);
    let told = Filter {
        log: filter.log.clone(),
        outcome: filter.outcome,
        status: filter.status,
        counted: filter.counted,
        workflow: workflow.map(str::to_owned),
        version: version.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        incident_type: incident_type.map(str::to_owned),
        target_kind: target_kind.map(str::to_owned),
        ..Filter::default()
    };
    if told != filter {
        return Ok(None);
    }
    let asked = Stratum { workflow, version, namespace, incident_type, target_kind };
    let (view, keys) = Keys::of_runs(&asked, false);
    let until = Bucket::of(Hour::of(MAX), Level::Hour).end();
    let wanted = WantedCells { view, keys, from: Hour::of(ZERO), until, by: None, part: Part::Ended };
    let counts = |ended: &Ended| {
        filter.outcome.is_none_or(|outcome| outcome == ended.outcome)
            && filter.status.is_none_or(|status| status == ended.status)
            && !(filter.counted && matches!(ended.status, Status::Cancelled | Status::Deleted))
    };
    let mut all = 0_i64;
    for head in store.logs().await? {
        if filter.log.as_ref().is_some_and(|log| *log != head.log) {
            continue;
        }
        let found = store.cells(&head.log, std::slice::from_ref(&wanted)).await?;
        if found.behind.is_some() || found.passed_over > 0 {
            return Ok(None);
        }
        for (_, _, cell) in found.cells.into_iter().flatten() {
            let Cell::Runs(cell) = cell else { continue };
            all += cell.ended.iter().filter(|(ended, _)| counts(ended)).map(|(_, count)| count).sum::<i64>();
        }
    }
    Ok(u64::try_from(all).ok())
}
