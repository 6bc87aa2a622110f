//! Tracking changes that are not in the database yet.
//!
//! A change waits here for the next append. What waits is bounded by the live executions, a few
//! attempts of each, and [`MOST_BYTES`] of last states.

use std::collections::HashMap;

use crate::store::{Tracked, TrackingChange};

/// Last states held back while the database is slow or down; beyond it only identities are kept, and
/// the database keeps the state it has.
const MOST_BYTES: usize = 16 << 20;
/// Attempts of one execution held back; of more, the newest.
const MOST_ATTEMPTS: usize = 8;

/// The changes of each execution, in order; those of one attempt collapse into the latest.
#[derive(Default)]
pub(super) struct Pending {
    changes: HashMap<String, Vec<TrackingChange>>,
    count: usize,
    bytes: usize,
    /// Some were taken, and it is not known yet whether they could be stored.
    under_way: bool,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether all that was ever put here is in the database.
    pub(super) fn is_settled(&self) -> bool {
        self.is_empty() && !self.under_way
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn put(&mut self, mut change: TrackingChange) {
        if let TrackingChange::Seen(tracked) = &mut change
            && self.bytes + tracked.last_state.len() > MOST_BYTES
        {
            tracked.last_state = String::new();
        }
        let changes = self.changes.entry(change.id().to_owned()).or_default();
        let replaced = match (changes.last(), &change) {
            (Some(TrackingChange::Seen(before)), TrackingChange::Seen(now)) => is_same_attempt(before, now),
            // An earlier attempt that was never recorded is told by the later one.
            (Some(_), TrackingChange::Gone { .. }) => changes.len() == 1,
            _ => false,
        };
        let dropped = match () {
            () if replaced => changes.pop(),
            () if changes.len() == MOST_ATTEMPTS => Some(changes.remove(0)),
            () => None,
        };
        self.count += 1;
        self.bytes += change.size();
        changes.push(change);
        if let Some(dropped) = dropped {
            self.count -= 1;
            self.bytes -= dropped.size();
        }
    }

    /// Takes the changes of these executions, and of others, about `most` in all. What could not be stored
    /// of them comes back by [`Self::restore`].
    ///
    /// What is appended about an execution must not go before what was seen of it earlier.
    pub(super) fn take<'a>(
        &mut self,
        first: impl Iterator<Item = &'a str>,
        most: usize,
    ) -> Vec<TrackingChange> {
        let mut taken: Vec<_> = first.filter_map(|id| self.changes.remove(id)).flatten().collect();
        while taken.len() < most
            && let Some(id) = self.changes.keys().next().cloned()
        {
            taken.extend(self.changes.remove(&id).into_iter().flatten());
        }
        self.count -= taken.len();
        self.bytes -= taken.iter().map(TrackingChange::size).sum::<usize>();
        self.under_way = !taken.is_empty();
        taken
    }

    /// Puts changes back that could not be stored, before those that came meanwhile; with none, all are.
    pub(super) fn restore(&mut self, changes: Vec<TrackingChange>) {
        self.under_way = false;
        for change in changes {
            let newer = self.changes.remove(change.id()).unwrap_or_default();
            self.count -= newer.len();
            self.bytes -= newer.iter().map(TrackingChange::size).sum::<usize>();
            self.put(change);
            newer.into_iter().for_each(|change| self.put(change));
        }
    }
}

/// One that had not begun is the one that now has.
fn is_same_attempt(before: &Tracked, now: &Tracked) -> bool {
    before.started_at.is_none() || before.started_at == now.started_at
}

impl TrackingChange {
    fn size(&self) -> usize {
        match self {
            Self::Seen(tracked) => tracked.last_state.len(),
            Self::Gone { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use dualaudit_record::Time;

    use super::*;
    use crate::store::TrackedState;

    fn seen(id: &str, started_at: Option<i64>, state: &str) -> TrackingChange {
        TrackingChange::Seen(Tracked {
            id: id.to_owned(),
            namespace: "prod".to_owned(),
            name: id.to_owned(),
            phase: "Executing".to_owned(),
            started_at: started_at.and_then(Time::from_micros),
            last_state: state.to_owned(),
            last_seen_at: Time::from_micros(0).unwrap(),
            state: TrackedState::Open,
            running: None,
        })
    }

    fn gone(id: &str) -> TrackingChange {
        TrackingChange::Gone { id: id.to_owned() }
    }

    fn after(changes: &[TrackingChange]) -> Vec<TrackingChange> {
        let mut pending = Pending::default();
        changes.iter().for_each(|change| pending.put(change.clone()));
        assert_eq!(pending.len(), pending.changes.values().map(Vec::len).sum::<usize>());
        let taken = pending.take(iter::empty(), usize::MAX);
        assert!(pending.is_empty() && pending.bytes == 0);
        taken
    }

    #[test]
    fn the_changes_of_one_attempt_collapse_into_the_latest() {
        assert_eq!(after(&[seen("a", None, "1"), seen("a", Some(1), "2")]), [seen("a", Some(1), "2")]);
        assert_eq!(after(&[seen("a", Some(1), "1"), gone("a")]), [gone("a")]);
    }

    #[test]
    fn an_attempt_that_was_overtaken_is_kept_before_the_one_that_overtook_it() {
        let both = [seen("a", Some(1), "1"), seen("a", Some(2), "2")];
        assert_eq!(after(&both), both);
        let all = [seen("a", Some(1), "1"), seen("a", Some(2), "2"), gone("a")];
        assert_eq!(after(&all), all);
    }

    #[test]
    fn what_could_not_be_stored_goes_before_what_came_meanwhile() {
        let mut pending = Pending::default();
        pending.put(seen("a", Some(1), "1"));
        let taken = pending.take(iter::empty(), 1);
        pending.put(seen("a", Some(1), "2"));
        pending.restore(taken);
        assert_eq!(pending.take(iter::empty(), 9), [seen("a", Some(1), "2")]);
    }

    #[test]
    fn those_that_something_is_appended_about_go_first() {
        let mut pending = Pending::default();
        for id in ["a", "b", "c"] {
            pending.put(seen(id, Some(1), "1"));
            pending.put(seen(id, Some(2), "2"));
        }
        let drafted = ["b", "b", "unknown"];
        assert_eq!(pending.take(drafted.into_iter(), 1), [seen("b", Some(1), "1"), seen("b", Some(2), "2")]);
        assert_eq!(pending.len(), 4);
    }

    #[test]
    fn what_is_on_its_way_into_the_database_is_not_there_yet() {
        let mut pending = Pending::default();
        assert!(pending.is_settled());
        pending.put(gone("a"));
        let taken = pending.take(iter::empty(), 1);
        assert!(pending.is_empty() && !pending.is_settled());
        pending.restore(taken);
        assert!(!pending.is_settled());
        pending.take(iter::empty(), 1);
        pending.restore(Vec::new());
        assert!(pending.is_settled());
    }

    #[test]
    fn beyond_the_bytes_only_identities_are_kept() {
        let mut pending = Pending::default();
        pending.put(seen("a", None, &"x".repeat(MOST_BYTES)));
        pending.put(seen("b", None, "state"));
        let taken = pending.take(iter::empty(), 9);
        assert_eq!(taken.len(), 2);
        assert!(taken.contains(&seen("b", None, "")));
    }
}
