//! Does exactly what a plan says, or says that the world has changed.

use dualaudit_record::Time;
use serde::Serialize;

use super::{
    Appender, Plan, PlanError, Policy,
    plan::{Walk, as_of, resume},
};
use crate::store::{
    Answer, DraftContent, Originals, PurgeDraft, Refusal, RevisionName, Store, StoreError, Weighed, Which,
    entry_runs, part_digest,
};

/// Revisions that are looked at together before they go.
const ORIGINALS: u32 = 32;

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Purged {
    /// The plan's id.
    pub plan: String,
    /// One for each log of which something went.
    pub logs: Vec<PurgedLog>,
}

/// What went of one log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PurgedLog {
    /// Its name.
    pub log: String,
    /// How many executions went, each attempt counted.
    pub executions: u64,
    /// Indexes of the entries that say so.
    pub entries: Vec<u64>,
}

/// Why a plan was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// It is no plan's id.
    #[error(
        "{0:?} is no plan: expected an id as `dualaudit purge plan` prints it, such as 20261125T012345Z-0123456789abcdef"
    )]
    NoPlan(String),
    /// Its instant is not yet, by the clock of this machine.
    #[error("plan {plan} is for {as_of}, which is not yet: a record goes once its time is over")]
    NotYet {
        /// The plan.
        plan: String,
        /// Its instant.
        as_of: Time,
    },
    /// Other records would go now, or by another policy.
    #[error(
        "the world has changed since plan {0} was made, or this is another policy than it was made by: other \
         records would go now, so nothing went; look at `dualaudit purge plan` again"
    )]
    Changed(String),
    /// It changed on the way.
    #[error(
        "the world has changed meanwhile: in log {log} {what}; {executions} executions had gone before, and stay gone. Make a new plan for the rest"
    )]
    ChangedMeanwhile {
        /// The log.
        log: String,
        /// What was not as planned.
        what: String,
        /// What went.
        executions: u64,
    },
    /// The database failed; the same again goes on.
    #[error("{executions} executions went, then: {error}. The same again goes on where this ended")]
    Store {
        /// What went.
        executions: u64,
        /// What failed.
        error: StoreError,
    },
    /// It could not be planned anew.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Does what the plan with this id says, under the word of `actor`. `progress` is told how many
/// executions went, of how many.
///
/// # Errors
/// See [`PurgeError`].
pub async fn purge(
    appender: &Appender<'_>,
    policy: &Policy,
    id: &str,
    actor: &str,
    mut progress: impl FnMut(u64, u64),
) -> Result<Purged, PurgeError> {
    let as_of = as_of(id).ok_or_else(|| PurgeError::NoPlan(id.to_owned()))?;
    let store = appender.store;
    if as_of > appender.clock.now() {
        return Err(PurgeError::NotYet { plan: id.to_owned(), as_of });
    }
    let Some(mut plan) = anew(store, policy, as_of, id).await? else {
        return Err(PurgeError::Changed(id.to_owned()));
    };
    let total = plan.logs.iter().map(|log| log.executions).sum();
    let mut purged = Purged { plan: id.to_owned(), logs: Vec::new() };
    let mut gone = 0;
    loop {
        let mut changed = None;
        for place in 0..plan.logs.len() {
            let mut log = PurgedLog { log: plan.logs[place].log.clone(), ..PurgedLog::default() };
            let step = |executions| progress(executions, total);
            let done = purge_log(appender, policy, actor, &plan, place, &mut gone, &mut log, step).await;
            purged.add(log);
            match done {
                Err(error @ PurgeError::ChangedMeanwhile { .. }) => {
                    changed = Some(error);
                    break;
                }
                done => done?,
            }
        }
        let Some(error) = changed else { return Ok(purged) };
        // Another who does the same plan may have gone ahead: then it is still the same, with more of it done.
        match anew(store, policy, as_of, id).await? {
            Some(now) if now.done() > plan.done() => plan = now,
            _ => return Err(error),
        }
    }
}

/// The plan with this id as it is now; `None` where it would be another. While another does the same plan, a
/// part may go after what went was read and before what is left is looked at: then it is looked at again.
async fn anew(store: &dyn Store, policy: &Policy, as_of: Time, id: &str) -> Result<Option<Plan>, PlanError> {
    let mut plan = resume(store, policy, as_of, Some(id), |_| {}).await?;
    while plan.id != id {
        let again = resume(store, policy, as_of, Some(id), |_| {}).await?;
        if again.done() <= plan.done() {
            return Ok(None);
        }
        plan = again;
    }
    Ok(Some(plan))
}

impl Purged {
    fn add(&mut self, log: PurgedLog) {
        if log.entries.is_empty() {
            return;
        }
        match self.logs.iter_mut().find(|known| known.log == log.log) {
            Some(known) => {
                known.executions += log.executions;
                known.entries.extend(log.entries);
            }
            None => self.logs.push(log),
        }
    }
}

/// Checks that what is about to go is what was appended, or what its erasure left of it: of what is gone nobody can tell
/// any more, so a row that was changed, such as to look older than it is, would go unnoticed.
async fn check_originals(store: &dyn Store, log: &str, executions: &[Weighed]) -> Result<(), StoreError> {
    let names = executions.iter().flat_map(|Weighed { id, attempt, entries, .. }| {
        let revisions = (1..).zip(entries);
        revisions.map(|(revision, _)| RevisionName { id: id.clone(), attempt: *attempt, revision })
    });
    let names: Vec<RevisionName> = names.collect();
    let mut originals = Originals::default();
    for some in names.chunks(ORIGINALS as usize) {
        let found = store.entries(log, Which::Revisions(some), 0, ORIGINALS).await?;
        let damaged = |what: String| {
            StoreError::Corrupt(format!("log {log}: {what}; nothing of it is purged: run `dualaudit verify`"))
        };
        if found.len() != some.len() {
            return Err(damaged("an entry is gone".to_owned()));
        }
        for stored in &found {
            if let Err(why) = originals.check(store, log, stored).await? {
                return Err(damaged(format!("entry {} is not what was appended: {why}", stored.index)));
            }
        }
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one step of the one above")]
async fn purge_log(
    appender: &Appender<'_>,
    policy: &Policy,
    actor: &str,
    plan: &Plan,
    place: usize,
    gone: &mut u64,
    purged: &mut PurgedLog,
    mut progress: impl FnMut(u64),
) -> Result<(), PurgeError> {
    let planned = &plan.logs[place];
    let done = planned.parts.iter().filter(|part| part.is_done).count();
    let mut walk = Walk::new(appender.store, &planned.log, policy, plan.as_of).await?;
    for (number, part) in planned.parts.iter().enumerate().skip(done) {
        let executions = walk.next(&mut |_| {}).await?.unwrap_or_default();
        let changed = |what: String, executions: u64| PurgeError::ChangedMeanwhile {
            log: planned.log.clone(),
            what,
            executions,
        };
        if part_digest(&entry_runs(&executions)) != part.digest {
            return Err(changed(format!("part {} has other executions", number + 1), *gone));
        }
        check_originals(appender.store, &planned.log, &executions)
            .await
            .map_err(|error| PurgeError::Store { executions: *gone, error })?;
        let count = executions.len() as u64;
        let draft = PurgeDraft {
            plan: plan.id.clone(),
            part: u32::try_from(number + 1).unwrap_or(u32::MAX),
            parts: u32::try_from(planned.parts.len()).unwrap_or(u32::MAX),
            as_of: plan.as_of,
            policy: plan.policy.clone(),
            actor: actor.to_owned(),
            executions,
        };
        let appended = appender.append(&planned.log, DraftContent::Purge(Box::new(draft))).await;
        match appended.map_err(|error| PurgeError::Store { executions: *gone, error })? {
            Answer::Stored(receipt) => purged.entries.push(receipt.index),
            Answer::Refused(Refusal::Changed(what)) => return Err(changed(what, *gone)),
            other => return Err(changed(format!("the database answered {other:?}"), *gone)),
        }
        purged.executions += count;
        *gone += count;
        progress(*gone);
    }
    Ok(())
}
