use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    execution::{Status, StepStatus, Target},
    statistics::Contribution,
};

use super::*;
use crate::{
    learn::testing::{Given, asked},
    store::conformance::sample,
};

const DAY: i64 = 86_400;

/// When questions are asked: 100 days after the first execution may have ended.
fn now() -> Time {
    sample::at(100 * DAY)
}

/// Where something was run.
#[derive(Clone, Copy)]
struct Place {
    log: &'static str,
    namespace: &'static str,
    incident: &'static str,
    kind: &'static str,
}

const HERE: Place = Place { log: "one", namespace: "shop", incident: "oom", kind: "Deployment" };

/// Executions of a workflow somewhere, of which so many succeeded and so many failed, a day ago.
fn ran(given: &mut Given, workflow: &str, place: Place, successes: i64, failures: i64) {
    for (outcome, times) in [(Outcome::Success, successes), (Outcome::Failed, failures)] {
        given.give(place.log, &Contribution::of(&record(workflow, place, outcome, 99)), times);
    }
}

fn record(workflow: &str, place: Place, outcome: Outcome, day: i64) -> WorkflowExecutionAudit {
    let failed = outcome != Outcome::Success;
    let target = Target { kind: Some(place.kind.to_owned()), api_version: None, namespace: None, name: None };
    WorkflowExecutionAudit {
        workflow_name: workflow.to_owned(),
        namespace: Some(place.namespace.to_owned()),
        incident_type: Some(place.incident.to_owned()),
        target: Some(target),
        outcome,
        status: if failed { Status::Failed } else { Status::Completed },
        completed_at: sample::at(day * DAY),
        ..sample::record(workflow)
    }
}

fn ask(given: &Given, pairs: &[(&str, &str)]) -> Recommended {
    given.ask(&asked::<Request>(pairs, now()))
}

/// As an engine asks.
fn ask_here(given: &Given) -> Recommended {
    ask(given, &[("incident_type", "oom"), ("target_kind", "Deployment"), ("namespace", "shop")])
}

fn names(answer: &Recommended) -> Vec<&str> {
    answer.recommended.iter().map(|it| it.workflow.as_str()).collect()
}

#[test]
fn what_is_proven_comes_before_what_was_lucky() {
    let mut given = Given::nothing(now());
    ran(&mut given, "lucky", HERE, 2, 0);
    ran(&mut given, "proven", HERE, 180, 20);
    ran(&mut given, "bad", HERE, 20, 180);
    let answer = ask_here(&given);
    assert_eq!((names(&answer), answer.candidates), (vec!["proven", "lucky", "bad"], 3));
    let proven = &answer.recommended[0];
    assert_eq!((proven.narrow.success.count, proven.narrow.success.of), (180, 200));
    assert!(proven.success.lower < proven.success.mean && proven.success.mean < proven.success.upper);
    assert_eq!(proven.score, proven.success.lower);
    assert!(answer.recommended[1].success.insufficient_data && !proven.success.insufficient_data);
}

#[test]
fn each_execution_counts_once_however_long_the_period_is() {
    let mut given = Given::nothing(now());
    for day in [71, 72, 92, 97] {
        for (outcome, times) in [(Outcome::Success, 3), (Outcome::Failed, 1)] {
            given.give(HERE.log, &Contribution::of(&record("a", HERE, outcome, day)), times);
        }
    }
    for (since, (count, of)) in [("3d", (3, 4)), ("8d", (6, 8)), ("28d", (9, 12)), ("29d", (12, 16))] {
        let answer = ask(&given, &[("incident_type", "oom"), ("since", since)]);
        let it = &answer.recommended[0].narrow.success;
        assert_eq!((it.count, it.of), (count, of), "{since}");
    }
}

#[test]
fn what_was_cancelled_and_found_harmful_flags() {
    let mut given = Given::nothing(now());
    ran(&mut given, "a", HERE, 1, 1);
    ran(&mut given, "b", Place { incident: "crash", ..HERE }, 9, 1);
    let cancelled =
        WorkflowExecutionAudit { status: Status::Cancelled, ..record("b", HERE, Outcome::Failed, 99) };
    given.give(HERE.log, &Contribution::of(&cancelled).reviewed(Some(Verdict::Harmful)), 1);
    let answer = ask_here(&given);
    assert_eq!((names(&answer), answer.candidates), (vec!["a", "b"], 2));
    let it = &answer.recommended[1];
    assert_eq!((it.harmful, it.narrow.success.of, it.success.insufficient_data), (1, 0, true));
    assert_eq!(answer.untested, []);
}

#[test]
fn wide_evidence_is_what_is_not_narrow_and_counts_as_20_executions() {
    let mut given = Given::nothing(now());
    ran(&mut given, "a", HERE, 1, 1);
    ran(&mut given, "a", Place { namespace: "bank", ..HERE }, 3, 2);
    ran(&mut given, "a", Place { log: "two", ..HERE }, 0, 5);
    ran(&mut given, "a", Place { kind: "StatefulSet", ..HERE }, 1000, 0);
    let one =
        [("log", "one"), ("incident_type", "oom"), ("target_kind", "Deployment"), ("namespace", "shop")];
    let it = &ask(&given, &one).recommended[0];
    let of = |it: &Evidence| (it.success.count, it.success.of);
    assert_eq!(of(&it.narrow), (1, 2));
    assert_eq!(it.wide.iter().map(of).collect::<Vec<_>>(), [(3, 10), (1000, 1000)]);
    // 10 of the same kind of target, and 10 of the rest: (½ + 1 + 3 + 10)/(1 + 2 + 20).
    assert!((it.success.mean - 14.5 / 23.0).abs() < 1e-12, "{}", it.success.mean);
    let kinds: Vec<_> = it.wide.iter().map(|level| level.filters.target_kind.as_deref()).collect();
    assert_eq!(kinds, [Some("Deployment"), None]);
    assert!(it.wide.iter().all(|level| level.filters.log.is_none() && level.filters.namespace.is_none()));

    // What was given decides what the levels are.
    let it = &ask(&given, &[("incident_type", "oom")]).recommended[0];
    assert_eq!((of(&it.narrow), it.wide.len()), ((1004, 1012), 0));
    let it = &ask(&given, &[("incident_type", "oom"), ("log", "two")]).recommended[0];
    assert_eq!((of(&it.narrow), of(&it.wide[0])), ((0, 5), (1004, 1007)));
}

#[test]
fn a_harmful_verdict_anywhere_flags_and_does_not_change_the_rank() {
    let mut given = Given::nothing(now());
    ran(&mut given, "a", HERE, 9, 1);
    ran(&mut given, "b", HERE, 8, 2);
    let harmed = Contribution::of(&record("a", Place { namespace: "bank", ..HERE }, Outcome::Success, 98));
    given.give("two", &harmed.clone().reviewed(Some(Verdict::Harmful)), 2);
    given.give("two", &harmed.reviewed(Some(Verdict::Ineffective)), 1);
    let answer = ask_here(&given);
    assert_eq!(names(&answer), ["a", "b"]);
    assert_eq!(answer.recommended.iter().map(|it| it.harmful).collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn who_was_only_cancelled_was_not_tested() {
    let mut given = Given::nothing(now());
    let cancelled =
        WorkflowExecutionAudit { status: Status::Cancelled, ..record("a", HERE, Outcome::Failed, 99) };
    given.give("one", &Contribution::of(&cancelled), 5);
    ran(&mut given, "b", HERE, 1, 0);
    let answer = ask_here(&given);
    assert_eq!((names(&answer), answer.untested.len()), (vec!["b"], 0));
}

#[test]
fn the_untested_are_apart_and_say_why_they_are_there() {
    let mut given = Given::nothing(now());
    let elsewhere = |namespace, kind| Place { incident: "disk", namespace, kind, ..HERE };
    ran(&mut given, "tested", HERE, 1, 9);
    ran(&mut given, "tested", elsewhere("shop", "Deployment"), 9, 1);
    ran(&mut given, "kind", elsewhere("bank", "Deployment"), 50, 50);
    ran(&mut given, "kind-better", elsewhere("shop", "Deployment"), 100, 0);
    ran(&mut given, "namespace", elsewhere("shop", "Node"), 10, 0);
    ran(&mut given, "in-use", elsewhere("bank", "Node"), 10, 0);
    given.give(
        "one",
        &Contribution::of(&record("of-old", elsewhere("bank", "Node"), Outcome::Success, 60)),
        10,
    );
    let answer = ask_here(&given);
    assert_eq!(names(&answer), ["tested"]);
    let untested = |answer: &Recommended| -> Vec<(String, Why, u64)> {
        answer.untested.iter().map(|it| (it.workflow.clone(), it.why, it.success.of)).collect()
    };
    let expected = [
        ("kind-better", Why::SameTargetKind, 100),
        ("kind", Why::SameTargetKind, 100),
        ("namespace", Why::SameNamespace, 10),
        ("in-use", Why::InUse, 10),
    ];
    assert_eq!(untested(&answer), expected.map(|(name, why, of)| (name.to_owned(), why, of)));
    let all = &answer.untested[0].executions.all;
    assert!(all.contains("target_kind=Deployment") && !all.contains("incident_type"), "{all}");

    let few =
        [("incident_type", "oom"), ("target_kind", "Deployment"), ("namespace", "shop"), ("limit", "3")];
    assert_eq!(untested(&ask(&given, &few)), untested(&answer)[..3]);
    assert_eq!(untested(&ask(&given, &[("incident_type", "oom"), ("workflow", "kind")]))[0].1, Why::InUse);
}

#[test]
fn draws_depend_on_the_seed_alone_and_put_every_candidate_first_at_times() {
    let mut given = Given::nothing(now());
    ran(&mut given, "a", HERE, 5, 5);
    ran(&mut given, "b", HERE, 6, 4);
    ran(&mut given, "c", HERE, 4, 5);
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let explored = ask(&given, &[("incident_type", "oom"), ("explore", &seed.to_string())]);
        assert_eq!(explored, ask(&given, &[("incident_type", "oom"), ("explore", &seed.to_string())]));
        assert_eq!(explored.explore, Some(seed));
        assert!(explored.recommended[0].score > explored.recommended[1].score);
        firsts.insert(names(&explored)[0].to_owned());
    }
    assert_eq!(firsts.len(), 3, "{firsts:?}");
    assert_eq!(names(&ask(&given, &[("incident_type", "oom")])), ["b", "a", "c"]);
}

#[test]
fn the_version_is_the_one_that_is_run_lately() {
    let of = |version: &str, day| WorkflowExecutionAudit {
        workflow_version: version.to_owned(),
        ..record("a", HERE, Outcome::Success, day)
    };
    let mut given = Given::nothing(now());
    given.give("one", &Contribution::of(&of("v1", 40)), 100);
    given.give("one", &Contribution::of(&of("v2", 95)), 3);
    given.give("one", &Contribution::of(&of("v3", 96)), 2);
    let answer = ask_here(&given);
    assert_eq!(
        (answer.recommended[0].version.as_str(), answer.recommended[0].narrow.success.of),
        ("v2", 105)
    );
    let old = ask(&given, &[("incident_type", "oom"), ("until", "50d")]);
    assert_eq!(old.recommended[0].version, "v1");
    // What was only cancelled was not run.
    let mut given = Given::nothing(now());
    given.give("one", &Contribution::of(&of("v1", 40)), 100);
    let cancelled = WorkflowExecutionAudit { status: Status::Cancelled, ..of("v2", 99) };
    given.give("one", &Contribution::of(&cancelled), 1);
    let it = &ask_here(&given).recommended[0];
    assert_eq!((it.version.as_str(), it.timeouts.steps.is_empty()), ("v1", false));
}

#[test]
fn timeouts_are_twice_what_nearly_all_that_complete_take() {
    let with = |status, seconds: u64| {
        let mut record = record("a", HERE, Outcome::Success, 99);
        record.step_executions.truncate(2);
        record.step_executions[0].status = StepStatus::Completed;
        record.step_executions[0].duration = 1_000_000_000;
        record.step_executions[1].status = status;
        record.step_executions[1].duration = seconds * 1_000_000_000;
        Contribution::of(&record)
    };
    let mut given = Given::nothing(now());
    given.give("one", &with(StepStatus::Completed, 10), 97);
    given.give("one", &with(StepStatus::TimedOut, 30), 3);
    let steps = &ask_here(&given).recommended[0].timeouts.steps;
    let [first, second] = &steps[..] else { panic!("{steps:?}") };
    let near =
        |timeout: Option<u64>, seconds: f64| (timeout.unwrap() as f64 / 1e9 / seconds - 1.0).abs() < 0.011;
    assert!(near(first.timeout, 2.0) && near(second.timeout, 20.0), "{steps:?}");
    assert_eq!((first.timed_out.count, first.timed_out.of, first.cut_off), (0, 100, false));
    assert_eq!((second.timed_out.count, second.timed_out.of, second.cut_off), (3, 100, true));
    assert_eq!((second.step_number, second.duration.count), (2, 97));

    let absurd = [("incident_type", "oom"), ("minimum", "1000000")];
    let step = &ask(&given, &absurd).recommended[0].timeouts.steps[0];
    assert_eq!((step.timeout, step.duration.insufficient_data), (None, true));
}

#[test]
fn steps_that_are_too_many_to_be_read_keep_nothing_else_from_being_told() {
    let mut given = Given::nothing(now());
    ran(&mut given, "a", HERE, 9, 1);
    let asked = asked::<Request>(&[("incident_type", "oom")], now());
    let mut found = given.found(&asked.reads(now()));
    let then = asked.reads_then(now(), &found).unwrap();
    found.cells.extend(given.found(&then).cells);
    let answer = asked.answer(now(), &Found { last: None, ..found }).unwrap();
    let it = &answer.recommended[0];
    assert_eq!((it.workflow.as_str(), it.version.as_str(), it.narrow.success.of), ("a", "v1.2", 10));
    assert_eq!(it.timeouts, Timeouts { steps_unread: true, ..Timeouts::default() });
}

#[test]
fn durations_are_those_of_the_place_if_there_are_enough() {
    let took = |namespace, seconds: u64| {
        let mut record = record("a", Place { namespace, ..HERE }, Outcome::Success, 99);
        record.total_duration = seconds * 1_000_000_000;
        Contribution::of(&record)
    };
    let mut given = Given::nothing(now());
    given.give("one", &took("bank", 100), 50);
    given.give("one", &took("shop", 10), 4);
    let it = ask_here(&given).recommended.remove(0);
    assert_eq!((it.duration.count, it.duration_of.namespace), (54, None));
    given.give("one", &took("shop", 10), 1);
    let it = ask_here(&given).recommended.remove(0);
    assert_eq!((it.duration.count, it.duration_of.namespace.as_deref()), (5, Some("shop")));
}

#[test]
fn of_nothing_and_of_one_execution_every_number_is_one() {
    let mut given = Given::nothing(now());
    let nothing = ask_here(&given);
    assert_eq!((nothing.candidates, nothing.recommended.len(), nothing.untested.len()), (0, 0, 0));
    ran(&mut given, "a", HERE, 1, 0);
    let one = serde_json::to_value(ask_here(&given)).unwrap();
    let success = &one["recommended"][0]["success"];
    for name in ["mean", "lower", "upper"] {
        assert!((0.0..=1.0).contains(&success[name].as_f64().unwrap()), "{success}");
    }
    let wide = &one["recommended"][0]["wide"][0]["success"];
    assert_eq!((&wide["of"], &wide["rate"]), (&0.into(), &serde_json::Value::Null));
}

#[test]
fn what_cannot_be_asked_is_said() {
    let said = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Request::parse(&pairs, now()).unwrap_err().to_string()
    };
    insta::assert_snapshot!(said(&[("namespace", "shop")]), @"incident_type: must be given: the answer is about one kind of incident");
    insta::assert_snapshot!(said(&[("incident_type", "a"), ("limit", "11")]), @r#"limit="11": must be a whole number from 1 to 10"#);
    insta::assert_snapshot!(said(&[("incident_type", "a"), ("explore", "-1")]), @r#"explore="-1": must be a whole number up to 4294967295"#);
}
