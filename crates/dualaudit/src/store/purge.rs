//! Records whose time is over: weighed for a plan, and taken by a purge.

use dualaudit_record::{
    Time,
    digest::Digest,
    entry::{Covers, Hold, Purge, PurgedCount, runs},
    execution::{Outcome, Status},
    selector::{Facts, Selector},
    time,
};

use super::rules::Revision;

/// The most executions that one purge takes: as many as a database looks at again, holds and all, while
/// nobody else's append has to wait for long.
pub const MAX_PURGED: usize = 2000;

/// The most open holds of a log that select: each costs every release of a resource a comparison.
pub(super) const MAX_SELECTORS: usize = 1000;

/// A place among the executions of one log: newest `created_at` first, then id and attempt ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeighedUpTo {
    /// Of the last row looked at.
    pub created_at: Time,
    /// Of the last row looked at.
    pub id: String,
    /// Of the last row looked at.
    pub attempt: u32,
}

impl WeighedUpTo {
    /// Before every execution.
    pub(super) const BEFORE_ALL: Self = Self { created_at: time::MAX, id: String::new(), attempt: 0 };

    /// After every execution: no id begins with the last of all characters, and no year is before the first.
    pub(super) fn after_all() -> Self {
        Self { created_at: time::ZERO, id: char::MAX.to_string(), attempt: 0 }
    }
}

/// What one look at the executions of a log found.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighing {
    /// Those that were complete before the instant that was asked for.
    pub executions: Vec<Weighed>,
    /// Where to go on; `None` at the end.
    pub next: Option<WeighedUpTo>,
}

/// An attempt of an execution, as far as it matters for whether and what a purge takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// The execution.
    pub id: String,
    /// Which run of it.
    pub attempt: u32,
    /// `created_at` of its row.
    pub created_at: Time,
    /// `completed_at` of its latest revision.
    pub completed_at: Time,
    /// Of its latest revision.
    pub outcome: Outcome,
    /// Of its latest revision.
    pub status: Status,
    /// What selectors look at, of each of its revisions, the latest first.
    pub facts: Vec<Facts>,
    /// Indexes of its entries, one a revision, the first revision first.
    pub entries: Vec<u64>,
    /// What its rows and objects take in the database, without indexes.
    pub bytes: u64,
    /// Its resource still exists in a cluster.
    pub tracked: bool,
}

impl Weighed {
    /// Whether a selector covers it, by any of its revisions.
    pub fn is_covered(&self, selector: &Selector) -> bool {
        self.facts.iter().any(|facts| selector.covers(facts))
    }

    /// The first of these holds that covers it.
    fn held_by<'h>(&self, holds: &'h [(u64, Hold)]) -> Option<&'h (u64, Hold)> {
        holds.iter().find(|(_, hold)| match &hold.covers {
            Covers::ExecutionId(id) => *id == self.id,
            Covers::Selector(selector) => self.is_covered(selector),
        })
    }
}

/// What was removed for good of what was purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Executions whose rows went one by one.
    pub executions: u64,
    /// Months whose partitions were dropped, with all that was in them.
    pub months: u32,
}

/// One part of a plan: what it takes, and by whose word.
#[derive(Clone, Debug, PartialEq)]
pub struct PurgeDraft {
    /// The plan's id.
    pub plan: String,
    /// Which part of the plan this is, from 1.
    pub part: u32,
    /// How many parts the plan has in this log.
    pub parts: u32,
    /// The instant at which their time was over.
    pub as_of: Time,
    /// For how long records are kept, in words.
    pub policy: String,
    /// Who said so.
    pub actor: String,
    /// What goes, as it was weighed; at most [`MAX_PURGED`].
    pub executions: Vec<Weighed>,
}

impl PurgeDraft {
    /// What the entry of this part says, but for what they contributed to the statistics.
    pub fn entry(&self) -> Purge {
        Purge {
            plan: self.plan.clone(),
            part: self.part,
            parts: self.parts,
            as_of: self.as_of,
            policy: self.policy.clone(),
            actor: self.actor.clone(),
            executions: self.executions.len() as u64,
            entries: entry_runs(&self.executions),
            statistics: statistics(&self.executions),
            contributed: None,
        }
    }
}

/// The entries of executions, as the runs that they make.
pub fn entry_runs(executions: &[Weighed]) -> Vec<(u64, u64)> {
    let mut indexes: Vec<u64> = executions.iter().flat_map(|execution| execution.entries.clone()).collect();
    indexes.sort_unstable();
    runs(indexes)
}

/// What executions contribute to the statistics.
pub fn statistics(executions: &[Weighed]) -> Vec<PurgedCount> {
    let mut counts: Vec<PurgedCount> = Vec::new();
    for Weighed { outcome, status, .. } in executions {
        match counts.iter_mut().find(|count| (count.outcome, count.status) == (*outcome, *status)) {
            Some(count) => count.executions += 1,
            None => counts.push(PurgedCount { outcome: *outcome, status: *status, executions: 1 }),
        }
    }
    counts.sort_by_key(|count| (count.outcome.as_str(), count.status.as_str()));
    counts
}

/// Tells the contents of one part from those of another.
pub fn part_digest(entries: &[(u64, u64)]) -> Digest {
    let mut text = String::new();
    for (first, last) in entries {
        text.push_str(&format!("{first}-{last}\n"));
    }
    Digest::sha256(text.as_bytes())
}

/// Why an execution cannot go, or not as it was weighed; `None`: it can.
///
/// `known` is every revision of its id, in the order of attempt and revision.
pub(super) fn keeps(
    execution: &Weighed,
    known: &[Revision],
    is_tracked: bool,
    holds: &[&[(u64, Hold)]],
) -> Option<String> {
    let Weighed { id, attempt, .. } = execution;
    let revisions = || known.iter().filter(|revision| revision.attempt == *attempt);
    if !revisions().map(|revision| revision.index).eq(execution.entries.iter().copied()) {
        return Some(format!("execution {id} attempt {attempt} was amended"));
    }
    if revisions().any(Revision::is_purged) {
        return Some(format!("execution {id} attempt {attempt} was purged"));
    }
    if is_tracked {
        return Some(format!("execution {id} has a resource in its cluster"));
    }
    holds
        .iter()
        .find_map(|holds| execution.held_by(holds))
        .map(|(index, _)| format!("execution {id} attempt {attempt} is held by the hold of entry {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::sample::{at, record};

    fn weighed() -> Weighed {
        let record = record("a");
        Weighed {
            id: "a".to_owned(),
            attempt: 1,
            created_at: record.created_at,
            completed_at: record.completed_at,
            outcome: record.outcome,
            status: record.status,
            facts: vec![Facts::from(&record)],
            entries: vec![3, 7],
            bytes: 2000,
            tracked: false,
        }
    }

    fn revision(attempt: u32, revision: u32, index: u64, content_digest: Option<Digest>) -> Revision {
        Revision {
            attempt,
            revision,
            started_at: None,
            content_digest,
            is_erased: false,
            created_at: Some(at(0)),
            index,
            leaf_hash: Digest([0; 32]),
            recorded_at: at(100),
        }
    }

    #[test]
    fn only_what_is_as_it_was_weighed_and_wanted_by_nobody_goes() {
        let a = Some(Digest([1; 32]));
        let known = || vec![revision(1, 1, 3, a), revision(1, 2, 7, a), revision(2, 1, 9, a)];
        let hold = |covers| (5, Hold { covers, reason: String::new(), actor: String::new() });
        let one = |id: &str| hold(Covers::ExecutionId(id.to_owned()));
        let many = |namespace: &str| {
            let namespace = Some(namespace.to_owned());
            hold(Covers::Selector(Selector { namespace, ..Selector::default() }))
        };
        let says =
            |known: &[Revision], tracked, holds: &[(u64, Hold)]| keeps(&weighed(), known, tracked, &[holds]);
        assert_eq!(says(&known(), false, &[]), None);
        assert_eq!(says(&known(), false, &[one("b"), many("web")]), None);
        let erased = |revision| Revision { content_digest: None, is_erased: true, ..revision };
        assert_eq!(says(&known().into_iter().map(erased).collect::<Vec<_>>(), false, &[]), None);
        for (said, expected) in [
            (says(&known(), false, &[one("b"), one("a")]), "held by the hold of entry 5"),
            (says(&known(), false, &[many("shop")]), "held"),
            (says(&known(), true, &[]), "has a resource"),
            (says(&[], false, &[]), "amended"),
            (says(&[known(), vec![revision(1, 3, 11, a)]].concat(), false, &[]), "amended"),
            (says(&[revision(1, 1, 3, None), revision(1, 2, 7, None)], false, &[]), "was purged"),
        ] {
            assert!(said.as_ref().is_some_and(|said| said.contains(expected)), "{said:?}: {expected}");
        }
        let earlier = Weighed { facts: vec![Facts::default(), Facts::from(&record("a"))], ..weighed() };
        assert!(
            keeps(&earlier, &known(), false, &[&[many("shop")]]).is_some(),
            "an earlier revision was covered"
        );
    }

    #[test]
    fn an_entry_says_what_went_in_runs_and_counts() {
        let draft = PurgeDraft {
            plan: "p".to_owned(),
            part: 1,
            parts: 2,
            as_of: at(0),
            policy: "7y".to_owned(),
            actor: "me".to_owned(),
            executions: vec![
                weighed(),
                Weighed { entries: vec![4], outcome: Outcome::Failed, ..weighed() },
                Weighed { entries: vec![8], ..weighed() },
            ],
        };
        let entry = draft.entry();
        assert_eq!(entry.entries, [(3, 4), (7, 8)]);
        assert_eq!(entry.executions, 3);
        let counts: Vec<(Outcome, u64)> =
            entry.statistics.iter().map(|count| (count.outcome, count.executions)).collect();
        assert_eq!(counts, [(Outcome::Failed, 1), (Outcome::Partial, 2)]);
        assert_ne!(part_digest(&entry.entries), part_digest(&[(3, 4)]));
    }
}
