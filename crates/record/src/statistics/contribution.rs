//! What one execution gives to the statistics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Hour, pattern};
use crate::{
    WorkflowExecutionAudit,
    entry::Verdict,
    execution::{AdjustmentType, Outcome, ScoreSource, Status, StepStatus},
};

/// What one execution gives to the statistics, or what is taken back of it.
///
/// It follows from the record and the newest verdict on it alone. Of a record whose personal fields were erased, it has no [`Text`]s, and all else
/// is as it was. `S` are its texts; [packed](super::Packed) they are numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution<S = String> {
    /// What it was.
    pub of: Stratum<S>,
    /// When it ended.
    pub hour: Hour,
    /// How it went; `None` where only texts are taken back.
    pub run: Option<Run<S>>,
    /// What was said, by pattern; each at most once.
    pub texts: Vec<Text<S>>,
}

/// What executions are told apart by. What was not given is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the record's names")]
pub struct Stratum<S = String> {
    pub workflow: S,
    pub version: S,
    pub namespace: S,
    pub incident_type: S,
    pub target_kind: S,
}

/// How an execution went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<S = String> {
    /// How it turned out.
    pub outcome: Outcome,
    /// How it ended.
    pub status: Status,
    /// In millionths, rounded to the nearest.
    pub score: u32,
    /// Where that comes from.
    pub score_source: ScoreSource,
    /// How many steps were rolled back.
    pub rollbacks: u32,
    /// Microseconds from start to end.
    pub duration: u64,
    /// Microseconds between creation and start, where that is known.
    pub queued: Option<u64>,
    /// Each step once, by number and action.
    pub steps: Vec<StepRun<S>>,
    /// Each kind of adjustment to a step once.
    pub adjustments: Vec<Adjusted<S>>,
    /// The newest verdict on it. [Packed](super::Packed) it stands beside.
    #[serde(skip)]
    pub verdict: Option<Verdict>,
}

/// A step of an execution, however often it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRun<S = String> {
    /// Its number in the plan.
    pub number: u32,
    /// What it does.
    pub action: S,
    /// How it ended the last time.
    pub status: StepStatus,
    /// Whether the execution came to it: it began, or was adjusted.
    pub reached: bool,
    /// Retries of all times, beyond the first run of each.
    pub retries: u64,
    /// Microseconds, of all times.
    pub duration: u64,
}

/// A step that was adjusted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Adjusted<S = String> {
    /// Number of the step.
    pub number: u32,
    /// What the step does; empty where there is no such step.
    pub action: S,
    /// What kind of change.
    pub kind: AdjustmentType,
}

/// Stands for the step with number 0 where that has no action, and said an error. No step has it for a number: these are
/// at most [`MAX_COUNT`](crate::submitted::MAX_COUNT).
pub const FIRST_WITHOUT_ACTION: u32 = 1 << 31;

/// The pattern of something that was said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text<S = String> {
    /// Number of the step; 0 of the execution as a whole, whose action is empty, too; [`FIRST_WITHOUT_ACTION`] of a step
    /// whose error would look so.
    pub number: u32,
    /// What the step does.
    pub action: S,
    /// What it is about.
    pub about: About,
    /// See [`pattern`](super::pattern).
    pub pattern: S,
}

/// What a text is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// An error message.
    Error,
    /// Why a step was adjusted.
    Reason(AdjustmentType),
    /// The timeout of a step, from what to what, as it was given.
    Timeout,
}

impl Stratum {
    /// What an execution is told apart by.
    pub fn of(record: &WorkflowExecutionAudit) -> Self {
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        let kind = record.target.as_ref().and_then(|target| target.kind.clone());
        Self {
            workflow: record.workflow_name.clone(),
            version: record.workflow_version.clone(),
            namespace: given(&record.namespace),
            incident_type: given(&record.incident_type),
            target_kind: kind.unwrap_or_default(),
        }
    }

    /// The same, borrowed.
    pub fn as_deref(&self) -> Stratum<&str> {
        let Self { workflow, version, namespace, incident_type, target_kind } = self;
        Stratum { workflow, version, namespace, incident_type, target_kind }
    }
}

impl Contribution {
    /// What an execution gives that nobody judged.
    pub fn of(record: &WorkflowExecutionAudit) -> Self {
        Self {
            of: Stratum::of(record),
            hour: Hour::of(record.completed_at),
            run: Some(run(record)),
            texts: texts(record),
        }
    }

    /// What it gives once this is the newest verdict on it.
    #[must_use]
    pub fn reviewed(mut self, verdict: Option<Verdict>) -> Self {
        if let Some(run) = &mut self.run {
            run.verdict = verdict;
        }
        self
    }

    /// What an erasure of personal fields takes back; `None` where that is nothing.
    pub fn of_texts(self) -> Option<Self> {
        (!self.texts.is_empty()).then_some(Self { run: None, ..self })
    }
}

impl<S> Contribution<S> {
    /// The newest verdict on it.
    pub fn verdict(&self) -> Option<Verdict> {
        self.run.as_ref()?.verdict
    }

    /// The same with each text turned into something else.
    ///
    /// # Errors
    /// The first that `turn` gives.
    pub(super) fn try_map<'a, T, E>(
        &'a self,
        mut turn: impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Contribution<T>, E> {
        let Stratum { workflow, version, namespace, incident_type, target_kind } = &self.of;
        let of = Stratum {
            workflow: turn(workflow)?,
            version: turn(version)?,
            namespace: turn(namespace)?,
            incident_type: turn(incident_type)?,
            target_kind: turn(target_kind)?,
        };
        let run = self.run.as_ref().map(|run| run.try_map(&mut turn)).transpose()?;
        let text = |text: &'a Text<S>| {
            let Text { number, action, about, pattern } = text;
            Ok(Text { number: *number, action: turn(action)?, about: *about, pattern: turn(pattern)? })
        };
        let texts = self.texts.iter().map(text).collect::<Result<_, E>>()?;
        Ok(Contribution { of, hour: self.hour, run, texts })
    }
}

impl<S> Run<S> {
    fn try_map<'a, T, E>(&'a self, turn: &mut impl FnMut(&'a S) -> Result<T, E>) -> Result<Run<T>, E> {
        let step = |step: &'a StepRun<S>| {
            let StepRun { number, ref action, status, reached, retries, duration } = *step;
            Ok(StepRun { number, action: turn(action)?, status, reached, retries, duration })
        };
        let steps = self.steps.iter().map(step).collect::<Result<_, E>>()?;
        let adjusted = |adjusted: &'a Adjusted<S>| {
            let Adjusted { number, ref action, kind } = *adjusted;
            Ok(Adjusted { number, action: turn(action)?, kind })
        };
        let adjustments = self.adjustments.iter().map(adjusted).collect::<Result<_, E>>()?;
        let Self { outcome, status, score, score_source, rollbacks, duration, queued, verdict, .. } = *self;
        Ok(Run {
            outcome,
            status,
            score,
            score_source,
            rollbacks,
            duration,
            queued,
            steps,
            adjustments,
            verdict,
        })
    }
}

fn run(record: &WorkflowExecutionAudit) -> Run {
    let adjustments = adjustments(record);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score is from 0 to 1")]
    let score = (record.effectiveness_score * 1e6).round() as u32;
    Run {
        outcome: record.outcome,
        status: record.status,
        score,
        score_source: record.score_source,
        rollbacks: record.rollbacks_performed,
        duration: micros(record.total_duration),
        queued: record.queued_duration.map(micros),
        steps: steps(record, &adjustments),
        adjustments,
        verdict: None,
    }
}

fn steps(record: &WorkflowExecutionAudit, adjustments: &[Adjusted]) -> Vec<StepRun> {
    let mut steps: BTreeMap<(u32, &str), StepRun> = BTreeMap::new();
    for step in &record.step_executions {
        let began = !matches!(step.status, StepStatus::Pending | StepStatus::Skipped);
        let known = steps.entry((step.step_number, &step.action)).or_insert_with(|| StepRun {
            number: step.step_number,
            action: step.action.clone(),
            status: step.status,
            reached: false,
            retries: 0,
            duration: 0,
        });
        known.status = step.status;
        known.reached |= began;
        known.retries += u64::from(step.retries_attempted);
        known.duration = known.duration.saturating_add(micros(step.duration));
    }
    for adjusted in adjustments {
        if let Some(step) = steps.get_mut(&(adjusted.number, adjusted.action.as_str())) {
            step.reached = true;
        }
    }
    steps.into_values().collect()
}

fn adjustments(record: &WorkflowExecutionAudit) -> Vec<Adjusted> {
    let mut adjustments: Vec<_> = record
        .adaptive_adjustments
        .iter()
        .map(|adjustment| Adjusted {
            number: adjustment.step_number,
            action: action_of(record, adjustment.step_number),
            kind: adjustment.adjustment_type,
        })
        .collect();
    adjustments.sort_unstable();
    adjustments.dedup();
    adjustments
}

fn texts(record: &WorkflowExecutionAudit) -> Vec<Text> {
    let mut texts = Vec::new();
    let mut say = |number, action: String, about, pattern: String| {
        if !pattern.is_empty() {
            texts.push(Text { number, action, about, pattern });
        }
    };
    say(0, String::new(), About::Error, pattern(&record.error_message));
    for step in record.step_executions.iter().filter(|step| !step.error_message.is_empty()) {
        let is_like_all = step.step_number == 0 && step.action.is_empty();
        let number = if is_like_all { FIRST_WITHOUT_ACTION } else { step.step_number };
        say(number, step.action.clone(), About::Error, pattern(&step.error_message));
    }
    for adjustment in &record.adaptive_adjustments {
        let number = adjustment.step_number;
        let kind = adjustment.adjustment_type;
        say(number, action_of(record, number), About::Reason(kind), pattern(&adjustment.reason));
        if kind == AdjustmentType::Timeout && (adjustment.from.is_some() || adjustment.to.is_some()) {
            let shown = |value: &Option<String>| shortened(value.as_deref().unwrap_or("?"));
            let change = format!("{} → {}", shown(&adjustment.from), shown(&adjustment.to));
            say(number, action_of(record, number), About::Timeout, change);
        }
    }
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// What the step with a number does; of several, the first.
fn action_of(record: &WorkflowExecutionAudit, number: u32) -> String {
    let step = record.step_executions.iter().find(|step| step.step_number == number);
    step.map(|step| step.action.clone()).unwrap_or_default()
}

/// A timeout is a few characters long; what is not is none.
fn shortened(value: &str) -> String {
    value.chars().take(32).filter(|c| !c.is_control()).collect()
}

fn micros(nanoseconds: u64) -> u64 {
    nanoseconds / 1000
}
