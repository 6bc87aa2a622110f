use dualaudit_record::{WorkflowExecutionAudit, execution::Outcome};

use super::*;
use crate::learn::{
    contrast::Dimension::{IncidentType, Log, Namespace, TargetKind},
    testing::{Given, asked, ended, execution, now},
};

/// An execution of a version, for a kind of incident.
fn of(version: &str, incident: &str) -> impl Fn(Outcome) -> WorkflowExecutionAudit {
    move |outcome| WorkflowExecutionAudit {
        workflow_version: version.into(),
        incident_type: Some(incident.into()),
        ..execution(outcome)
    }
}

/// An execution of a workflow some days before the others.
fn before(workflow: &str, days: i64) -> impl Fn(Outcome) -> WorkflowExecutionAudit {
    move |outcome| WorkflowExecutionAudit {
        workflow_name: workflow.into(),
        completed_at: ended().saturating_add_micros(-days * 86_400_000_000),
        ..execution(outcome)
    }
}

fn compared(given: &Given, pairs: &[(&str, &str)]) -> Comparisons {
    given.ask(&asked::<Request>(pairs, now()))
}

fn versions(answer: &Comparisons) -> Vec<(&str, &str, Verdict)> {
    answer
        .comparisons
        .iter()
        .map(|it| (it.one.version.as_deref().unwrap(), it.against.version.as_deref().unwrap(), it.verdict))
        .collect()
}

#[test]
fn a_version_that_is_worse_by_twenty_points_is_found_and_which_way_round() {
    let mut given = Given::nothing(now());
    given.so_many(180, 20, of("v1", "oom"));
    given.so_many(140, 60, of("v2", "oom"));
    let worse = compared(&given, &[("workflow", "heal"), ("version", "v2"), ("against", "v1")]);
    assert_eq!(versions(&worse), [("v2", "v1", Verdict::Worse)]);
    let better = compared(&given, &[("workflow", "heal"), ("version", "v1"), ("against", "v2")]);
    assert_eq!(versions(&better), [("v1", "v2", Verdict::Better)]);
    let [it] = &worse.comparisons[..] else { panic!("{worse:?}") };
    let difference = it.success.difference.unwrap();
    assert!((difference.estimate + 0.2).abs() < 1e-9, "{difference:?}");
    assert_eq!((it.one.tally.executions, it.against.success.count, worse.judged), (200, 180, 1));
    assert!(it.one.executions.all.contains("version=v2"), "{}", it.one.executions.all);
    // What ran elsewhere is no matter.
    let elsewhere = compared(&given, &[("workflow", "heal"), ("namespace", "bank"), ("version", "v2")]);
    assert_eq!(elsewhere.comparisons, []);
}

#[test]
fn each_version_is_compared_with_the_one_that_ran_most() {
    let mut given = Given::nothing(now());
    given.so_many(90, 10, of("v1", "oom"));
    given.so_many(180, 20, of("v2", "oom"));
    given.so_many(40, 60, of("v3", "oom"));
    given.so_many(2, 0, of("", "oom"));
    let all = compared(&given, &[("workflow", "heal")]);
    assert_eq!(
        versions(&all),
        [
            ("v3", "v2", Verdict::Worse),
            ("v1", "v2", Verdict::NoDifferenceShown),
            ("", "v2", Verdict::InsufficientData),
        ]
    );
    assert_eq!((all.judged, all.comparisons[2].insufficient), (2, Some(Insufficient::FewExecutions)));
    let one = compared(&given, &[("workflow", "heal"), ("version", "v2")]);
    assert_eq!(versions(&one), [("v2", "v1", Verdict::NoDifferenceShown)], "the most of the others");
    let with = compared(&given, &[("workflow", "heal"), ("against", "v3")]);
    assert_eq!(versions(&with).iter().map(|it| it.0).collect::<Vec<_>>(), ["v2", "v1", ""]);
}

#[test]
fn a_version_that_is_given_the_hard_cases_is_not_worse_for_that() {
    // Open surgery and the other way (C. R. Charig et al., Br. Med. J. 292 (1986) 879–882), a hundred times as many.
    let mut given = Given::nothing(now());
    given.so_many(8_100, 600, of("open", "small"));
    given.so_many(23_400, 3_600, of("closed", "small"));
    given.so_many(19_200, 7_100, of("open", "large"));
    given.so_many(5_500, 2_500, of("closed", "large"));
    let answer = compared(&given, &[("workflow", "heal"), ("version", "open"), ("against", "closed")]);
    let [it] = &answer.comparisons[..] else { panic!("{answer:?}") };
    assert_eq!(it.verdict, Verdict::Better);
    assert!(it.success.reversed && it.success.raw.unwrap().upper.unwrap() < 0.0);
    assert_eq!(it.success.kinds, 2);
    assert_eq!(it.success.alike_in, [[Log, Namespace, IncidentType, TargetKind]]);
}

#[test]
fn what_is_compared_says_what_it_has_in_common() {
    let mut given = Given::nothing(now());
    given.so_many(90, 10, before("heal", 0));
    given.so_many(90, 10, before("heal", 30));
    for (asked, alike_in) in [
        (&[][..], &[Log, IncidentType, TargetKind][..]),
        (&[("namespace", "shop")], &[Log, Namespace, IncidentType, TargetKind]),
        (&[("workflow", "heal"), ("against_until", "28d")], &[Log, Namespace, IncidentType, TargetKind]),
    ] {
        let answer = compared(&given, asked);
        let [it] = &answer.comparisons[..] else { panic!("{answer:?}") };
        assert_eq!(it.success.alike_in, [alike_in], "{asked:?}");
    }
}

#[test]
fn a_workflow_is_compared_with_itself_in_the_period_before() {
    let mut given = Given::nothing(now());
    for workflow in ["worse", "same", "better", "new"] {
        let (successes, failures) = if workflow == "worse" { (50, 50) } else { (80, 20) };
        given.so_many(successes, failures, before(workflow, 0));
        let (successes, failures) = match workflow {
            "better" => (40, 60),
            "new" => (0, 0),
            _ => (80, 20),
        };
        given.so_many(successes, failures, before(workflow, 28));
    }
    let answer = compared(&given, &[]);
    let verdicts: Vec<_> = answer.comparisons.iter().map(|it| (it.workflow.as_str(), it.verdict)).collect();
    let expected = [
        ("worse", Verdict::Worse),
        ("better", Verdict::Better),
        ("same", Verdict::NoDifferenceShown),
        ("new", Verdict::InsufficientData),
    ];
    assert_eq!(verdicts, expected);
    assert_eq!(answer.judged, 3);
    let period = answer.against_period.unwrap();
    assert_eq!(period.until, asked::<Request>(&[], now()).period(now()).since);
    assert_eq!(period.since.to_string(), "2026-03-05T00:00:00.000000Z");
    // The same is read of one workflow by other sums.
    let since = [("workflow", "worse"), ("against_since", "2026-03-05T00:00:00Z")];
    let one = compared(&given, &since);
    assert_eq!(one.comparisons[0].success.difference, answer.comparisons[0].success.difference);
    assert_eq!(one.comparisons[0].one.tally, answer.comparisons[0].one.tally);
    assert_eq!(one.comparisons[0].duration.p50, answer.comparisons[0].duration.p50);
    // Adjusted for one it is surer than among three.
    let p = |it: &Comparisons| it.comparisons[0].success.adjusted_p_value.unwrap();
    assert!(p(&one) < p(&answer), "{} {}", p(&one), p(&answer));
}

#[test]
fn durations_have_a_verdict_of_their_own() {
    let lasts = |version: &'static str, seconds: u64| {
        move |outcome| WorkflowExecutionAudit {
            total_duration: seconds * 1_000_000_000,
            ..of(version, "oom")(outcome)
        }
    };
    for (seconds, pace) in [
        (60, PaceVerdict::NoDifferenceShown),
        (61, PaceVerdict::NoDifferenceShown),
        (90, PaceVerdict::Longer),
        (30, PaceVerdict::Shorter),
    ] {
        let mut given = Given::nothing(now());
        given.so_many(100, 10, lasts("v1", 60));
        given.so_many(100, 10, lasts("v2", seconds));
        let answer = compared(&given, &[("workflow", "heal"), ("version", "v2")]);
        let it = &answer.comparisons[0];
        assert_eq!((it.verdict, it.duration.verdict), (Verdict::NoDifferenceShown, pace), "{seconds} s");
        let ratio = it.duration.p50.unwrap().estimate;
        assert!((ratio / (seconds as f64 / 60.0) - 1.0).abs() < 0.021, "{ratio}");
    }
    let mut given = Given::nothing(now());
    given.so_many(100, 10, lasts("v1", 60));
    given.so_many(4, 106, lasts("v2", 900));
    let answer = compared(&given, &[("workflow", "heal"), ("version", "v2")]);
    let it = &answer.comparisons[0];
    assert_eq!((it.verdict, it.duration.verdict), (Verdict::Worse, PaceVerdict::InsufficientData));
}

#[test]
fn what_is_in_flight_could_turn_a_verdict() {
    let mut given = Given::nothing(now());
    given.so_many(90, 10, of("v1", "oom"));
    given.so_many(50, 50, of("v2", "oom"));
    let request = asked::<Request>(&[("workflow", "heal")], now());
    let found = given.found(&request.reads(now()));
    let groups = groups(By::Version, &mut Kinds::default(), &found.cells[0], &found.cells[1]).unwrap();
    let period = request.period(now());
    for (in_flight, verdict, why) in [
        ([0, 11], Verdict::Worse, None),
        ([0, 12], Verdict::InsufficientData, Some(Insufficient::InFlight)),
        ([12, 0], Verdict::InsufficientData, Some(Insufficient::InFlight)),
    ] {
        let sides = ["v2", "v1"].map(|version| &groups[version]);
        let side = |place: usize| Side { of: sides[place], period, in_flight: in_flight[place] };
        let pair = Pair { workflow: "heal", versions: [Some("v2"), Some("v1")], sides: [side(0), side(1)] };
        let answer = judged(&request.read(), vec![pair], 5);
        let it = &answer.comparisons[0];
        assert_eq!((it.verdict, it.insufficient), (verdict, why), "{in_flight:?}");
        assert_eq!([it.one.in_flight, it.against.in_flight], in_flight);
        assert_eq!(it.duration.verdict == PaceVerdict::InsufficientData, why.is_some());
    }
}

#[test]
fn of_little_or_nothing_the_answer_is_that_there_is_too_little() {
    let nothing = Given::nothing(now());
    assert_eq!(compared(&nothing, &[]).comparisons, []);
    assert_eq!(compared(&nothing, &[("workflow", "heal")]).comparisons, []);
    let asked_for = [("workflow", "heal"), ("version", "v2"), ("against", "v1")];
    let answer = compared(&nothing, &asked_for);
    assert_eq!(versions(&answer), [("v2", "v1", Verdict::InsufficientData)]);
    let mut one = Given::nothing(now());
    one.so_many(1, 0, of("v2", "oom"));
    for given in [nothing, one] {
        for minimum in ["1", "1000000"] {
            let pairs: Vec<_> = asked_for.iter().copied().chain([("minimum", minimum)]).collect();
            let answer = compared(&given, &pairs);
            assert_eq!(answer.comparisons[0].insufficient, Some(Insufficient::FewExecutions));
            let json = serde_json::to_string(&answer).unwrap();
            let back: Comparisons = serde_json::from_str(&json).unwrap();
            assert_eq!(back, answer, "no number is lost as null");
        }
    }
    let mut two = Given::nothing(now());
    two.so_many(1, 0, of("v1", "oom"));
    two.so_many(0, 1, of("v2", "oom"));
    let pairs: Vec<_> = asked_for.into_iter().chain([("minimum", "1")]).collect();
    assert_eq!(versions(&compared(&two, &pairs)), [("v2", "v1", Verdict::NoDifferenceShown)]);
}

#[test]
fn a_period_begins_where_the_other_ends_however_long_ago() {
    let period = |pairs: &[(&str, &str)]| {
        let request = asked::<Request>(pairs, now());
        let other = request.other_period(now()).unwrap();
        [request.period(now()).since, request.period(now()).until, other.since, other.until]
            .map(|time| time.to_string()[..13].to_owned())
    };
    // Hours, of which the one that both touch is the later period's.
    assert_eq!(
        period(&[("since", "2026-04-30T10:30:00Z"), ("against_since", "2026-04-30T05:30:00Z")]),
        ["2026-04-30T10", "2026-05-01T12", "2026-04-30T05", "2026-04-30T10"]
    );
    // Months.
    assert_eq!(
        period(&[
            ("since", "2025-08-20T00:00:00Z"),
            ("until", "2025-09-10T00:00:00Z"),
            ("against_until", "2025-08-10T00:00:00Z")
        ]),
        ["2025-08-01T00", "2025-10-01T00", "2025-07-01T00", "2025-08-01T00"]
    );
    // One that is later.
    assert_eq!(
        period(&[
            ("since", "2025-06-10T00:00:00Z"),
            ("until", "2025-07-10T00:00:00Z"),
            ("against_since", "2025-07-20T00:00:00Z"),
            ("against_until", "2025-09-01T00:00:00Z")
        ]),
        ["2025-06-01T00", "2025-08-01T00", "2025-08-01T00", "2025-09-01T00"]
    );
}

#[test]
fn what_cannot_be_compared_is_said() {
    let said = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Request::parse(&pairs, now()).unwrap_err().to_string()
    };
    let heal = ("workflow", "heal");
    let asked_wrongly = [
        said(&[("against", "v1")]),
        said(&[heal, ("version", "v1"), ("against", "v1")]),
        said(&[heal, ("against", "v1"), ("against_since", "60d")]),
        said(&[("against_since", "7d")]),
        said(&[("since", "7d"), ("against_since", "14d"), ("against_until", "3d")]),
        said(&[("since", "7d"), ("against_since", "14d"), ("against_until", "20d")]),
        said(&[
            ("since", "2025-08-20T00:00:00Z"),
            ("until", "2025-08-30T00:00:00Z"),
            ("against_since", "2025-08-01T00:00:00Z"),
        ]),
        said(&[("by", "version")]),
    ];
    insta::assert_snapshot!(asked_wrongly.join("\n"));
}
