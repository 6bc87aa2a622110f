//! What of an execution is personal: what an erasure takes of it, and whether it may.

use dualaudit_record::{
    Entry, EntryKind,
    digest::Digest,
    entry::{ErasedEntry, Erasure, Hold},
    erase::rest,
    log::{Nonce, body, parse_body},
    statistics::Contribution,
};

use super::{
    Refusal,
    rules::{Revision, derived_nonce, is_all_purged},
};

/// The most entries that one erasure takes, so that it fits the time that an append has: of an execution with
/// more, the next takes the others.
pub(super) const MAX_ERASED: usize = 200;

/// The bytes of what is left after which an erasure takes no other entry: all of it is in memory at once.
const MAX_BYTES: usize = 8 << 20;

/// An execution whose personal fields are to go, and by whose word.
#[derive(Clone, Debug, PartialEq)]
pub struct EraseDraft {
    /// The execution, all its attempts.
    pub execution_id: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub actor: String,
    /// Random, and kept nowhere: the nonces of what is left are made of it, so that the digests of that say
    /// nothing once it was purged.
    pub seed: [u8; 32],
}

/// An entry that can lose its personal fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Erasable {
    pub(super) index: u64,
    /// What would be left of it.
    pub(super) rest: Entry,
    /// What else it contributes to the statistics, if they count it.
    pub(super) texts: Option<Contribution>,
}

impl Erasable {
    /// Of an entry with this place that says this; `None` where it holds nothing personal by its kind.
    pub(super) fn of(index: u64, entry: &Entry) -> Option<Self> {
        let texts = match entry {
            Entry::Execution(stored) => Contribution::of(&stored.record).of_texts(),
            _ => None,
        };
        rest(entry).map(|rest| Self { index, rest, texts })
    }
}

/// An entry as it is read, if it is the one that was appended: what is left of another would be vouched for by
/// its erasure, and nobody could tell any more.
///
/// # Errors
/// Says what is wrong.
pub(super) fn original(entry: Entry, nonce: Nonce, appended: Digest) -> Result<Entry, String> {
    let found = Digest::sha256(&body(&entry, nonce));
    match found == appended {
        true => Ok(entry),
        false => Err(format!("the body has the digest {found}, and {appended} was appended")),
    }
}

/// The entries that one erasure takes, as they are read in the order of the log.
#[derive(Default)]
pub(super) struct Gathering {
    entries: Vec<Erasable>,
    bytes: usize,
}

impl Gathering {
    /// Takes another; whether there is room for one after it.
    pub(super) fn push(&mut self, entry: Erasable) -> bool {
        self.bytes += match &entry.rest {
            Entry::Execution(execution) => execution.json_size(),
            _ => 0,
        };
        self.entries.push(entry);
        self.entries.len() < MAX_ERASED && self.bytes < MAX_BYTES
    }

    /// What was taken.
    pub(super) fn finish(self) -> Vec<Erasable> {
        self.entries
    }
}

/// An entry that loses its personal fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Erased {
    pub(super) index: u64,
    /// What is left of it.
    pub(super) rest: Entry,
    /// The nonce in the body of what is left.
    pub(super) nonce: Nonce,
}

/// What becomes of entries that are erased.
pub(super) fn erased(draft: &EraseDraft, entries: Vec<Erasable>) -> Vec<Erased> {
    let nonce = |index: u64| derived_nonce(&draft.seed, &format!("erasure:{index}"));
    let erased =
        entries.into_iter().map(|Erasable { index, rest, .. }| Erased { index, rest, nonce: nonce(index) });
    erased.collect()
}

/// What the entry of an erasure says.
pub(super) fn entry(draft: &EraseDraft, erased: &[Erased]) -> Erasure {
    let EraseDraft { execution_id, reason, actor, .. } = draft.clone();
    let entries = erased
        .iter()
        .map(|Erased { index, rest, nonce }| ErasedEntry { index: *index, rest: rest_digest(rest, *nonce) });
    Erasure { execution_id, reason, actor, entries: entries.collect() }
}

/// The digest that an erasure names of what it leaves.
pub fn rest_digest(rest: &Entry, nonce: Nonce) -> Digest {
    Digest::sha256(&body(rest, nonce))
}

/// What an erasure, by its body, left of the entry at `index`.
pub(super) fn promised(erasure: &str, index: u64) -> Option<Digest> {
    match parse_body(EntryKind::Erasure, erasure.as_bytes()) {
        Ok((Entry::Erasure(erasure), _)) => erasure.rest_of(index),
        _ => None,
    }
}

/// Why an execution cannot be erased; `None`: it can.
///
/// `known` is every revision of it, `erasable` what of it is whole, `holds` the open ones that cover it.
pub(super) fn keeps(
    known: &[Revision],
    erasable: &[Erasable],
    is_tracked: bool,
    holds: &[(u64, Hold)],
) -> Option<Refusal> {
    if erasable.is_empty() {
        let refusal = if is_all_purged(known) { Refusal::Purged } else { Refusal::NothingRecorded };
        return Some(refusal);
    }
    if is_tracked {
        // It holds what would be erased, and so does what is tracked of it; and what it still says is recorded.
        return Some(Refusal::InCluster);
    }
    holds.first().map(|(hold, _)| Refusal::Held { hold: *hold })
}

#[cfg(test)]
mod tests {
    use dualaudit_record::{entry::Covers, entry::GapCause, execution::StoredExecution};

    use super::*;
    use crate::store::conformance::sample::{at, gap, record};

    fn execution() -> Entry {
        let stored =
            StoredExecution { record: record("a"), revision: 1, recorded_at: at(0), source_digest: None };
        Entry::Execution(Box::new(stored))
    }

    fn draft() -> EraseDraft {
        let text = |text: &str| text.to_owned();
        EraseDraft { execution_id: text("a"), reason: text("request 7"), actor: text("me"), seed: [3; 32] }
    }

    #[test]
    fn only_what_is_there_and_wanted_by_nobody_is_erased() {
        let erasable = vec![Erasable::of(3, &execution()).unwrap()];
        let covers = Covers::ExecutionId("a".to_owned());
        let hold = (5, Hold { covers, reason: String::new(), actor: String::new() });
        let purged = Revision {
            attempt: 1,
            revision: 1,
            started_at: None,
            content_digest: None,
            is_erased: false,
            created_at: None,
            index: 3,
            leaf_hash: Digest([0; 32]),
            recorded_at: at(100),
        };
        let known = std::slice::from_ref(&purged);
        for (found, expected) in [
            (keeps(&[], &erasable, false, &[]), None),
            (keeps(known, &erasable, false, &[]), None),
            (keeps(&[], &[], false, &[]), Some(Refusal::NothingRecorded)),
            (keeps(known, &[], true, &[]), Some(Refusal::Purged)),
            (keeps(&[], &erasable, true, &[]), Some(Refusal::InCluster)),
            (keeps(&[], &erasable, false, &[hold]), Some(Refusal::Held { hold: 5 })),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_erasure_commits_to_what_is_left_under_nonces_that_nobody_keeps() {
        let gap = Entry::Gap(gap("a", None, GapCause::Vanished));
        let erasable: Vec<_> = [(3, execution()), (8, gap)]
            .iter()
            .filter_map(|(index, entry)| Erasable::of(*index, entry))
            .collect();
        let taken = erased(&draft(), erasable.clone());
        let said = entry(&draft(), &taken);
        for Erased { index, rest, nonce } in &taken {
            assert_eq!(said.rest_of(*index), Some(rest_digest(rest, *nonce)));
        }
        assert_eq!(said.rest_of(4), None);
        assert_ne!(taken[0].nonce, taken[1].nonce);
        let other = EraseDraft { seed: [4; 32], ..draft() };
        assert_ne!(entry(&other, &erased(&other, erasable)).entries, said.entries);
    }

    #[test]
    fn an_erasure_takes_so_many_entries_and_no_more() {
        let mut gathering = Gathering::default();
        let mut index = 0;
        while gathering.push(Erasable { index, rest: execution(), texts: None }) {
            index += 1;
        }
        assert_eq!(gathering.finish().len(), MAX_ERASED);
        let mut large = record("a");
        large.step_executions = vec![large.step_executions[0].clone(); 2000];
        let stored = StoredExecution { record: large, revision: 1, recorded_at: at(0), source_digest: None };
        let rest = Entry::Execution(Box::new(stored));
        let mut gathering = Gathering::default();
        while gathering.push(Erasable { index: 0, rest: rest.clone(), texts: None }) {}
        let taken = gathering.finish().len();
        assert!((2..MAX_ERASED).contains(&taken), "{taken}");
    }
}
