//! What is tracked, as an append finds and changes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dualaudit_record::{Time, entry::Covers};

use crate::store::{
    Batch, DraftContent, Origin, Tracked, TrackedState, TrackingChange, names,
    rules::{self, TrackedAs},
};

use super::values::Micros;

/// A tracked execution inside an append.
#[derive(Default)]
struct Now {
    /// Its row. `last_state` is empty where it stays what the table has.
    row: Option<Tracked>,
    /// The table's row goes first.
    gone: bool,
    changed: bool,
}

/// The tracked executions that a batch concerns.
#[derive(Default)]
pub(super) struct TrackedRows {
    rows: BTreeMap<String, Now>,
}

impl TrackedRows {
    /// With these rows of the table.
    pub(super) fn of(rows: impl IntoIterator<Item = Tracked>) -> Self {
        let now = |row: Tracked| (row.id.clone(), Now { row: Some(row), ..Now::default() });
        Self { rows: rows.into_iter().map(now).collect() }
    }

    /// A row, if there is one.
    pub(super) fn get(&self, id: &str) -> Option<&Tracked> {
        self.rows.get(id)?.row.as_ref()
    }

    /// What decisions need of a row.
    pub(super) fn tracked_as(&self, id: &str) -> Option<TrackedAs> {
        self.get(id).map(|row| TrackedAs {
            state: row.state,
            started_at: row.started_at,
            last_seen_at: row.last_seen_at,
            is_running: row.running.is_some(),
        })
    }

    /// See [`crate::store::append::Tables::seen`].
    pub(super) fn seen(&mut self, seen: &Tracked) {
        let now = self.rows.entry(seen.id.clone()).or_default();
        let mut row = seen.clone();
        if let Some(before) = now.row.take() {
            let open = before.state == TrackedState::Open;
            row.started_at = row.started_at.or(before.started_at.filter(|_| open));
            if row.last_state.is_empty() {
                row.last_state = before.last_state;
            }
        }
        if let (Some(running), Some(started_at)) = (&mut row.running, row.started_at) {
            running.since = started_at;
        }
        now.row = Some(row);
        now.changed = true;
    }

    /// See [`crate::store::append::Tables::accounted`].
    pub(super) fn accounted(&mut self, id: &str, started_at: Option<Time>) {
        if let Some(now) = self.rows.get_mut(id)
            && let Some(row) = &mut now.row
        {
            row.started_at = started_at;
            row.running = None;
            now.changed = true;
        }
    }

    /// See [`crate::store::append::Tables::gone`].
    pub(super) fn gone(&mut self, id: &str) {
        let now = self.rows.entry(id.to_owned()).or_default();
        *now = Now { row: None, gone: true, changed: true };
    }

    /// The ids whose rows go, and after them the rows that come or change.
    pub(super) fn changes(&self) -> (Vec<&str>, Columns<'_>) {
        let gone = self.rows.iter().filter(|(_, now)| now.gone).map(|(id, _)| id.as_str()).collect();
        let mut columns = Columns::default();
        for row in self.rows.values().filter(|now| now.changed).filter_map(|now| now.row.as_ref()) {
            columns.push(row);
        }
        (gone, columns)
    }
}

/// Rows of `tracked`, column by column.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) ids: Vec<&'a str>,
    pub(super) namespaces: Vec<&'a str>,
    pub(super) names: Vec<&'a str>,
    pub(super) phases: Vec<&'a str>,
    pub(super) started_at: Vec<Option<Micros>>,
    pub(super) last_states: Vec<&'a str>,
    pub(super) last_seen_at: Vec<Micros>,
    pub(super) states: Vec<&'static str>,
    pub(super) workflows: Vec<&'a str>,
    pub(super) versions: Vec<&'a str>,
    pub(super) incident_types: Vec<&'a str>,
    pub(super) target_kinds: Vec<&'a str>,
    pub(super) running_since: Vec<Option<Micros>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, row: &'a Tracked) {
        self.ids.push(&row.id);
        self.namespaces.push(&row.namespace);
        self.names.push(&row.name);
        self.phases.push(&row.phase);
        self.started_at.push(row.started_at.map(Micros::from));
        self.last_states.push(&row.last_state);
        self.last_seen_at.push(row.last_seen_at.into());
        self.states.push(names::tracked_state(row.state));
        let running = row.running.as_ref();
        self.workflows.push(running.map_or("", |running| &running.workflow));
        self.versions.push(running.map_or("", |running| &running.version));
        self.incident_types.push(running.map_or("", |running| &running.incident_type));
        self.target_kinds.push(running.map_or("", |running| &running.target_kind));
        self.running_since.push(running.map(|running| running.since.into()));
    }
}

/// What an append has to ask about before it can decide.
pub(super) struct Concerns<'a> {
    /// Executions whose entries matter whatever is tracked.
    pub(super) entries: BTreeSet<&'a str>,
    /// Executions whose tracked row matters.
    pub(super) tracked: BTreeSet<&'a str>,
    /// Executions whose holds matter, all there have been.
    pub(super) holds: BTreeSet<&'a str>,
    /// Keys whose entries matter though they are of no execution, or it is not known of which.
    pub(super) keys: BTreeSet<String>,
    /// Holds that matter by the index of their entry.
    pub(super) holds_at: BTreeSet<u64>,
    /// The execution that is to be erased.
    pub(super) erased: Option<&'a str>,
    /// Whether the open holds that select matter, or those with a reason that was given.
    pub(super) selectors: bool,
    /// The starts that the batch says of each. `None` only where it says that there is none.
    starts: HashMap<&'a str, BTreeSet<Option<Time>>>,
}

impl<'a> Concerns<'a> {
    /// What a batch concerns.
    pub(super) fn of(batch: &'a Batch) -> Self {
        let mut concerns = Self {
            entries: BTreeSet::new(),
            tracked: BTreeSet::new(),
            holds: BTreeSet::new(),
            keys: BTreeSet::new(),
            holds_at: BTreeSet::new(),
            erased: None,
            selectors: false,
            starts: HashMap::new(),
        };
        for change in &batch.tracking {
            if let TrackingChange::Seen(seen) = change {
                concerns.tracked.insert(&seen.id);
                if seen.started_at.is_some() {
                    concerns.starts.entry(&seen.id).or_default().insert(seen.started_at);
                }
            }
        }
        for draft in &batch.drafts {
            concerns.entries.extend(draft.content.execution_id());
            match &draft.content {
                DraftContent::Execution(draft) if draft.origin == Origin::Resource => {
                    let id = draft.record.id.as_str();
                    concerns.tracked.insert(id);
                    concerns.starts.entry(id).or_default().insert(draft.record.started_at);
                }
                DraftContent::Gap(gap) => drop(concerns.tracked.insert(&gap.execution_id)),
                DraftContent::Hold(hold) => match &hold.covers {
                    Covers::ExecutionId(id) => drop(concerns.holds.insert(id)),
                    Covers::Selector(_) => concerns.selectors = true,
                },
                DraftContent::HoldRelease { hold, .. } => {
                    concerns.holds_at.insert(*hold);
                    concerns.keys.insert(rules::release_key(*hold));
                }
                DraftContent::Purge(purge) => {
                    let ids = || purge.executions.iter().map(|execution| execution.id.as_str());
                    concerns.entries.extend(ids());
                    concerns.tracked.extend(ids());
                    concerns.holds.extend(ids());
                    concerns.keys.insert(rules::purge_key(&purge.plan, purge.part));
                    concerns.selectors = true;
                }
                DraftContent::Erase(erase) => {
                    let id = erase.execution_id.as_str();
                    concerns.tracked.insert(id);
                    concerns.erased = Some(id);
                }
                DraftContent::Note(entry) => concerns.keys.extend(rules::note_key(entry)),
                DraftContent::Quarantine { entry, .. } => drop(concerns.tracked.insert(&entry.execution_id)),
                DraftContent::Execution(_) | DraftContent::Review(_) | DraftContent::Window(_) => {}
            }
        }
        concerns
    }

    /// Whether an attempt of this execution may turn out to have been overtaken, and so its last state
    /// and its entries to matter: where the batch and the table between them know of two starts.
    pub(super) fn may_be_overtaken(&self, row: &Tracked) -> bool {
        let Some(starts) = self.starts.get(row.id.as_str()) else { return false };
        let known = usize::from(row.started_at.is_some() && !starts.contains(&row.started_at));
        starts.len() + known > 1
    }

    /// The executions that the batch itself gives two starts, whatever the table has.
    pub(super) fn started_twice(&self) -> impl Iterator<Item = &'a str> {
        self.starts.iter().filter(|(_, starts)| starts.len() > 1).map(|(id, _)| *id)
    }
}
