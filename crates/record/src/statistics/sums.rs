//! Sums of contributions: each spread over the cells that it belongs to.

use std::collections::BTreeMap;

use super::{Bucket, Cell, Contribution, Kept, Key, Level, Scope, View, key};

/// Cells by view, bucket and key. None of them is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    cells: BTreeMap<(View, Bucket, Key), Cell>,
}

impl Sums {
    /// Adds what an execution gives, `times` over, to all buckets that are kept of its hour.
    pub fn give(&mut self, contribution: &Contribution, times: i64, kept: Kept) {
        for bucket in kept.buckets(contribution.hour) {
            self.give_to(bucket, contribution, times);
        }
    }

    /// Adds what an execution gives, `times` over, to a bucket.
    pub fn give_to(&mut self, bucket: Bucket, contribution: &Contribution, times: i64) {
        let of = &contribution.of;
        if let Some(run) = &contribution.run {
            for scope in Scope::ALL {
                let workflow = Key::scoped(scope, of);
                let version = workflow.clone().text(&of.version);
                for (view, key) in [(View::Workflows, workflow), (View::Runs, version)] {
                    self.change(view, bucket, key, |cell| match cell {
                        Cell::Runs(cell) => cell.give(run, times),
                        _ => unreachable!("a cell of runs"),
                    });
                }
            }
            if run.ended().counts() {
                for step in &run.steps {
                    let key = Key::version(&of.workflow, &of.version).number(step.number).text(&step.action);
                    self.change(View::Steps, bucket, key, |cell| match cell {
                        Cell::Step(cell) => cell.give(step, run.outcome, times),
                        _ => unreachable!("a cell of steps"),
                    });
                }
            }
            self.change(View::Strata, bucket, Key::stratum(of), |cell| match cell {
                Cell::Stratum(cell) => cell.give(run, times),
                _ => unreachable!("a cell of strata"),
            });
        }
        let day = Bucket::of(contribution.hour, Level::Day).start;
        for key in key::texts(contribution) {
            self.change(View::Texts, bucket, key, |cell| match cell {
                Cell::Texts(cell) => cell.give(day, times),
                _ => unreachable!("a cell of texts"),
            });
        }
    }

    /// Adds a cell, `times` over.
    pub fn add(&mut self, view: View, bucket: Bucket, key: Key, cell: &Cell, times: i64) {
        self.change(view, bucket, key, |sum| sum.merge(cell, times));
    }

    /// Changes a cell, and leaves it out if nothing is left of it.
    fn change(&mut self, view: View, bucket: Bucket, key: Key, change: impl FnOnce(&mut Cell)) {
        use std::collections::btree_map::Entry;
        match self.cells.entry((view, bucket, key)) {
            Entry::Vacant(place) => {
                let mut cell = view.zero();
                change(&mut cell);
                if !cell.is_zero() {
                    place.insert(cell);
                }
            }
            Entry::Occupied(mut place) => {
                change(place.get_mut());
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

    /// The buckets that there are cells of, in order.
    pub fn buckets(&self) -> Vec<Bucket> {
        let mut buckets: Vec<_> = self.cells.keys().map(|(_, bucket, _)| *bucket).collect();
        buckets.sort_unstable();
        buckets.dedup();
        buckets
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
            Self::Workflows | Self::Runs => Cell::Runs(Default::default()),
            Self::Steps => Cell::Step(Default::default()),
            Self::Strata => Cell::Stratum(Box::default()),
            Self::Texts => Cell::Texts(Default::default()),
        }
    }
}
