//! What would go, what keeps the rest, and why.

use std::collections::{BTreeMap, HashMap};

use dualaudit_record::{
    Entry, EntryKind, Time,
    digest::Digest,
    entry::{Covers, Hold, PurgedCount},
};
use serde::Serialize;

use super::Policy;
use crate::store::{
    Beside, MAX_PURGED, Store, StoreError, StoredBody, Weighed, WeighedUpTo, Which, entry_runs, part_digest,
    statistics,
};

/// Executions looked at at a time.
const LOOK: u32 = 5000;

/// Entries read at a time.
const PAGE: u32 = 500;

/// What a purge would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What `purge run` is told: the instant, and a digest of what goes.
    pub id: String,
    /// The instant at which their time is over.
    pub as_of: Time,
    /// For how long records are kept, in words.
    pub policy: String,
    /// One for each log.
    pub logs: Vec<LogPlan>,
}

/// What a purge would do to one log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LogPlan {
    /// Its name.
    pub log: String,
    /// How many executions go, each attempt counted.
    pub executions: u64,
    /// How many entries lose their bodies.
    pub entries: u64,
    /// What their rows and objects take in the database, without indexes.
    pub bytes: u64,
    /// What they contributed to the statistics.
    pub statistics: Vec<PurgedCount>,
    /// How many whose time is over are kept by holds.
    pub held: u64,
    /// What each of these holds keeps of them.
    pub kept: Vec<Kept>,
    /// How many whose time is over have a resource in their cluster.
    pub tracked: u64,
    /// How many went already by this very plan, which was ended before its end.
    pub gone: u64,
    /// The parts, each of which goes as a whole.
    #[serde(skip)]
    pub(super) parts: Vec<PartPlan>,
}

/// What a hold keeps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kept {
    /// Index of the hold's entry.
    pub hold: u64,
    /// The hold.
    #[serde(flatten)]
    pub because: Hold,
    /// How many executions whose time is over it covers.
    pub executions: u64,
}

/// One part of a plan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PartPlan {
    /// Tells what is in it.
    pub(super) digest: Digest,
    /// It went already.
    pub(super) is_done: bool,
}

impl Plan {
    /// How many of its parts went already.
    pub(super) fn done(&self) -> usize {
        self.logs.iter().flat_map(|log| &log.parts).filter(|part| part.is_done).count()
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What should be known of holds and purges cannot be read.
    #[error(
        "log {log}, entry {index}: it cannot be read, so it is not known what may go: run `dualaudit verify`"
    )]
    Unreadable {
        /// The log.
        log: String,
        /// The entry.
        index: u64,
    },
}

/// Finds all that would go as of an instant, which is cut to whole seconds; changes nothing. `progress` is
/// told how many executions were looked at, in all.
///
/// # Errors
/// See [`PlanError`].
pub async fn plan(
    store: &dyn Store,
    policy: &Policy,
    as_of: Time,
    progress: impl FnMut(u64),
) -> Result<Plan, PlanError> {
    let whole = as_of.as_micros() - as_of.as_micros().rem_euclid(1_000_000);
    let as_of = Time::from_micros(whole).unwrap_or(as_of);
    resume(store, policy, as_of, None, progress).await
}

/// The same, where parts of the plan with this id have gone already.
pub(super) async fn resume(
    store: &dyn Store,
    policy: &Policy,
    as_of: Time,
    id: Option<&str>,
    mut progress: impl FnMut(u64),
) -> Result<Plan, PlanError> {
    let mut logs = Vec::new();
    for head in store.logs().await? {
        let mut plan = LogPlan { log: head.log.clone(), ..LogPlan::default() };
        if let Some(id) = id {
            done(store, &mut plan, id).await?;
        }
        let mut counts: BTreeMap<(&str, &str), PurgedCount> = BTreeMap::new();
        let mut walk = Walk::new(store, &head.log, policy, as_of).await?;
        while let Some(part) = walk.next(&mut progress).await? {
            let runs = entry_runs(&part);
            plan.parts.push(PartPlan { digest: part_digest(&runs), is_done: false });
            plan.executions += part.len() as u64;
            plan.entries += runs.iter().map(|(first, last)| last - first + 1).sum::<u64>();
            plan.bytes += part.iter().map(|execution| execution.bytes).sum::<u64>();
            for count in statistics(&part) {
                let sum = counts.entry((count.outcome.as_str(), count.status.as_str()));
                sum.and_modify(|sum| sum.executions += count.executions).or_insert(count);
            }
        }
        plan.statistics = counts.into_values().collect();
        walk.tell(&mut plan);
        logs.push(plan);
    }
    let policy = policy.to_string();
    Ok(Plan { id: plan_id(as_of, &policy, &logs), as_of, policy, logs })
}

/// The parts of a plan that went already.
async fn done(store: &dyn Store, plan: &mut LogPlan, id: &str) -> Result<(), PlanError> {
    let mut from = 0;
    loop {
        let page = store.entries(&plan.log, Which::Kind(EntryKind::Purge), from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        from = last.index + 1;
        for entry in &page {
            let Some(Entry::Purge(purge)) = entry.body.entry() else {
                return Err(PlanError::Unreadable { log: plan.log.clone(), index: entry.index });
            };
            if purge.plan == id {
                plan.gone += purge.executions;
                plan.parts.push(PartPlan { digest: part_digest(&purge.entries), is_done: true });
            }
        }
    }
}

/// The instant, and what tells a plan from any other.
fn plan_id(as_of: Time, policy: &str, logs: &[LogPlan]) -> String {
    let mut text = format!("dualaudit purge plan\n{as_of}\n{policy}\n");
    for LogPlan { log, parts, .. } in logs {
        for part in parts {
            text.push_str(&format!("{log} {}\n", part.digest));
        }
    }
    let digest = Digest::sha256(text.as_bytes()).to_string();
    let seconds: String = as_of.to_string().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{seconds}Z-{}", &digest[..16])
}

/// The instant that a plan's id begins with.
pub(super) fn as_of(id: &str) -> Option<Time> {
    let (time, digest) = id.split_once('-')?;
    let well_formed = time.len() == 16 && time.is_ascii() && digest.len() == 16;
    well_formed
        .then(|| {
            format!("{}-{}-{}:{}:{}", &time[..4], &time[4..6], &time[6..11], &time[11..13], &time[13..])
        })?
        .parse()
        .ok()
}

/// A way through all executions of a log, in parts of those that go.
pub(super) struct Walk<'a> {
    store: &'a dyn Store,
    log: String,
    policy: &'a Policy,
    as_of: Time,
    holds: OpenHolds,
    after: Option<WeighedUpTo>,
    at_end: bool,
    /// Those that go and are not handed out yet.
    waiting: Vec<Weighed>,
    kept: BTreeMap<u64, u64>,
    held: u64,
    tracked: u64,
}

impl<'a> Walk<'a> {
    pub(super) async fn new(
        store: &'a dyn Store,
        log: &str,
        policy: &'a Policy,
        as_of: Time,
    ) -> Result<Self, PlanError> {
        Ok(Self {
            store,
            log: log.to_owned(),
            policy,
            as_of,
            holds: OpenHolds::of(store, log).await?,
            after: None,
            at_end: false,
            waiting: Vec::new(),
            kept: BTreeMap::new(),
            held: 0,
            tracked: 0,
        })
    }

    /// The next part; `None` after the last.
    pub(super) async fn next(
        &mut self,
        progress: &mut impl FnMut(u64),
    ) -> Result<Option<Vec<Weighed>>, PlanError> {
        while self.waiting.len() < MAX_PURGED && !self.at_end {
            let horizon = self.policy.horizon(self.as_of);
            let look = self.store.weigh(&self.log, horizon, self.after.as_ref(), LOOK).await?;
            progress(u64::from(LOOK));
            self.at_end = look.next.is_none();
            self.after = look.next;
            for execution in look.executions {
                self.judge(execution);
            }
        }
        let rest = self.waiting.split_off(self.waiting.len().min(MAX_PURGED));
        let part = std::mem::replace(&mut self.waiting, rest);
        Ok((!part.is_empty()).then_some(part))
    }

    fn judge(&mut self, execution: Weighed) {
        let Some(latest) = execution.facts.first() else { return };
        let namespace = latest.namespace.as_deref();
        let expires =
            self.policy.expires(&latest.workflow_name, namespace, execution.outcome, execution.completed_at);
        if expires.is_none_or(|expires| expires > self.as_of) {
            return;
        }
        let covering = self.holds.covering(&execution);
        if execution.tracked {
            self.tracked += 1;
        } else if covering.is_empty() {
            self.waiting.push(execution);
            return;
        }
        self.held += u64::from(!covering.is_empty());
        for hold in covering {
            *self.kept.entry(hold).or_default() += 1;
        }
    }

    /// Says what is kept.
    fn tell(self, plan: &mut LogPlan) {
        plan.held = self.held;
        plan.tracked = self.tracked;
        let because = |(hold, executions)| {
            Some(Kept { hold, because: self.holds.holds.get(&hold)?.clone(), executions })
        };
        plan.kept = self.kept.into_iter().filter_map(because).collect();
    }
}

/// The open holds of a log.
#[derive(Default)]
struct OpenHolds {
    holds: BTreeMap<u64, Hold>,
    of_one: HashMap<String, Vec<u64>>,
    selecting: Vec<u64>,
}

impl OpenHolds {
    async fn of(store: &dyn Store, log: &str) -> Result<Self, PlanError> {
        let mut open = Self::default();
        let mut from = 0;
        loop {
            let page = store.entries(log, Which::Kind(EntryKind::Hold), from, PAGE).await?;
            let Some(last) = page.last() else { return Ok(open) };
            from = last.index + 1;
            for entry in page {
                match (entry.body, entry.beside) {
                    (StoredBody::Whole(said, _), Beside::Hold(Ok(Some(row)))) => {
                        if let (Entry::Hold(hold), None) = (*said, row.released) {
                            open.add(entry.index, hold);
                        }
                    }
                    _ => return Err(PlanError::Unreadable { log: log.to_owned(), index: entry.index }),
                }
            }
        }
    }

    fn add(&mut self, index: u64, hold: Hold) {
        match &hold.covers {
            Covers::ExecutionId(id) => self.of_one.entry(id.clone()).or_default().push(index),
            Covers::Selector(_) => self.selecting.push(index),
        }
        self.holds.insert(index, hold);
    }

    fn covering(&self, execution: &Weighed) -> Vec<u64> {
        let selects = |index: &&u64| match self.holds.get(index).map(|hold| &hold.covers) {
            Some(Covers::Selector(selector)) => execution.is_covered(selector),
            _ => false,
        };
        let of_one = self.of_one.get(&execution.id).into_iter().flatten();
        of_one.chain(self.selecting.iter().filter(selects)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_its_instant() {
        let instant: Time = "2026-11-25T01:23:45Z".parse().unwrap();
        let id = plan_id(instant, "7y", &[]);
        assert!(id.starts_with("20261125T012345Z-"), "{id}");
        assert_eq!(as_of(&id), Some(instant));
        for wrong in ["", "x", "20261125T012345Z", "20261125T012345Z-x", "2026é125T01234Z-0123456789abcdef"]
        {
            assert_eq!(as_of(wrong), None, "{wrong}");
        }
        assert_ne!(plan_id(instant, "8y", &[]), id);
    }
}
