//! What is remembered of each live execution: a small summary, never the object.

use std::collections::{BTreeSet, HashMap};

use super::visit::Errand;
use crate::ingest::Known;
use dualaudit_record::Time;

/// A live execution.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The newest state that was looked at, 0 when its version is no number.
    pub(super) version: u64,
    /// What the store said last.
    pub(super) known: Option<Known>,
    /// A visit is under way; the newest event that came meanwhile waits here.
    pub(super) visit: Visit,
    /// Something was recorded of it, during the visit under way, that the cluster does not show.
    pub(super) is_stale: bool,
    /// When to look again.
    due: Option<Time>,
    /// Visits that failed in a row.
    pub(super) failures: u32,
    /// Since when it cannot be recorded.
    pub(super) blocked_since: Option<Time>,
    /// When it was recorded, while it only waits for its window.
    retained: Option<Time>,
    /// More are retained than may be, and this is one of the oldest.
    pub(super) overfull: bool,
    /// The listing that saw it last.
    pub(super) listing: u64,
}

/// Whether somebody is at work on an execution. One visit at a time for each.
#[derive(Default)]
pub(super) enum Visit {
    #[default]
    Idle,
    Busy(Option<Box<Errand>>),
}

/// All live executions, by uid, with what is due when.
#[derive(Default)]
pub(super) struct Live {
    summaries: HashMap<String, Summary>,
    due: BTreeSet<(Time, String)>,
    retained: BTreeSet<(Time, String)>,
    /// Counts listings; see [`Summary::listing`].
    pub(super) listing: u64,
}

impl Live {
    pub(super) fn get(&mut self, id: &str) -> Option<&mut Summary> {
        self.summaries.get_mut(id)
    }

    pub(super) fn get_or_insert(&mut self, id: &str, namespace: &str, name: &str) -> &mut Summary {
        self.summaries.entry(id.to_owned()).or_insert_with(|| Summary {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Summary::default()
        })
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.set_due(id, None);
        self.set_retained(id, None);
        self.summaries.remove(id);
    }

    pub(super) fn len(&self) -> usize {
        self.summaries.len()
    }

    /// Those that the present listing, or an event after it, has shown.
    pub(super) fn listed_ids(&self) -> impl Iterator<Item = &String> {
        let listed = self.summaries.iter().filter(|(_, summary)| summary.listing == self.listing);
        listed.map(|(id, _)| id)
    }

    /// Those whose visit is under way.
    pub(super) fn visited_ids(&self) -> impl Iterator<Item = &String> {
        let visited = self.summaries.iter().filter(|(_, summary)| matches!(summary.visit, Visit::Busy(_)));
        visited.map(|(id, _)| id)
    }

    pub(super) fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.summaries.values()
    }

    /// Forgets whatever the present listing did not see; who is gone for good is found in what is
    /// tracked. Says which.
    pub(super) fn forget_unlisted(&mut self) -> Vec<String> {
        let listing = self.listing;
        let unlisted: Vec<_> = self
            .summaries
            .iter()
            .filter(|(_, summary)| summary.listing != listing && matches!(summary.visit, Visit::Idle))
            .map(|(id, _)| id.clone())
            .collect();
        unlisted.iter().for_each(|id| self.remove(id));
        unlisted
    }

    pub(super) fn set_due(&mut self, id: &str, due: Option<Time>) {
        let Some(summary) = self.summaries.get_mut(id) else { return };
        if let Some(before) = std::mem::replace(&mut summary.due, due) {
            self.due.remove(&(before, id.to_owned()));
        }
        if let Some(due) = due {
            self.due.insert((due, id.to_owned()));
        }
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes the first execution that is due by `now`.
    pub(super) fn take_due(&mut self, now: Time) -> Option<String> {
        if self.next_due()? > now {
            return None;
        }
        let (_, id) = self.due.pop_first()?;
        if let Some(summary) = self.summaries.get_mut(&id) {
            summary.due = None;
        }
        Some(id)
    }

    pub(super) fn set_retained(&mut self, id: &str, since: Option<Time>) {
        let Some(summary) = self.summaries.get_mut(id) else { return };
        if let Some(before) = std::mem::replace(&mut summary.retained, since) {
            self.retained.remove(&(before, id.to_owned()));
        }
        if let Some(since) = since {
            self.retained.insert((since, id.to_owned()));
        }
    }

    /// Marks the oldest of the retained as overfull until at most `most` are not, and makes them
    /// due. Only executions that wait for nothing but their window count.
    pub(super) fn shed(&mut self, most: usize, now: Time) {
        while self.retained.len() > most {
            let Some((_, id)) = self.retained.first().cloned() else { return };
            self.set_retained(&id, None);
            if let Some(summary) = self.summaries.get_mut(&id) {
                summary.overfull = true;
            }
            self.set_due(&id, Some(now));
        }
    }

    pub(super) fn retained(&self) -> usize {
        self.retained.len()
    }
}
