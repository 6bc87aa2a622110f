//! Where answers come from: the statistics of the logs that are asked about.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time,
    statistics::{
        Cell, Key, KeyError, Level, Part, Parts, RunsCell, Scope, Stratum, StratumCell, Stretch, View,
    },
};

use super::{Filters, Flights, Incomplete, Period, in_flight};
use crate::store::{Behind, FoundCells, Head, NoSuchLog, Store, StoreError, WantedCells, meant};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A log was named that there is not.
    #[error(transparent)]
    NoSuchLog(#[from] NoSuchLog),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeyError> for LearnError {
    fn from(error: KeyError) -> Self {
        Self::Store(StoreError::Corrupt(format!(
            "the statistics hold {error}; `dualaudit log rebuild` makes them anew"
        )))
    }
}

/// The logs that a question is about.
pub(super) struct Source<'a> {
    store: &'a dyn Store,
    logs: Vec<String>,
    /// How far the log that came furthest is.
    pub(super) as_of: Time,
}

/// Cells of all logs that were asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The logs, in the order of their names.
    pub logs: Vec<String>,
    /// What was found of each that was wanted, in their order.
    pub cells: Vec<Vec<FoundCell>>,
    /// What has not ended yet.
    pub flights: Flights,
    /// The statistics of these are not whole yet.
    pub incomplete: Vec<Incomplete>,
}

/// A cell that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundCell {
    /// The place of its log among [`Found::logs`].
    pub log: usize,
    /// What it is over.
    pub stretch: Stretch,
    /// Its key.
    pub key: Key,
    /// The cell.
    pub cell: Cell,
}

impl<'a> Source<'a> {
    /// The log of a question; all there are where none is asked about, or all are read.
    pub(super) async fn of(
        store: &'a dyn Store,
        filters: &Filters,
        all: bool,
        now: Time,
    ) -> Result<Source<'a>, LearnError> {
        let heads = store.logs().await?;
        let asked = meant(heads.clone(), filters.log.as_deref())?;
        let heads = if all { heads } else { asked };
        let as_of = heads.iter().filter_map(|head| head.recorded_at).max().map_or(now, |at| at.max(now));
        Ok(Self { store, logs: heads.into_iter().map(|Head { log, .. }| log).collect(), as_of })
    }

    /// What has not ended yet, of what is asked for.
    pub(super) async fn flights(&self, filters: &Filters, now: Time) -> Result<Flights, LearnError> {
        let mut flights = Flights::none(now);
        let asked = |log: &&String| filters.log.as_ref().is_none_or(|asked| asked == *log);
        for log in self.logs.iter().filter(asked) {
            flights.add(self.store.in_flight(log, &filters.into(), in_flight::AT_MOST).await?);
        }
        Ok(flights)
    }

    /// Reads cells, one log after the other.
    pub(super) async fn cells(&self, wanted: &[WantedCells]) -> Result<Found, LearnError> {
        let mut found =
            Found { logs: self.logs.clone(), cells: vec![Vec::new(); wanted.len()], ..Found::default() };
        for (place, log) in self.logs.iter().enumerate() {
            let FoundCells { cells, behind } = self.store.cells(log, wanted).await?;
            for (all, of_log) in found.cells.iter_mut().zip(cells) {
                let here = |(stretch, key, cell)| FoundCell { log: place, stretch, key, cell };
                all.extend(of_log.into_iter().map(here));
            }
            if let Some(Behind { folded, of }) = behind {
                found.incomplete.push(Incomplete { log: log.clone(), folded, of });
            }
        }
        Ok(found)
    }
}

/// The cells of one view, each over the whole period.
pub(super) fn wanted(view: View, begins: Key, period: Period) -> WantedCells {
    let (from, until) = period.hours();
    WantedCells { view, begins, from, until, by: None, part: Part::All }
}

/// The counts of one view, without how durations are spread, each over the whole period.
pub(super) fn wanted_counts(view: View, begins: Key, period: Period) -> WantedCells {
    WantedCells { part: Part::Counts, ..wanted(view, begins, period) }
}

/// How executions ended, over the whole period.
pub(super) fn wanted_ended(view: View, begins: Key, period: Period) -> WantedCells {
    WantedCells { part: Part::Ended, ..wanted(view, begins, period) }
}

/// How executions ended, stretch by stretch.
pub(super) fn wanted_series(view: View, begins: Key, period: Period) -> WantedCells {
    const DAY: i64 = 86_400_000_000;
    let by = match period.until.micros_since(period.since) / DAY {
        0..3 => Level::Hour,
        3..100 => Level::Day,
        _ => Level::Month,
    };
    WantedCells { by: Some(by), part: Part::Ended, ..wanted(view, begins, period) }
}

impl Filters {
    /// The scope whose sums tell executions apart by what is asked for.
    fn scope(&self) -> Scope {
        match (&self.namespace, &self.incident_type, &self.target_kind) {
            (None, None, None) => Scope::All,
            (Some(_), None, None) => Scope::Namespace,
            (None, Some(_), None) => Scope::IncidentType,
            (None, None, Some(_)) => Scope::TargetKind,
            (None, Some(_), Some(_)) => Scope::IncidentTypeAndTargetKind,
            (Some(_), _, _) => Scope::NamespaceIncidentTypeAndTargetKind,
        }
    }

    /// What the scope's keys have, in their order: whether it is asked for.
    fn scoped(&self) -> Vec<Option<&str>> {
        let Self { namespace, incident_type, target_kind, .. } = self;
        let values = match self.scope() {
            Scope::All => vec![],
            Scope::Namespace => vec![namespace],
            Scope::IncidentType => vec![incident_type],
            Scope::TargetKind => vec![target_kind],
            Scope::IncidentTypeAndTargetKind => vec![incident_type, target_kind],
            Scope::NamespaceIncidentTypeAndTargetKind => vec![namespace, incident_type, target_kind],
        };
        values.into_iter().map(Option::as_deref).collect()
    }

    /// What the keys of [`View::Runs`] begin with that have what is asked for; others may begin so, too.
    pub(super) fn runs_begin(&self) -> Key {
        let parts = self.scoped().into_iter().chain([self.workflow.as_deref(), self.version.as_deref()]);
        parts.map_while(|part| part).fold(Key::scope(self.scope(), &[]), Key::text)
    }

    /// The workflow and version of a key of [`View::Runs`], if it has what is asked for.
    pub(super) fn runs_key<'k>(&self, key: &'k Key) -> Result<Option<(&'k str, &'k str)>, KeyError> {
        let mut parts = key.parts();
        parts.scope()?;
        for asked in self.scoped() {
            let value = parts.text(View::Runs)?;
            if asked.is_some_and(|asked| asked != value) {
                return Ok(None);
            }
        }
        let (workflow, version) = (parts.text(View::Runs)?, parts.text(View::Runs)?);
        Ok(self.is_of(workflow, version).then_some((workflow, version)))
    }

    /// What the keys of [`View::Runs`] begin with whose sums tell executions apart by all there is, and that have what is
    /// asked for; others may begin so, too.
    pub(super) fn kinds_begin(&self) -> Key {
        let parts = [&self.namespace, &self.incident_type, &self.target_kind, &self.workflow, &self.version];
        let parts = parts.into_iter().map_while(|part| part.as_deref());
        parts.fold(Key::scope(Scope::NamespaceIncidentTypeAndTargetKind, &[]), Key::text)
    }

    /// What the keys of the other views begin with that have what is asked for; others may begin so, too.
    pub(super) fn workflow_begin(&self) -> Key {
        let parts = [self.workflow.as_deref(), self.version.as_deref()].into_iter();
        parts.map_while(|part| part).fold(Key::default(), Key::text)
    }

    /// Whether an execution is asked for.
    pub(super) fn has(&self, of: &Stratum<&str>) -> bool {
        self.is_of(of.workflow, of.version)
            && is(&self.namespace, of.namespace)
            && is(&self.incident_type, of.incident_type)
            && is(&self.target_kind, of.target_kind)
    }

    /// Whether a version of a workflow is asked for.
    pub(super) fn is_of(&self, workflow: &str, version: &str) -> bool {
        is(&self.workflow, workflow) && is(&self.version, version)
    }

    /// Whether more is asked for than a workflow and its version.
    pub(super) fn is_narrow(&self) -> bool {
        self.namespace.is_some() || self.incident_type.is_some() || self.target_kind.is_some()
    }
}

fn is(asked: &Option<String>, value: &str) -> bool {
    asked.as_deref().is_none_or(|asked| asked == value)
}

/// Sums of runs by workflow and version.
pub(super) type Runs = BTreeMap<(String, String), RunsCell>;

/// Sums the cells of [`View::Runs`] that are asked for by workflow and version.
pub(super) fn runs<'f>(
    filters: &Filters,
    found: impl IntoIterator<Item = &'f FoundCell>,
) -> Result<Runs, LearnError> {
    let mut runs = Runs::new();
    for FoundCell { key, cell, .. } in found {
        let Cell::Runs(cell) = cell else { continue };
        if let Some((workflow, version)) = filters.runs_key(key)? {
            runs.entry((workflow.to_owned(), version.to_owned())).or_default().merge(cell, 1);
        }
    }
    Ok(runs)
}

/// A cell of [`View::Strata`], with the log and the executions that it is of.
pub(super) type OfStratum<'f> = (usize, Stratum<&'f str>, &'f StratumCell);

/// The cells of [`View::Strata`] that are asked for.
pub(super) fn strata<'f>(
    filters: &Filters,
    found: &'f [FoundCell],
) -> Result<Vec<OfStratum<'f>>, LearnError> {
    let mut strata = Vec::new();
    for FoundCell { log, key, cell, .. } in found {
        let Cell::Stratum(cell) = cell else { continue };
        let of = stratum(&mut key.parts(), View::Strata)?;
        if filters.has(&of) {
            strata.push((*log, of, cell.as_ref()));
        }
    }
    Ok(strata)
}

/// Reads what executions are told apart by off the beginning of a key.
pub(super) fn stratum<'k>(parts: &mut Parts<'k>, view: View) -> Result<Stratum<&'k str>, KeyError> {
    Ok(Stratum {
        workflow: parts.text(view)?,
        version: parts.text(view)?,
        namespace: parts.text(view)?,
        incident_type: parts.text(view)?,
        target_kind: parts.text(view)?,
    })
}

/// What executions have in common, of a cell that tells them apart by all there is.
pub(super) fn kind<'k>(key: &'k Key, cell: &Cell) -> Result<Stratum<&'k str>, KeyError> {
    let mut parts = key.parts();
    let Cell::Runs(_) = cell else { return stratum(&mut parts, cell.view()) };
    parts.scope()?;
    let (namespace, incident_type, target_kind) =
        (parts.text(View::Runs)?, parts.text(View::Runs)?, parts.text(View::Runs)?);
    let (workflow, version) = (parts.text(View::Runs)?, parts.text(View::Runs)?);
    Ok(Stratum { workflow, version, namespace, incident_type, target_kind })
}
