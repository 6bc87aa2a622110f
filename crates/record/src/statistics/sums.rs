//! Sums of contributions: each spread over the cells that it belongs to.

use std::collections::BTreeMap;

use super::{
    Bucket, Cell, Contribution, Key, Level, RunsCell, Scope, StepCell, StratumCell, TextsCell, View, key,
};
use crate::Time;

/// Cells by view, bucket and key. None of them is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    cells: BTreeMap<(View, Bucket, Key), Cell>,
}

impl Sums {
    /// Adds what an execution gives, `times` over, to the buckets that are kept once the log has come to `as_of`.
    pub fn give(&mut self, contribution: &Contribution, times: i64, as_of: Time) {
        let bucket = Bucket::kept(contribution.hour, as_of);
        let of = &contribution.of;
        if let Some(run) = &contribution.run {
            let runs = Cell::Runs(RunsCell::of(run));
            for scope in Scope::ALL {
                self.add(View::Runs, bucket, Key::runs(scope, of), &runs, times);
            }
            if run.ended().counts() {
                for step in &run.steps {
                    let key = Key::version(&of.workflow, &of.version).number(step.number).text(&step.action);
                    self.add(View::Steps, bucket, key, &Cell::Step(StepCell::of(step, run.outcome)), times);
                }
            }
            let stratum = Cell::Stratum(Box::new(StratumCell::of(run)));
            self.add(View::Strata, bucket, Key::stratum(of), &stratum, times);
        }
        let day = Bucket::of(contribution.hour, Level::Day).start;
        for key in key::texts(contribution) {
            self.add(View::Texts, bucket, key, &Cell::Texts(TextsCell::of(day)), times);
        }
    }

    /// Adds a cell, `times` over.
    pub fn add(&mut self, view: View, bucket: Bucket, key: Key, cell: &Cell, times: i64) {
        use std::collections::btree_map::Entry;
        match self.cells.entry((view, bucket, key)) {
            Entry::Vacant(place) => {
                let mut sum = cell.view().zero();
                sum.merge(cell, times);
                if !sum.is_zero() {
                    place.insert(sum);
                }
            }
            Entry::Occupied(mut place) => {
                place.get_mut().merge(cell, times);
                if place.get().is_zero() {
                    place.remove();
                }
            }
        }
    }

    /// Adds all of others, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        for ((view, bucket, key), cell) in &other.cells {
            self.add(*view, *bucket, key.clone(), cell, times);
        }
    }

    /// Every cell, by view, bucket and key.
    pub fn iter(&self) -> impl Iterator<Item = (&(View, Bucket, Key), &Cell)> {
        self.cells.iter()
    }

    /// The views and buckets that there are cells of, in order.
    pub fn places(&self) -> Vec<(View, Bucket)> {
        let mut places: Vec<_> = self.cells.keys().map(|(view, bucket, _)| (*view, *bucket)).collect();
        places.dedup();
        places
    }

    /// Every cell, by view, bucket and key.
    pub fn into_cells(self) -> BTreeMap<(View, Bucket, Key), Cell> {
        self.cells
    }

    /// Whether nothing is left.
    pub fn is_zero(&self) -> bool {
        self.cells.is_empty()
    }
}

impl View {
    /// A cell of this view that nothing was added to.
    pub fn zero(self) -> Cell {
        match self {
            Self::Runs => Cell::Runs(RunsCell::default()),
            Self::Steps => Cell::Step(StepCell::default()),
            Self::Strata => Cell::Stratum(Box::default()),
            Self::Texts => Cell::Texts(TextsCell::default()),
        }
    }
}

impl Cell {
    /// The view that it is of.
    pub fn view(&self) -> View {
        match self {
            Self::Runs(_) => View::Runs,
            Self::Step(_) => View::Steps,
            Self::Stratum(_) => View::Strata,
            Self::Texts(_) => View::Texts,
        }
    }
}
