//! `GET /api/v1/digests?log=&since=&until=`: what the days of logs amount to, and what is missing.
//!
//! `since` and `until` are the first and the last day, in UTC; all there are, unless they are given. Answers a
//! [`Summary`].

use axum::{
    Json,
    extract::{State, rejection::QueryRejection},
};
use dualaudit_record::day::Day;

use super::{
    Api,
    access::Caller,
    executions::{Pairs, pairs},
    openapi::{Answer, Call, Tag, parameters},
    problem::{Kind, Problem},
};
use crate::{
    access::{Resource, Verb},
    completeness::{Asked, Summary, summary},
    parameter::{BadParameter, reject_repeats},
};

pub(super) fn call() -> Call {
    Call::new(Tag::Compliance, "getDigests", "What days amount to, and what is missing")
        .given([
            parameters::log_there_is(),
            parameters::day("since", "The first day of UTC; that of the first entry unless given."),
            parameters::day("until", "The last day of UTC, not before the first; today unless given."),
        ])
        .answers(200, Answer::of::<Summary>("Each log, in the order of their names."))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchLog])
}

pub(super) async fn digests(
    State(api): State<Api>,
    caller: Caller,
    query: Result<Pairs, QueryRejection>,
) -> Result<Json<Summary>, Problem> {
    let (log, asked) = parse(&pairs(query)?)?;
    let seen = caller.whole(&api, (Verb::List, Resource::ExecutionRecords), log.as_deref()).await?;
    Ok(Json(summary(seen.store.as_ref(), log.as_deref(), asked, api.clock.now()).await?))
}

fn parse(pairs: &[(String, String)]) -> Result<(Option<String>, Asked), BadParameter> {
    reject_repeats(pairs)?;
    let (mut log, mut asked) = (None, Asked::default());
    for (name, value) in pairs {
        let bad = |rule: String| BadParameter::new(name, value, rule);
        let day = || value.parse::<Day>().map(Some).map_err(|error| bad(format!("is {error}")));
        match name.as_str() {
            "log" => log = Some(value.clone()),
            "since" => asked.since = day()?,
            "until" => asked.until = day()?,
            _ => return Err(bad("is no parameter of this call; known are log, since and until".into())),
        }
        if asked.is_backwards() {
            return Err(bad("the first day must not be after the last".into()));
        }
    }
    Ok((log, asked))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::http::tests::{Served, record};

    #[tokio::test]
    async fn a_day_that_is_not_over_is_counted_all_the_same() {
        let served = Served::new().await;
        served.post_json(&json!([record("a"), record("b")])).await;
        let summary = served.get("/api/v1/digests?log=http&since=2026-05-01").await.json();
        let log = &summary["logs"][0];
        assert_eq!((&log["executions"], &log["counts"]["recorded"]), (&json!(2), &json!(2)));
        assert_eq!((&log["missing_total"], &log["not_over"]), (&json!(0), &json!("2026-05-01")));
        let before = served.get("/api/v1/digests?until=2026-04-30").await.json();
        assert_eq!((&before["logs"][0]["days"], &before["logs"][0]["executions"]), (&json!(null), &json!(0)));
    }

    #[tokio::test]
    async fn what_is_asked_wrongly_is_said() {
        let served = Served::new().await;
        for query in
            ["since=yesterday", "since=2026-05-02&until=2026-05-01", "until=2026-05-01T00:00:00Z", "x=1"]
        {
            let answered = served.get(&format!("/api/v1/digests?{query}")).await;
            assert_eq!(answered.problem(), "invalid-parameter", "{query}");
        }
        assert_eq!(served.get("/api/v1/digests?log=other").await.problem(), "no-such-log");
    }
}
