use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    execution::{AdjustmentType, Outcome, ScoreSource, Status, StepStatus},
    submitted::Submitted,
};

use super::{Adjustment, Drift, Fleet, Made, Of, Storms, Truth};

const HERE: Of = Of { workflow: 0, version: 0, namespace: 0, incident_type: 0, target_kind: 0 };

fn began() -> Time {
    "2025-01-01T00:00:00Z".parse().unwrap()
}

fn steady() -> Truth {
    Truth::steady(1, 28, began())
}

fn succeeded(record: &WorkflowExecutionAudit) -> bool {
    record.outcome == Outcome::Success
}

/// Whether a share is that of the truth, within four standard errors of its estimate.
fn is_close(found: usize, of: usize, truth: f64) -> bool {
    let n = of as f64;
    (found as f64 / n - truth).abs() <= 4.0 * (truth * (1.0 - truth) / n).sqrt()
}

fn share(records: &[WorkflowExecutionAudit], truth: f64, is: impl Fn(&WorkflowExecutionAudit) -> bool) {
    let found = records.iter().filter(|record| is(record)).count();
    assert!(is_close(found, records.len(), truth), "{found} of {} for {truth}", records.len());
}

#[test]
fn every_record_is_what_a_producer_may_send() {
    let mut truth = Truth { cancelled: 0.1, deleted: 0.1, ..Truth::large(began()) };
    for at in 0..6 {
        let made = [Made::Anywhere, Made::Late(0.5), Made::WhereItIsEasier(1.0)][at % 3];
        let adjustment = Adjustment { step: at, kind: AdjustmentType::ALL[at], share: 0.3, made, helps: 0.1 };
        truth.workflows.iter_mut().for_each(|workflow| workflow.adjustments.push(adjustment.clone()));
    }
    for record in Fleet::new(truth, 1_000, 7).records() {
        let mut json = serde_json::to_value(&record).unwrap();
        json.as_object_mut().unwrap().remove("score_source");
        let validated = Submitted::from_value(json).unwrap().validate(record.completed_at).unwrap();
        assert_eq!(WorkflowExecutionAudit { score_source: ScoreSource::Derived, ..validated }, record);
        let began = |step: &u32| record.step_executions[*step as usize - 1].started_at.is_some();
        assert!(record.adaptive_adjustments.iter().all(|it| began(&it.step_number)));
    }
}

#[test]
fn a_seed_decides_each_execution_from_its_number() {
    let fleet = |seed| Fleet::new(Truth::large(began()), 500, seed);
    let all: Vec<_> = fleet(1).records().collect();
    assert_eq!(fleet(1).record(321), all[321]);
    assert!(fleet(2).records().zip(&all).all(|(one, other)| one.id != other.id));
    assert!(all.is_sorted_by_key(|record| record.completed_at));
    assert!(fleet(1).record(1_000).completed_at > all[499].completed_at);
}

#[test]
fn success_and_durations_are_those_of_the_truth() {
    let mut truth = steady();
    truth.workflows[0].steps[2].breaks = 5.0;
    let records: Vec<_> = Fleet::new(truth, 20_000, 1).records().collect();
    share(&records, 0.9, succeeded);
    let (successful, failed): (Vec<_>, Vec<_>) = records.into_iter().partition(succeeded);
    share(&successful, 0.5, |record| record.total_duration <= 120_000_000_000);
    // A standard deviation of the logarithm above: 84.13 % of a normal distribution are below.
    share(&successful, 0.841_345, |record| record.total_duration as f64 <= 120e9 * 0.5_f64.exp());
    // Hazards are as the shares say, one step after the other.
    let third = 0.9_f64.powf(0.2) - 0.9_f64.powf(0.7);
    let stopped = |status| matches!(status, StepStatus::Failed | StepStatus::TimedOut);
    share(&failed, third / 0.1, |record| stopped(record.step_executions[2].status));
}

#[test]
fn what_drifts_does_so_from_its_day_on() {
    let mut truth = steady();
    let drift = Drift { day: 10, over: 10, success: -0.2, pace: 2.0 };
    truth.workflows[0].drifts.push(drift);
    let fleet = Fleet::new(truth, 28_000, 2);
    for (day, chance) in [(0, 0.9), (9, 0.9), (15, 0.8), (20, 0.7), (27, 0.7)] {
        assert!((fleet.success(HERE, day) - chance).abs() < 1e-9, "{day}");
        let records: Vec<_> = fleet.records().filter(|it| fleet.truth().day_of(it) == day).collect();
        assert_eq!(records.len(), 1_000);
        share(&records, chance, succeeded);
        let successful: Vec<_> = records.into_iter().filter(succeeded).collect();
        let median = 120e9 * 2_f64.powf(drift.part(day));
        share(&successful, 0.5, |record| record.total_duration as f64 <= median);
    }
}

#[test]
fn storms_come_in_bunches_and_what_is_in_one_goes_alike() {
    let storms = Storms { likelihood: 0.1, times: 5.0, spread: 2.0 };
    let fleet = Fleet::new(Truth { storms: Some(storms), days: 280, ..steady() }, 56_000, 3);
    let mut days: BTreeMap<(usize, String), (usize, usize)> = BTreeMap::new();
    for record in fleet.records() {
        let key = (fleet.truth().day_of(&record), record.incident_type.clone().unwrap());
        let day = days.entry(key).or_default();
        *day = (day.0 + usize::from(succeeded(&record)), day.1 + 1);
    }
    let of: Vec<(usize, usize)> =
        days.into_iter().filter(|((_, incident), _)| incident == "Incident-0").map(|(_, day)| day).collect();
    let busy = of.iter().filter(|(_, n)| *n > 180).count();
    assert!((10..60).contains(&busy), "{busy} of 280 days");
    let unlike = |calm: bool| {
        let days: Vec<_> = of.iter().filter(|(_, n)| (*n <= 180) == calm).collect();
        let odd = days.iter().filter(|(successes, n)| !is_close(*successes, *n, 0.9)).count();
        odd as f64 / days.len() as f64
    };
    assert!(unlike(true) < 0.02, "calm days are alike");
    assert!(unlike(false) > 0.5, "storms are not");
}

#[test]
fn an_adjustment_helps_as_much_as_it_is_said_to_where_the_step_was_reached() {
    let mut truth = steady();
    truth.workflows[0].success = 0.6;
    let kind = AdjustmentType::Timeout;
    truth.workflows[0].adjustments =
        vec![Adjustment { step: 3, kind, share: 0.5, made: Made::Anywhere, helps: 0.1 }];
    let records: Vec<_> = Fleet::new(truth, 40_000, 4).records().collect();
    let reached = records.iter().filter(|it| it.step_executions[3].status != StepStatus::Skipped).cloned();
    let (with, without): (Vec<_>, Vec<_>) =
        reached.partition(|record| !record.adaptive_adjustments.is_empty());
    let from_there = 0.6_f64.powf(0.5);
    share(&without, from_there, succeeded);
    share(&with, from_there + 0.1, succeeded);
}

#[test]
fn what_is_adjusted_where_it_is_easier_only_seems_to_help() {
    let mut truth = steady();
    truth.workflows[0].success = 0.6;
    truth.incident_types.truncate(2);
    truth.incident_types[0].ease = 1.0;
    truth.incident_types[1].ease = -1.0;
    let made = Made::WhereItIsEasier(1.0);
    let kind = AdjustmentType::Parameter;
    truth.workflows[0].adjustments = vec![Adjustment { step: 0, kind, share: 0.5, made, helps: 0.0 }];
    let records: Vec<_> = Fleet::new(truth, 40_000, 5).records().collect();
    let rate = |adjusted: bool, of: Option<&str>| {
        let mut tried = 0_usize;
        let is = |record: &&WorkflowExecutionAudit| {
            record.adaptive_adjustments.is_empty() != adjusted
                && of.is_none_or(|of| record.incident_type.as_deref() == Some(of))
        };
        let won = records.iter().filter(is).inspect(|_| tried += 1).filter(|it| succeeded(it)).count();
        won as f64 / tried as f64
    };
    assert!(rate(true, None) - rate(false, None) > 0.1);
    for of in ["Incident-0", "Incident-1"] {
        assert!((rate(true, Some(of)) - rate(false, Some(of))).abs() < 0.03, "{of}");
    }
}

#[test]
fn whoever_is_cancelled_or_deleted_is_so_as_often_as_it_is_said() {
    let records: Vec<_> =
        Fleet::new(Truth { cancelled: 0.1, deleted: 0.05, ..steady() }, 20_000, 6).records().collect();
    share(&records, 0.1, |record| record.status == Status::Cancelled);
    share(&records, 0.05, |record| record.status == Status::Deleted);
}

#[test]
fn a_large_fleet_is_spread_as_zipf_says() {
    let records: Vec<_> = Fleet::new(Truth::large(began()), 20_000, 8).records().collect();
    let harmonic = |n: u32| (1..=n).map(|at| 1.0 / f64::from(at)).sum::<f64>();
    share(&records, 1.0 / harmonic(200), |record| record.workflow_name == "remediate-workflow-0");
    share(&records, 0.02 / harmonic(50), |record| record.namespace.as_deref() == Some("shop-49"));
    share(&records, 0.5 / harmonic(20), |record| record.incident_type.as_deref() == Some("Incident-1"));
    share(&records, 1.0 / 3.0 / harmonic(3), |record| record.workflow_version == "v1.3.0");
}
