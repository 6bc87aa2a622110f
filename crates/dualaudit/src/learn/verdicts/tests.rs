use dualaudit_record::{WorkflowExecutionAudit, statistics::Contribution};

use super::*;
use crate::{
    learn::{
        Answer, ask,
        testing::{Given, asked, execution, now},
    },
    store::conformance::{
        sample::{LOG, append, at, from_producer, open, record, review},
        tampered::{Tampered, on_both},
    },
};

on_both! {
    disagreements_are_looked_for_behind_those_that_are_not_asked_for,
}

/// Reviews that say effective, by [`review`].
const EFFECTIVE: u8 = 0;

#[test]
fn as_many_workflows_are_listed_as_asked_for_and_the_total_is_of_all() {
    let mut given = Given::nothing(now());
    for (name, verdict, times) in [
        ("one", Verdict::Effective, 7),
        ("two", Verdict::Harmful, 2),
        ("three", Verdict::Ineffective, 5),
        ("four", Verdict::Harmful, 3),
    ] {
        let of = WorkflowExecutionAudit { workflow_name: name.into(), ..execution(Outcome::Success) };
        given.give("default", &Contribution::of(&of).reviewed(Some(verdict)), times);
    }
    let named = |pairs: &[(&str, &str)]| {
        let answer = given.ask(&asked::<Request>(pairs, now()));
        let names: Vec<String> = answer.workflows.iter().map(|row| row.workflow.clone()).collect();
        assert_eq!((answer.total.reviewed.count, answer.total.disagreeing), (17, 10), "{pairs:?}");
        (names.join(" "), answer.more_workflows)
    };
    assert_eq!(named(&[]), ("four two three one".to_owned(), false));
    assert_eq!(named(&[("limit", "4")]), ("four two three one".to_owned(), false));
    assert_eq!(named(&[("limit", "2")]), ("four two".to_owned(), true));
}

async fn disagreements_are_looked_for_behind_those_that_are_not_asked_for<S: Tampered>(store: &S) {
    let store = &**store;
    open(store, LOG).await;
    // Each is a partial success, and found effective.
    let reviewed = async |namespace: &str, numbers: std::ops::Range<usize>| {
        let numbers: Vec<usize> = numbers.collect();
        for some in numbers.chunks(100) {
            let both = some.iter().flat_map(|number| {
                let id = format!("{namespace}-{number}");
                let execution = WorkflowExecutionAudit { namespace: Some(namespace.into()), ..record(&id) };
                [from_producer(execution, None), review(&id, None, EFFECTIVE)]
            });
            append(store, both).await;
        }
    };
    let answer = async |pairs: &[(&str, &str)]| -> Answer<Verdicts> {
        ask(store, &asked::<Request>(pairs, at(1000)), at(1000)).await.unwrap()
    };
    let of_the_shop = async || {
        let Verdicts { total, disagreements, more, .. } = answer(&[("namespace", "shop")]).await.answer;
        assert_eq!(total.disagreeing, 3);
        (disagreements.into_iter().map(|it| it.id).collect::<Vec<_>>().join(" "), more)
    };

    reviewed("shop", 0..3).await;
    reviewed("bank", 0..2 * LISTED).await;
    assert_eq!(of_the_shop().await, ("shop-2 shop-1 shop-0".to_owned(), false));
    let all = answer(&[]).await.answer;
    assert_eq!((all.disagreements.len(), all.more, all.total.disagreeing), (LISTED, true, 103));
    assert_eq!(all.disagreements[0].id, "bank-99");

    reviewed("bank", 2 * LISTED..LOOKS * LISTED).await;
    assert_eq!(of_the_shop().await, (String::new(), true), "there is an end to looking");
}
