//! Where answers come from: the statistics of the logs that are asked about.

use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
};

use dualaudit_record::{
    Time,
    statistics::{
        Cell, Key, KeyError, Keys, Level, Part, Parts, RunsCell, Scope, Stratum, StratumCell, Stretch, View,
    },
};

use super::{Filters, Flights, Incomplete, PassedOver, Period, in_flight, workflows::By};
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
    /// The same of what an answer can do without; `None` where it is more than one question may read.
    pub last: Option<Vec<Vec<FoundCell>>>,
    /// What has not ended yet.
    pub flights: Flights,
    /// The statistics of these are not whole yet.
    pub incomplete: Vec<Incomplete>,
    /// The statistics of these lack what could not be read.
    pub passed_over: Vec<PassedOver>,
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
        if wanted.is_empty() {
            return Ok(found);
        }
        for (place, log) in self.logs.iter().enumerate() {
            let FoundCells { cells, behind, passed_over } = self.store.cells(log, wanted).await?;
            for (all, of_log) in found.cells.iter_mut().zip(cells) {
                let here = |(stretch, key, cell)| FoundCell { log: place, stretch, key, cell };
                all.extend(of_log.into_iter().map(here));
            }
            if let Some(Behind { folded, of }) = behind {
                found.incomplete.push(Incomplete { log: log.clone(), folded, of });
            }
            if passed_over > 0 {
                found.passed_over.push(PassedOver { log: log.clone(), entries: passed_over });
            }
        }
        Ok(found)
    }
}

/// Some part of the cells of one view, each over the whole period.
fn wanted(view: View, keys: Keys, period: Period, part: Part) -> WantedCells {
    let (from, until) = period.hours();
    WantedCells { view, keys, from, until, by: None, part }
}

impl Filters {
    /// Executions that are asked for, summed by workflow, or by version of it.
    pub(super) fn runs(&self, by: By, period: Period, part: Part) -> WantedCells {
        let Self { workflow, version, namespace, incident_type, target_kind, .. } = self;
        let [workflow, version, namespace, incident_type, target_kind] =
            [workflow, version, namespace, incident_type, target_kind].map(Option::as_deref);
        let asked = Stratum { workflow, version, namespace, incident_type, target_kind };
        let (view, keys) = Keys::of_runs(&asked, by == By::Version);
        wanted(view, keys, period, part)
    }

    /// How executions ended that are asked for, summed by workflow, or version, and what they were for: of those of a
    /// namespace, if one is asked for.
    pub(super) fn runs_by_kind(&self, period: Period) -> WantedCells {
        let Self { workflow, version, namespace, incident_type, target_kind, .. } = self;
        let scope = match namespace {
            Some(_) => Scope::NamespaceIncidentTypeAndTargetKind,
            None => Scope::IncidentTypeAndTargetKind,
        };
        let view = if version.is_some() { View::Runs } else { View::Workflows };
        let texts = namespace.is_some().then_some(namespace).into_iter();
        let texts = texts.chain([incident_type, target_kind, workflow]);
        let texts = texts.chain(version.is_some().then_some(version)).map(Option::as_deref);
        wanted(view, Keys::of(Key::scope(scope, &[]), &texts.collect::<Vec<_>>()), period, Part::Ended)
    }

    /// How executions ended that are asked for, summed by workflow, or by version of it, stretch by stretch.
    pub(super) fn series(&self, by: By, period: Period) -> WantedCells {
        const DAY: i64 = 86_400_000_000;
        let level = match period.until.micros_since(period.since) / DAY {
            0..3 => Level::Hour,
            3..100 => Level::Day,
            _ => Level::Month,
        };
        WantedCells { by: Some(level), ..self.runs(by, period, Part::Ended) }
    }

    /// Cells of another view that are asked for.
    pub(super) fn wanted(&self, view: View, period: Period, part: Part) -> WantedCells {
        let Self { workflow, version, namespace, incident_type, target_kind, .. } = self;
        let texts = [workflow, version, namespace, incident_type, target_kind].map(Option::as_deref);
        let texts = if view == View::Steps { &texts[..2] } else { &texts };
        wanted(view, Keys::of(Key::default(), texts), period, part)
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

/// What a sum of executions is of: a workflow, and which version, if they are told apart.
pub(super) type Row<'f> = (&'f str, Option<&'f str>);

/// Sums of executions.
pub(super) type Runs<'f> = BTreeMap<Row<'f>, Cow<'f, RunsCell>>;

/// Sums the cells of [`View::Workflows`], or of [`View::Runs`], by workflow, or by version of it.
pub(super) fn runs<'f>(found: impl IntoIterator<Item = &'f FoundCell>) -> Result<Runs<'f>, LearnError> {
    let mut runs = Runs::new();
    for FoundCell { key, cell, .. } in found {
        let Cell::Runs(cell) = cell else { continue };
        match runs.entry(row(key)?) {
            Entry::Vacant(place) => drop(place.insert(Cow::Borrowed(cell))),
            Entry::Occupied(mut place) => place.get_mut().to_mut().merge(cell, 1),
        }
    }
    Ok(runs)
}

/// What a cell of [`View::Workflows`], or of [`View::Runs`], is of.
pub(super) fn row(key: &Key) -> Result<Row<'_>, KeyError> {
    let mut parts = key.parts();
    for _ in 0..parts.scope()?.values() {
        parts.text(View::Runs)?;
    }
    Ok((parts.text(View::Runs)?, parts.last_text(View::Runs)?))
}

/// Cells of the log that is asked for, if one is.
pub(super) fn of_log<'f>(
    filters: &Filters,
    logs: &'f [String],
    cells: &'f [FoundCell],
) -> impl Iterator<Item = &'f FoundCell> {
    let log = filters.log.as_ref().and_then(|log| logs.iter().position(|it| it == log));
    cells.iter().filter(move |cell| log.is_none_or(|log| log == cell.log))
}

/// A cell of [`View::Strata`], with the log and the executions that it is of.
pub(super) type OfStratum<'f> = (usize, Stratum<&'f str>, &'f StratumCell);

/// The cells of [`View::Strata`].
pub(super) fn strata(found: &[FoundCell]) -> Result<Vec<OfStratum<'_>>, LearnError> {
    let mut strata = Vec::with_capacity(found.len());
    for FoundCell { log, key, cell, .. } in found {
        if let Cell::Stratum(cell) = cell {
            strata.push((*log, stratum(&mut key.parts(), View::Strata)?, cell.as_ref()));
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

/// What executions have in common, of a cell of those or of [`Filters::runs_by_kind`].
pub(super) fn kind<'k>(key: &'k Key, cell: &Cell) -> Result<Stratum<&'k str>, KeyError> {
    let mut parts = key.parts();
    let Cell::Runs(_) = cell else { return stratum(&mut parts, View::Strata) };
    let namespace = match parts.scope()? {
        Scope::NamespaceIncidentTypeAndTargetKind => parts.text(View::Runs)?,
        _ => "",
    };
    let (incident_type, target_kind) = (parts.text(View::Runs)?, parts.text(View::Runs)?);
    let workflow = parts.text(View::Runs)?;
    let version = parts.last_text(View::Runs)?.unwrap_or_default();
    Ok(Stratum { workflow, version, namespace, incident_type, target_kind })
}
