//! Slices of cells: what of the cells of a view is stored together, so that who needs little reads little.

use serde::{Deserialize, Serialize};

use super::{Cell, Part, RunsCell, Sorted, StratumCell, View};
use crate::names::named;

mod bytes;

pub use bytes::{NoSlice, Texts};

/// A part of the cells of a view. Each thing that a cell sums is in one of its slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// Of [`View::Workflows`]: all but the next.
    Workflows,
    /// How their durations are spread.
    WorkflowsSpread,
    /// Of [`View::Runs`]: all but the next.
    Runs,
    /// How their durations are spread.
    RunsSpread,
    /// Of [`View::Steps`]: all but the next.
    Steps,
    /// How their durations are spread.
    StepsSpread,
    /// Of [`View::Strata`]: how many ended how.
    Strata,
    /// Their steps and adjustments.
    StrataSteps,
    /// How their durations, and those of their steps, are spread.
    StrataSpread,
    /// Of [`View::Texts`]: all.
    Texts,
}

named!(Slice {
    Workflows = "workflows",
    WorkflowsSpread = "workflows_spread",
    Runs = "runs",
    RunsSpread = "runs_spread",
    Steps = "steps",
    StepsSpread = "steps_spread",
    Strata = "strata",
    StrataSteps = "strata_steps",
    StrataSpread = "strata_spread",
    Texts = "texts",
});

impl View {
    /// The slices that make a part of its cells; of [`Part::All`], all there are.
    pub fn slices(self, part: Part) -> &'static [Slice] {
        use Slice as S;
        let all: &[S] = match self {
            Self::Workflows => &[S::Workflows, S::WorkflowsSpread],
            Self::Runs => &[S::Runs, S::RunsSpread],
            Self::Steps => &[S::Steps, S::StepsSpread],
            Self::Strata => &[S::Strata, S::StrataSteps, S::StrataSpread],
            Self::Texts => &[S::Texts],
        };
        match (self, part) {
            (Self::Texts, _) | (_, Part::All | Part::EndedAndSuccessful) => all,
            (_, Part::Successful) => &all[all.len() - 1..],
            (Self::Strata, Part::Ended) => &all[..1],
            (_, Part::Ended | Part::Counts) => &all[..all.len() - 1],
        }
    }
}

impl Slice {
    /// The view whose cells it is of.
    pub fn view(self) -> View {
        match self {
            Self::Workflows | Self::WorkflowsSpread => View::Workflows,
            Self::Runs | Self::RunsSpread => View::Runs,
            Self::Steps | Self::StepsSpread => View::Steps,
            Self::Strata | Self::StrataSteps | Self::StrataSpread => View::Strata,
            Self::Texts => View::Texts,
        }
    }
}

impl Cell {
    /// Its slices, of a cell of this view, each a cell in which there is nothing else; those of which there is nothing are
    /// left out.
    pub fn sliced(self, view: View) -> impl Iterator<Item = (Slice, Self)> {
        let slices: Vec<(Slice, Self)> = match self {
            Self::Runs(mut cell) => {
                let [counts, spreads] = match view {
                    View::Workflows => [Slice::Workflows, Slice::WorkflowsSpread],
                    _ => [Slice::Runs, Slice::RunsSpread],
                };
                let durations = std::mem::take(&mut cell.durations);
                let queued = std::mem::take(&mut cell.queued);
                let spread = RunsCell { durations, queued, ..RunsCell::default() };
                vec![(counts, Self::Runs(cell)), (spreads, Self::Runs(spread))]
            }
            Self::Step(mut cell) => {
                let spread = cell.take_spread();
                vec![(Slice::Steps, Self::Step(cell)), (Slice::StepsSpread, Self::Step(spread))]
            }
            Self::Stratum(cell) => {
                let StratumCell { ended, successful, mut steps, adjusted } = *cell;
                let mut spreads = Sorted::new();
                steps.change_all(|step, cell| spreads.change(step.clone(), |to| *to = cell.take_spread()));
                let none = StratumCell::default;
                let cell = |cell| Self::Stratum(Box::new(cell));
                vec![
                    (Slice::StrataSpread, cell(StratumCell { successful, steps: spreads, ..none() })),
                    (Slice::StrataSteps, cell(StratumCell { steps, adjusted, ..none() })),
                    (Slice::Strata, cell(StratumCell { ended, ..none() })),
                ]
            }
            Self::Texts(cell) => vec![(Slice::Texts, Self::Texts(cell))],
        };
        slices.into_iter().filter(|(_, cell)| !cell.is_zero())
    }
}
