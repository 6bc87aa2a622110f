//! How long the steps of a version may take.

use dualaudit_record::{execution::StepStatus, statistics::StepCell};
use serde::{Deserialize, Serialize};

use super::LearnError;
use crate::learn::{
    figures::{Durations, Rate, is_zero, whole},
    source::FoundCell,
    steps::steps,
};

/// A timeout is this many times what 99 in 100 of the completed do not exceed.
///
/// The 99th percentile itself would end one in a hundred steps that do their work. Twice that ends one in 10,000 where
/// durations are log-normal with σ = ½ (nine in ten within a factor of 2.3 of the median), and one in 800 with σ = 1. It
/// covers the 1 % of the sketch as well, and that few steps do not show how long the longest takes.
const MARGIN: u64 = 2;
/// Where more than this share of steps ran out of time, what 99 in 100 need was not seen.
const CUT_OFF: f64 = 0.01;
/// Steps are told up to this one.
const MOST: usize = 100;

/// How long each step may take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Timeouts {
    /// In the order of their numbers; the first 100.
    pub steps: Vec<StepTimeout>,
    /// How many there are beyond these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_left_out: u64,
    /// There are more of them, of ever other names, than one question may read: none is told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub steps_unread: bool,
}

/// How long a step may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepTimeout {
    /// Its number in the plan.
    pub step_number: u32,
    /// What it does.
    pub action: String,
    /// How long it took where it completed.
    pub duration: Durations,
    /// A timeout to set, in nanoseconds: twice what 99 in 100 of the completed do not exceed; null where fewer than the
    /// minimum completed.
    pub timeout: Option<u64>,
    /// How many ran out of time, of the executions that came to it.
    pub timed_out: Rate,
    /// More than 1 in 100 ran out of time: the timeouts that were set cut off what was measured, and more is needed
    /// than the completed show.
    pub cut_off: bool,
}

impl Timeouts {
    /// Of a version, from cells of all.
    pub(super) fn of(cells: &[FoundCell], version: &str, minimum: u64) -> Result<Self, LearnError> {
        let steps = steps(cells, Some(version))?;
        let steps_left_out = steps.len().saturating_sub(MOST) as u64;
        let told = |((number, action), cell)| timeout(number, action, &cell, minimum);
        Ok(Self {
            steps: steps.into_iter().take(MOST).map(told).collect(),
            steps_left_out,
            steps_unread: false,
        })
    }
}

fn timeout(step_number: u32, action: String, cell: &StepCell, minimum: u64) -> StepTimeout {
    let duration = Durations::of(&cell.completed, minimum);
    let p99 = duration.p99.filter(|_| !duration.insufficient_data);
    let ended = cell.ended.iter();
    let timed_out = ended.filter(|((status, _), _)| *status == StepStatus::TimedOut);
    let timed_out = Rate::new(
        timed_out.map(|(_, &count)| whole(count)).sum(),
        cell.reached.values().map(|&count| whole(count)).sum(),
        minimum,
    );
    StepTimeout {
        step_number,
        action,
        duration,
        timeout: p99.map(|p99| p99.estimate.saturating_mul(MARGIN)),
        cut_off: timed_out.rate.is_some_and(|rate| rate > CUT_OFF),
        timed_out,
    }
}
