//! From what was said to a record: every limit checked, everything derived filled in.

use std::collections::BTreeMap;

use super::{
    Invalid, MAX_RECORD_BYTES, Submitted, SubmittedAdjustment, SubmittedSource, SubmittedStep,
    SubmittedTarget,
    limits::{
        At, attempt, choice, count, duration, free_text, id, name, optional_name, optional_text,
        optional_time, refused, required, score, time, too_large,
    },
};
use crate::{
    Time, WorkflowExecutionAudit,
    canonical::canonical,
    derive::{self, Work},
    execution::{AdaptiveAdjustment, QUARANTINE_LABEL, ScoreSource, Source, StepExecutionAudit, Target},
};

impl Submitted {
    /// Checks every limit and fills in what is derived. `now` bounds the times.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(self, now: Time) -> Result<WorkflowExecutionAudit, Invalid> {
        let text = |field, text| name(At::Field(field), required(At::Field(field), text)?);
        let number = |field, value| count(At::Field(field), required(At::Field(field), value)?);

        let id = id(At::Field("id"), required(At::Field("id"), self.id)?)?;
        let attempt = self.attempt.map_or(Ok(1), |value| attempt(At::Field("attempt"), value))?;
        let remediation_id = text("remediation_id", self.remediation_id)?;
        let workflow_name = text("workflow_name", self.workflow_name)?;
        if workflow_name.is_empty() {
            return Err(refused(At::Field("workflow_name"), "must not be empty"));
        }
        let workflow_version = text("workflow_version", self.workflow_version)?;

        let total_steps = number("total_steps", self.total_steps)?;
        let steps_completed = number("steps_completed", self.steps_completed)?;
        let steps_failed = number("steps_failed", self.steps_failed)?;
        if steps_completed + steps_failed > total_steps {
            let rule = format!(
                "{steps_completed} and steps_failed {steps_failed} are more than total_steps {total_steps}"
            );
            return Err(refused(At::Field("steps_completed"), rule));
        }
        let at = At::Field("total_duration");
        let total_duration = duration(at, required(at, self.total_duration)?)?;
        let rollbacks_performed = number("rollbacks_performed", self.rollbacks_performed)?;

        let steps = self.step_executions.into_iter().enumerate();
        let step_executions: Vec<_> =
            steps.map(|(n, given)| step(n, given, now)).collect::<Result<_, _>>()?;
        let changes = self.adaptive_adjustments.into_iter().enumerate();
        let adaptive_adjustments =
            changes.map(|(n, given)| adjustment(n, given, now)).collect::<Result<_, _>>()?;

        let completed_at = time(At::Field("completed_at"), self.completed_at, now)?;
        let at = At::Field("status");
        let status = choice(at, &required(at, self.status)?)?;
        let error_message = free_text(At::Field("error_message"), self.error_message.unwrap_or_default())?;

        let work = Work {
            status,
            total_steps,
            steps_completed,
            steps_failed,
            rollbacks_performed,
            steps: &step_executions,
        };
        let given = self.outcome.filter(|outcome| !outcome.is_empty());
        // Go's zero value: a producer that leaves the outcome to us can't mean 0.
        let given_score = self.effectiveness_score.filter(|&score| given.is_some() || score != 0.0);
        let outcome = match given {
            Some(name) => choice(At::Field("outcome"), &name)?,
            None => derive::outcome(&work),
        };
        let (effectiveness_score, score_source) = match given_score {
            Some(value) => (score(At::Field("effectiveness_score"), value)?, ScoreSource::Reported),
            None => (derive::score(&work, outcome), ScoreSource::Derived),
        };

        let started_at = optional_time(At::Field("started_at"), self.started_at, now)?;
        let created_at = optional_time(At::Field("created_at"), self.created_at, now)?
            .or(started_at)
            .unwrap_or_else(|| before(completed_at, total_duration));
        let queued_duration =
            self.queued_duration.map(|value| duration(At::Field("queued_duration"), value)).transpose()?;
        let optional = |field, text| optional_name(At::Field(field), text);

        let record = WorkflowExecutionAudit {
            id,
            attempt,
            remediation_id,
            workflow_name,
            workflow_version,
            total_steps,
            steps_completed,
            steps_failed,
            total_duration,
            outcome,
            effectiveness_score,
            score_source,
            rollbacks_performed,
            step_executions,
            adaptive_adjustments,
            completed_at,
            status,
            error_message,
            created_at,
            cluster: optional("cluster", self.cluster)?,
            namespace: optional("namespace", self.namespace)?,
            name: optional("name", self.name)?,
            source: source(self.source.unwrap_or_default())?,
            started_at,
            queued_duration,
            incident_type: optional("incident_type", self.incident_type)?,
            target: target(self.target.unwrap_or_default())?,
            labels: labels(self.labels)?,
        };
        check_size(&record)?;
        Ok(record)
    }
}

fn step(n: usize, given: SubmittedStep, now: Time) -> Result<StepExecutionAudit, Invalid> {
    let at = |field| At::Item("step_executions", n, field);
    let number = |field, value| count(at(field), required(at(field), value)?);
    Ok(StepExecutionAudit {
        step_number: number("step_number", given.step_number)?,
        action: name(at("action"), required(at("action"), given.action)?)?,
        duration: duration(at("duration"), required(at("duration"), given.duration)?)?,
        status: choice(at("status"), &required(at("status"), given.status)?)?,
        retries_attempted: number("retries_attempted", given.retries_attempted)?,
        error_message: free_text(at("error_message"), given.error_message.unwrap_or_default())?,
        name: optional_name(at("name"), given.name)?,
        started_at: optional_time(at("started_at"), given.started_at, now)?,
    })
}

fn adjustment(n: usize, given: SubmittedAdjustment, now: Time) -> Result<AdaptiveAdjustment, Invalid> {
    let at = |field| At::Item("adaptive_adjustments", n, field);
    let kind = at("adjustment_type");
    Ok(AdaptiveAdjustment {
        step_number: count(at("step_number"), required(at("step_number"), given.step_number)?)?,
        adjustment_type: choice(kind, &required(kind, given.adjustment_type)?)?,
        reason: free_text(at("reason"), required(at("reason"), given.reason)?)?,
        timestamp: time(at("timestamp"), given.timestamp, now)?,
        from: optional_text(at("from"), given.from)?,
        to: optional_text(at("to"), given.to)?,
    })
}

/// A source with nothing in it is Go's zero value; one with something in it must be whole.
fn source(given: SubmittedSource) -> Result<Option<Source>, Invalid> {
    if is_empty([&given.api_version, &given.kind, &given.uid]) {
        return Ok(None);
    }
    let part = |field, text| name(At::Part("source", field), required(At::Part("source", field), text)?);
    Ok(Some(Source {
        api_version: part("api_version", given.api_version)?,
        kind: part("kind", given.kind)?,
        uid: part("uid", given.uid)?,
    }))
}

fn target(given: SubmittedTarget) -> Result<Option<Target>, Invalid> {
    if is_empty([&given.api_version, &given.kind, &given.namespace, &given.name]) {
        return Ok(None);
    }
    let part = |field, text| optional_name(At::Part("target", field), text);
    Ok(Some(Target {
        api_version: part("api_version", given.api_version)?,
        kind: part("kind", given.kind)?,
        namespace: part("namespace", given.namespace)?,
        name: part("name", given.name)?,
    }))
}

fn is_empty<const N: usize>(texts: [&Option<String>; N]) -> bool {
    texts.into_iter().flatten().all(String::is_empty)
}

fn labels(given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Invalid> {
    let label = |(key, value): (String, String)| {
        if key == QUARANTINE_LABEL {
            return Err(refused(At::LabelKey(&key), "is set by dualaudit alone: leave it out"));
        }
        let value = name(At::Label(&key), value)?;
        Ok((name(At::LabelKey(&key.clone()), key)?, value))
    };
    given.into_iter().map(label).collect()
}

/// The start, where only the end and the duration are known; truncated to the microsecond.
fn before(completed_at: Time, total_duration: u64) -> Time {
    let micros = i64::try_from(total_duration.div_ceil(1_000)).unwrap_or(i64::MAX);
    completed_at.saturating_add_micros(-micros)
}

/// The limit is on canonical bytes, which take a while to make. Compact ones differ only in how
/// they write the one floating point number, so they settle all but the closest cases.
fn check_size(record: &WorkflowExecutionAudit) -> Result<(), Invalid> {
    const A_NUMBER: usize = 32;
    if record.json_size() + A_NUMBER <= MAX_RECORD_BYTES {
        return Ok(());
    }
    match canonical(record).len() {
        bytes if bytes > MAX_RECORD_BYTES => Err(too_large(bytes)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
