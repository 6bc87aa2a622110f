use dualaudit_record::{
    WorkflowExecutionAudit,
    execution::{AdaptiveAdjustment, AdjustmentType, Outcome, StepExecutionAudit, StepStatus},
};

use super::*;
use crate::learn::testing::{Given, asked, ended, execution, now};

/// Executions of two steps, of which the second is adjusted in some.
#[derive(Clone, Copy)]
struct Made {
    version: &'static str,
    namespace: &'static str,
    adjusted: Option<AdjustmentType>,
    /// The step that fails in those that fail.
    broken: u32,
}

const PLAIN: Made = Made { version: "v1", namespace: "shop", adjusted: None, broken: 3 };
const RAISED: Made = Made { adjusted: Some(AdjustmentType::Timeout), ..PLAIN };

impl Made {
    fn execution(self, outcome: Outcome) -> WorkflowExecutionAudit {
        let failed = (outcome != Outcome::Success).then_some(self.broken);
        let step = |number: u32| StepExecutionAudit {
            step_number: number,
            action: format!("act-{number}"),
            duration: 1_000_000_000,
            status: match failed {
                Some(broken) if number > broken => StepStatus::Pending,
                Some(broken) if number == broken => StepStatus::Failed,
                _ => StepStatus::Completed,
            },
            retries_attempted: 0,
            error_message: String::new(),
            name: None,
            started_at: None,
        };
        WorkflowExecutionAudit {
            workflow_version: self.version.into(),
            namespace: Some(self.namespace.into()),
            step_executions: (1..=3).map(step).collect(),
            adaptive_adjustments: self
                .adjusted
                .iter()
                .map(|kind| adjustment(2, *kind, "slow node"))
                .collect(),
            ..execution(outcome)
        }
    }
}

fn adjustment(step_number: u32, adjustment_type: AdjustmentType, reason: &str) -> AdaptiveAdjustment {
    let (from, to) = (Some("30s".into()), Some("60s".into()));
    AdaptiveAdjustment { step_number, adjustment_type, reason: reason.into(), timestamp: ended(), from, to }
}

fn given(made: &[(i64, i64, Made)]) -> Given {
    let mut given = Given::nothing(now());
    for (successes, failures, made) in made {
        given.so_many(*successes, *failures, |outcome| made.execution(outcome));
    }
    given
}

fn ask(given: &Given, more: &[(&str, &str)]) -> Adjustments {
    let pairs: Vec<_> = [("workflow", "heal")].iter().chain(more).copied().collect();
    given.ask(&asked::<Request>(&pairs, now()))
}

/// The one adjustment that there is.
fn only(made: &[(i64, i64, Made)]) -> Adjustment {
    let Adjustments { association, mut adjustments, .. } = ask(&given(made), &[]);
    assert!(association && adjustments.len() == 1, "{adjustments:?}");
    adjustments.remove(0)
}

#[test]
fn an_adjustment_that_helps_does_so_against_those_that_came_to_the_step() {
    let it = only(&[(180, 20, RAISED), (140, 60, PLAIN)]);
    assert_eq!((it.step_number, it.action.as_str(), it.adjustment_type.as_str()), (2, "act-2", "timeout"));
    assert_eq!((it.verdict, it.hinges_on_broken), (Verdict::Helps, false));
    assert_eq!((it.with.count, it.with.of, it.without.count, it.without.of), (180, 200, 140, 200));
    let difference = it.success.difference.unwrap();
    assert!((difference.estimate - 0.2).abs() < 1e-9, "{difference:?}");
    assert!(it.success.raw_p_value.unwrap() < 1e-5);
    let it = only(&[(140, 60, RAISED), (180, 20, PLAIN)]);
    assert_eq!((it.verdict, it.hinges_on_broken), (Verdict::Hurts, false));
}

#[test]
fn what_is_done_where_things_go_well_anyway_does_not_help() {
    let there = |made: Made| Made { namespace: "calm", ..made };
    let it = only(&[(171, 9, there(RAISED)), (19, 1, there(PLAIN)), (10, 10, RAISED), (90, 90, PLAIN)]);
    assert!(it.success.raw.unwrap().lower.unwrap() > 0.25, "all together it seems to");
    assert_eq!(it.verdict, Verdict::NoDifferenceShown);
    assert_eq!(it.success.difference.unwrap().estimate, 0.0);
    // Nor what is done in a version that does better anyway.
    let newer = |made: Made| Made { version: "v2", ..made };
    let it = only(&[(171, 9, newer(RAISED)), (19, 1, newer(PLAIN)), (10, 10, RAISED), (90, 90, PLAIN)]);
    assert_eq!((it.verdict, it.success.kinds), (Verdict::NoDifferenceShown, 2));
    // Where it is made, it is always: nothing can be said.
    let it = only(&[(171, 9, there(RAISED)), (90, 90, PLAIN)]);
    assert_eq!(it.insufficient, Some(Insufficient::FewAlike));
}

#[test]
fn what_only_those_have_that_lived_to_see_the_step_does_not_help() {
    let early = Made { broken: 1, ..PLAIN };
    let it = only(&[(90, 10, RAISED), (90, 10, PLAIN), (0, 200, early)]);
    assert_eq!((it.without.count, it.without.of), (90, 100), "who died at step 1 is not among them");
    assert_eq!(it.verdict, Verdict::NoDifferenceShown);
}

#[test]
fn what_helps_only_against_those_that_the_step_broke_is_marked() {
    let there = Made { broken: 2, ..PLAIN };
    let it = only(&[(90, 10, RAISED), (60, 40, there)]);
    assert_eq!((it.verdict, it.hinges_on_broken), (Verdict::Helps, true));
    assert_eq!(it.broken, Broken { executions: 40, without_at_least: 30, without_at_most: 40 });
    let it = only(&[(90, 10, Made { broken: 2, ..RAISED }), (60, 40, there)]);
    assert_eq!(it.broken, Broken { executions: 50, without_at_least: 40, without_at_most: 40 });
    // Enough fail later, too.
    let it = only(&[(190, 10, RAISED), (100, 100, PLAIN), (0, 20, there)]);
    assert_eq!((it.verdict, it.hinges_on_broken), (Verdict::Helps, false));
}

#[test]
fn of_many_kinds_those_that_differ_by_chance_are_not_shown() {
    let kinds = AdjustmentType::ALL;
    let of = |kind: AdjustmentType| Made { adjusted: Some(kind), ..PLAIN };
    let mut made: Vec<_> = kinds.iter().map(|kind| (40, 10, of(*kind))).collect();
    made[0] = (49, 1, of(kinds[0]));
    made[1] = (1, 2, of(kinds[1]));
    made.push((800, 200, PLAIN));
    let answer = ask(&given(&made), &[]);
    let verdicts: Vec<Verdict> = answer.adjustments.iter().map(|it| it.verdict).collect();
    assert_eq!((verdicts[0], verdicts[kinds.len() - 1]), (Verdict::Helps, Verdict::InsufficientData));
    assert!(verdicts[1..kinds.len() - 1].iter().all(|it| *it == Verdict::NoDifferenceShown));
    assert_eq!((answer.adjustments[0].adjustment_type, answer.judged), (kinds[0], kinds.len() as u64 - 1));
    let p = |it: &Adjustment| (it.success.p_value.unwrap(), it.success.adjusted_p_value);
    let (p, adjusted) = p(&answer.adjustments[0]);
    assert!(p < adjusted.unwrap());
    // Those without one kind may have others.
    assert_eq!(answer.adjustments[0].without.of, 1003 + 50 * (kinds.len() as u64 - 2));
}

#[test]
fn reasons_and_timeouts_are_told_with_how_often_they_were() {
    let mut given = given(&[(20, 5, PLAIN)]);
    for n in 0..7 {
        let execution = |outcome| {
            let mut execution = PLAIN.execution(outcome);
            let reason = ["a", "b", "c", "d", "e", "f", "g"][n];
            let change = adjustment(2, AdjustmentType::Timeout, reason);
            execution.adaptive_adjustments = vec![change, adjustment(1, AdjustmentType::Retry, reason)];
            execution
        };
        given.so_many(1 + n as i64, 0, execution);
    }
    let answer = ask(&given, &[("minimum", "1")]);
    let of = |kind| answer.adjustments.iter().find(|it| it.adjustment_type == kind).unwrap();
    let said = |it: &Said| -> Vec<(String, u64)> {
        it.most.iter().map(|it| (it.text.clone(), it.executions)).collect()
    };
    let timeout = of(AdjustmentType::Timeout);
    let most = [("g", 7), ("f", 6), ("e", 5), ("d", 4), ("c", 3)].map(|(it, count)| (it.to_owned(), count));
    assert_eq!((said(&timeout.reasons), timeout.reasons.others), (most.to_vec(), 2));
    assert_eq!(said(&timeout.timeouts), [("30s → 60s".to_owned(), 28)]);
    let retry = of(AdjustmentType::Retry);
    assert_eq!((said(&retry.reasons).len(), said(&retry.timeouts)), (5, vec![]));
    assert_eq!(ask(&given, &[("namespace", "bank")]).adjustments, []);
}

#[test]
fn of_little_or_nothing_the_answer_is_that_there_is_too_little() {
    assert_eq!(ask(&Given::nothing(now()), &[]).adjustments, []);
    assert_eq!(ask(&given(&[(10, 10, PLAIN)]), &[]).adjustments, []);
    // A step that the executions do not have; nobody came to it without.
    let mut strange = Given::nothing(now());
    strange.so_many(30, 3, |outcome| WorkflowExecutionAudit {
        adaptive_adjustments: vec![adjustment(9, AdjustmentType::Skip, "")],
        ..PLAIN.execution(outcome)
    });
    for (given, minimum) in [
        (given(&[(1, 0, RAISED)]), "1"),
        (given(&[(9, 9, RAISED), (9, 9, PLAIN)]), "1000000"),
        (strange, "5"),
    ] {
        let answer = ask(&given, &[("minimum", minimum)]);
        assert_eq!(answer.adjustments[0].verdict, Verdict::InsufficientData);
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Adjustments>(&json).unwrap(), answer);
    }
    let missing = Request::parse(&[], now()).unwrap_err().to_string();
    insta::assert_snapshot!(missing, @"workflow: must be given: the answer is about one workflow");
}
