//! The same questions of SQLite, of PostgreSQL, and of a plain sum of what executions are.

use std::{collections::BTreeMap, fmt::Debug};

use dualaudit_record::statistics::Contribution;

use super::*;
use crate::{
    learn::given::Given,
    store::{
        Folding,
        conformance::{
            sample::{self, batch, from_resource, opening},
            tampered::Tampered as _,
        },
        postgres, sqlite,
    },
};
use written::{BUSY, IDLE, VISITS, now, written};

mod written;

/// Every answer to a question that can be asked is the same, and a number wherever it has to be one.
struct Asking<'s> {
    stores: [&'s dyn Store; 2],
    /// What executions add up to, of each log that may be asked for, and of all.
    plain: BTreeMap<Option<&'static str>, Given>,
    asked: usize,
    round: usize,
}

impl<'s> Asking<'s> {
    fn of(stores: [&'s dyn Store; 2], given: &BTreeMap<&'static str, Vec<Contribution>>) -> Self {
        let plain = [None, Some(BUSY), Some(IDLE)].map(|asked| {
            let mut plain = Given::nothing(now());
            for (log, contributions) in given.iter().filter(|(log, _)| asked.is_none_or(|it| it == **log)) {
                contributions.iter().for_each(|contribution| plain.give(log, contribution, 1));
            }
            (asked, plain)
        });
        Self { stores, plain: plain.into(), asked: 0, round: 0 }
    }

    async fn ask<A: Ask>(&mut self, pairs: &[(&str, &str)])
    where
        A::Answer: Debug + PartialEq,
    {
        let owned: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let Ok(asked) = A::parse(&owned, now()) else { return };
        self.asked += 1;
        let what = format!("{} {pairs:?}", A::NAME);
        let mut answers = Vec::new();
        for store in self.stores {
            let answer = ask(store, &asked, now()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let shown = format!("{answer:?}");
            for none in ["NaN", ": inf", "(inf", "-inf"] {
                assert!(!shown.contains(none), "{what}: {shown}");
            }
            let value = serde_json::to_value(&answer).unwrap();
            let back: Answer<A::Answer> = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(back, answer, "{what}");
            answers.push(value);
        }
        assert_eq!(answers[0], answers[1], "{what}: SQLite and PostgreSQL");
        let of_log = asked.question().filters.log.as_deref().filter(|_| !A::ALL_LOGS);
        let mut plain = serde_json::to_value(self.plain[&of_log].answer(&asked)).unwrap();
        let found = &mut answers[0];
        // What is looked up of executions is in no statistic.
        for answer in [&mut plain, found] {
            let answer = answer.as_object_mut().unwrap();
            answer.retain(|name, _| A::NAME != "verdicts" || (name != "disagreements" && name != "more"));
        }
        assert_eq!(*found, plain, "{what}: the plain sum");
    }

    async fn ask_all(&mut self) {
        let filters: &[&[(&str, &str)]] = &[
            &[],
            &[("log", BUSY)],
            &[("log", IDLE)],
            &[("namespace", "shop")],
            &[("namespace", "")],
            &[("incident_type", "oom"), ("log", IDLE)],
            &[("incident_type", ""), ("namespace", "bank")],
            &[("target_kind", "Deployment")],
            &[("target_kind", ""), ("incident_type", "oom"), ("namespace", "shop"), ("log", BUSY)],
            &[("version", "v2")],
            &[("version", "")],
            &[("workflow", "none")],
            &[("workflow", "scale"), ("version", "v1"), ("namespace", "shop")],
        ];
        let periods: &[&[(&str, &str)]] = &[
            &[],
            &[("since", "0001-01-01T00:00:00Z")],
            &[("since", "0001-01-01T00:00:00Z"), ("until", "9999-12-31T23:59:59.999999Z")],
            &[("since", "2026-05-03T00:00:00Z"), ("until", "9999-12-31T23:59:59Z")],
            &[("since", "2026-01-01T00:00:00Z"), ("until", "2026-02-01T00:00:00Z")],
            &[("since", "2026-01-31T23:59:59.999999Z"), ("until", "2026-02-01T00:00:00.000001Z")],
            &[("since", "2026-04-29T00:00:00Z"), ("until", "2026-05-01T00:00:00Z")],
            &[("since", "40h")],
            &[("since", "6d"), ("until", "4d")],
            &[("since", "165d"), ("until", "150d")],
            &[("since", "450d"), ("until", "100d")],
            &[("until", "45d")],
        ];
        let minimums = ["1", "5", "1000000"];
        let round = self.round;
        for (turn, filters) in filters.iter().enumerate() {
            // A quarter of them each, so that every question is asked of each and over each.
            let periods =
                periods.iter().enumerate().filter(|(place, _)| (place + turn + 2 * round).is_multiple_of(4));
            for (place, period) in periods {
                let minimum = ("minimum", minimums[(place / 3) % 3]);
                let common = [*filters, *period, &[minimum]].concat();
                let and = |more: &[(&'static str, &'static str)]| [&common[..], more].concat();
                let by = ("by", ["workflow", "version"][(place + turn) % 2]);
                self.ask::<workflows::Request>(&and(&[by, ("series", "true")])).await;
                self.ask::<regressions::Request>(&and(&[by])).await;
                self.ask::<verdicts::Request>(&and(&[by])).await;
                self.ask::<compare::Request>(&common).await;
                self.ask::<compare::Request>(&and(&[("against_since", "500d"), ("against_until", "140d")]))
                    .await;
                let names = |name: &str| filters.iter().any(|(other, _)| *other == name);
                let workflow: &[_] = if names("workflow") { &[] } else { &[("workflow", "heal")] };
                self.ask::<steps::Request>(&and(workflow)).await;
                self.ask::<adjustments::Request>(&and(workflow)).await;
                self.ask::<compare::Request>(&and(&[workflow, &[("against", "v1")]].concat())).await;
                let incident: &[_] = if names("incident_type") { &[] } else { &[("incident_type", "oom")] };
                self.ask::<recommend::Request>(&and(&[incident, &[("limit", "3")]].concat())).await;
                self.ask::<recommend::Request>(&and(&[incident, &[("explore", "7")]].concat())).await;
            }
        }
    }
}

#[tokio::test]
async fn every_database_answers_what_a_plain_sum_does() {
    let (sqlite, postgres) = (sqlite::tests::fresh(), postgres::tests::fresh());
    let stores: [&dyn Store; 2] = [&*sqlite, &*postgres];
    let given = written(&stores).await;
    let mut asking = Asking::of(stores, &given);
    asking.ask_all().await;
    for store in stores {
        for (log, _) in VISITS {
            while store.fold(log).await.unwrap() != Folding::Done {}
        }
    }
    asking.round = 1;
    asking.ask_all().await;
    assert!(asking.asked > 600, "{} questions", asking.asked);

    let counts = "executions, success, cancelled, retries, score_sum, duration_sum, queued_sum, harmful";
    for sql in [
        format!("SELECT log, day, workflow, version, namespace, incident_type, target_kind, {counts} FROM learn_workflow_day"),
        format!("SELECT log, month, workflow, version, namespace, incident_type, target_kind, {counts} FROM learn_workflow_month"),
        "SELECT log, day, workflow, version, step_number, action, reached, broke, duration_sum FROM learn_step_day".into(),
    ] {
        let mut rows = Vec::new();
        for store in stores {
            let mut of_store = store.asked_in_sql(&sql).await;
            of_store.sort();
            rows.push(of_store);
        }
        assert!(rows[0].len() > 100);
        assert_eq!(rows[0], rows[1], "{sql}");
    }
    let all: usize = given.values().map(Vec::len).sum();
    for view in ["learn_workflow_day", "learn_workflow_month"] {
        let sql = format!("SELECT CAST(sum(executions) AS BIGINT) FROM {view}");
        for store in stores {
            assert_eq!(store.asked_in_sql(&sql).await, [[Some(all.to_string())]], "{view}");
        }
    }
}

#[tokio::test]
async fn answers_say_how_many_entries_they_lack() {
    let store = sqlite::tests::fresh();
    store.open_log(opening(BUSY)).await.unwrap();
    let records = ["r0", "r1", "r2"].map(|id| from_resource(sample::record(id)));
    store.append(BUSY, batch(records), now()).await.unwrap();
    let asked: workflows::Request = testing::asked(&[("since", "1000d")], now());
    let said = async || {
        let answer = ask(&*store, &asked, now()).await.unwrap();
        (answer.answer.total.executions, serde_json::to_value(answer.passed_over).unwrap())
    };
    assert_eq!(said().await, (3, serde_json::json!([])));
    store.tamper(
        "UPDATE log_entry SET leaf_hash = x'00' WHERE idx = 1;
         DELETE FROM statistics_pending;
         UPDATE statistics_log SET refolded = 0, refold_until = 3",
    );
    while store.fold(BUSY).await.unwrap() != Folding::Done {}
    assert_eq!(said().await, (2, serde_json::json!([{"log": BUSY, "entries": 1}])));
}
