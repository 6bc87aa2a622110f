//! What is true of a fleet.
//!
//! Shares are weights: what matters is their ratio. Rates and chances are from 0 to 1, and what is added to them is
//! in the same unit: −0.2 is a drop of 20 points. Ease is in log odds.

use dualaudit_record::{Time, WorkflowExecutionAudit, execution::AdjustmentType};

use super::{DAY, Of};

/// What there is, how often, and how it truly turns out.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// When the first day begins, which is a day of 24 hours.
    pub began: Time,
    /// How many days there are.
    pub days: u32,
    /// What is run.
    pub workflows: Vec<Workflow>,
    /// Where.
    pub namespaces: Vec<Context>,
    /// Against what.
    pub incident_types: Vec<Context>,
    /// On what.
    pub target_kinds: Vec<Context>,
    /// Days that are not like others.
    pub storms: Option<Storms>,
    /// How much workflows differ in what incidents they suit: the standard deviation of their ease.
    pub suited: f64,
    /// And how much in what namespaces they suit.
    pub local: f64,
    /// How many are cancelled.
    pub cancelled: f64,
    /// Of how many the resource is deleted before they have finished.
    pub deleted: f64,
}

/// A namespace, an incident type, or a kind of target.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// How often.
    pub share: f64,
    /// How much easier than others it is to succeed there.
    pub ease: f64,
}

/// A workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// How often it is run.
    pub share: f64,
    /// How often it succeeds where nothing is easier or harder than usual.
    pub success: f64,
    /// Seconds that half of the successful take at most: durations are log-normal.
    pub median: f64,
    /// The standard deviation of their logarithm.
    pub spread: f64,
    /// Its versions, run beside each other.
    pub versions: Vec<Version>,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
    /// What is adjusted in it.
    pub adjustments: Vec<Adjustment>,
    /// What becomes of it.
    pub drifts: Vec<Drift>,
}

/// A version of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// How often it is the one that is run.
    pub share: f64,
    /// What it adds to success.
    pub success: f64,
    /// How many times as long it takes.
    pub pace: f64,
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it does.
    pub action: String,
    /// Its share of the time.
    pub time: f64,
    /// Its share of what goes wrong.
    pub breaks: f64,
    /// How likely it is to be run again, each time.
    pub retries: f64,
}

/// Something that engines adjust.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjustment {
    /// The place of the step.
    pub step: usize,
    /// What kind of change.
    pub kind: AdjustmentType,
    /// How often, where nothing is easier or harder than usual.
    pub share: f64,
    /// When it is made,
    pub made: Made,
    /// and what it adds to the chance of succeeding from there on.
    pub helps: f64,
}

/// When an adjustment is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Made {
    /// When the step is reached, as often wherever it is.
    Anywhere,
    /// When the step is reached, the more often the easier success is there: by so many log odds for each of ease.
    WhereItIsEasier(f64),
    /// Once a part of the step is done, which takes that share of what goes wrong in it.
    Late(f64),
}

/// Something that changes with a day and stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// How many days go by before.
    pub day: usize,
    /// How many more until all of it is there; 0 for at once.
    pub over: usize,
    /// What it adds to success.
    pub success: f64,
    /// How many times as long successful executions take.
    pub pace: f64,
}

/// Days on which incidents of one type come in bunches, and go well or badly together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storms {
    /// On how many days, for each type.
    pub likelihood: f64,
    /// How many times as many incidents there are then.
    pub times: f64,
    /// The standard deviation of what they have in common, in log odds.
    pub spread: f64,
}

impl Truth {
    /// How many days have gone by before the one that an execution ended on.
    pub fn day_of(&self, record: &WorkflowExecutionAudit) -> usize {
        usize::try_from(record.completed_at.micros_since(self.began) / DAY).unwrap_or(0)
    }

    /// How much easier it is to succeed there than usual, whatever is run.
    pub(super) fn ease(&self, of: Of) -> f64 {
        self.namespaces[of.namespace].ease
            + self.incident_types[of.incident_type].ease
            + self.target_kinds[of.target_kind].ease
    }
}

impl Workflow {
    /// How many times as long as usual a version takes, so many days after the first.
    pub(super) fn pace(&self, version: usize, day: usize) -> f64 {
        let drifts: f64 = self.drifts.iter().map(|drift| drift.pace.powf(drift.part(day))).product();
        self.versions[version].pace * drifts
    }
}

impl Drift {
    /// How much of it is there, so many days after the first.
    pub(super) fn part(&self, day: usize) -> f64 {
        match day.checked_sub(self.day) {
            None => 0.0,
            Some(_) if self.over == 0 => 1.0,
            Some(since) => (since as f64 / self.over as f64).min(1.0),
        }
    }
}
