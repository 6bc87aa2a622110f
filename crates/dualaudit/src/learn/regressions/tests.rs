use dualaudit_record::{WorkflowExecutionAudit, statistics::Contribution};

use super::*;
use crate::learn::testing::{Given, asked, execution, now};

/// Gives what ended so many days before the day that questions are asked on, so many of them successes.
fn ended(given: &mut Given, workflow: &str, days_ago: i64, successes: i64, failures: i64) {
    for (outcome, times) in [(Outcome::Success, successes), (Outcome::Failed, failures)] {
        let record = WorkflowExecutionAudit {
            workflow_name: workflow.to_owned(),
            completed_at: now().saturating_add_micros(-days_ago * MICROS),
            ..execution(outcome)
        };
        given.give("default", &Contribution::of(&record), times);
    }
}

/// Two workflows over 40 days; one does worse on the last `bad` days that are over.
fn given(bad: i64) -> Given {
    let mut given = Given::nothing(now());
    for days_ago in 0..40 {
        let (successes, failures) = if days_ago <= bad { (20, 20) } else { (38, 2) };
        ended(&mut given, "falls", days_ago, successes, failures);
        ended(&mut given, "steady", days_ago, 38, 2);
    }
    given
}

fn ask(given: &Given, pairs: &[(&str, &str)]) -> Regressions {
    given.ask(&asked::<Request>(pairs, now()))
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

#[test]
fn a_regression_says_since_when_and_what_it_was_and_is() {
    let answer = ask(&given(3), &[]);
    let [it] = &answer.regressions[..] else { panic!("{answer:?}") };
    assert_eq!((it.log.as_str(), it.workflow.as_str(), it.version.as_deref()), ("default", "falls", None));
    assert_eq!(
        (it.since, it.last, it.days, it.state),
        (day("2026-04-28"), day("2026-04-30"), 3, State::Lasting)
    );
    let Change::Success { was, is, difference } = it.change else { panic!("{it:?}") };
    assert_eq!((was.count, was.of, is.count, is.of), (28 * 38, 28 * 40, 60, 120));
    assert!((difference.unwrap().estimate + 0.45).abs() < 1e-12);
    assert!(it.adjusted_p < 1e-6);
    let (before, now) = (&it.executions_before.all, &it.executions.all);
    assert!(
        before.contains("completed_since=2026-03-31T") && before.contains("completed_until=2026-04-28T"),
        "{before}"
    );
    assert!(now.contains("workflow=falls") && now.contains("completed_until=2026-05-01T"), "{now}");
    let days: Vec<_> = answer.days.iter().map(|it| (it.day, it.series, it.comparisons, it.found)).collect();
    assert_eq!(
        (days.len(), days[0], days[6]),
        (7, (day("2026-04-24"), 2, 4, 0), (day("2026-04-30"), 2, 4, 1))
    );
    // Of today, which is not over, nothing is said but that.
    assert_eq!(answer.not_judged, NotJudged { days_not_over: 1, ..NotJudged::default() });
}

#[test]
fn what_is_found_does_not_depend_on_the_workflow_that_is_asked_about() {
    let given = given(3);
    let all = ask(&given, &[]);
    let one = ask(&given, &[("workflow", "falls")]);
    assert_eq!((&one.days, one.regressions.len()), (&all.days, 1));
    assert_eq!(one.regressions[0].adjusted_p, all.regressions[0].adjusted_p);
    assert_eq!(ask(&given, &[("workflow", "steady")]).regressions, []);
    let version = ask(&given, &[("version", "v1")]);
    assert_eq!(version.regressions[0].version.as_deref(), Some("v1"));
    assert_eq!(ask(&given, &[("version", "v2")]).regressions, []);
    assert_eq!(ask(&given, &[("namespace", "nowhere")]).days[0].series, 0);
}

#[test]
fn what_is_said_of_a_day_does_not_depend_on_the_period() {
    let given = given(12);
    let long = ask(&given, &[("since", "35d")]);
    assert_eq!(long.regressions.len(), 1);
    for since in ["1d", "3d", "7d", "14d"] {
        let short = ask(&given, &[("since", since)]);
        assert_eq!(short.days, long.days[long.days.len() - short.days.len()..], "{since}");
        assert_eq!(short.regressions, long.regressions, "{since}");
    }
}

#[test]
fn what_cannot_be_judged_is_said() {
    let mut few = Given::nothing(now());
    (1..40).for_each(|days_ago| ended(&mut few, "rare", days_ago, 2, 0));
    let answer = ask(&few, &[("until", "1d")]);
    assert_eq!((answer.not_judged.series, answer.regressions.len()), (1, 0));
    assert_eq!(ask(&few, &[("minimum", "1000000")]).not_judged.series, 1);

    let old = ask(&given(3), &[("since", "400d"), ("until", "200d")]);
    assert_eq!((old.not_judged.days_in_months, old.days.len()), (201, 0));
    let future = ask(&few, &[("since", "2026-05-01T13:00:00Z"), ("until", "2026-05-04T00:00:00Z")]);
    assert_eq!((future.not_judged.days_not_over, future.days.len()), (3, 0));
    let nothing = ask(&Given::nothing(now()), &[]);
    assert_eq!((nothing.regressions.len(), nothing.days[0].comparisons), (0, 0));
}
