//! `GET /api/v1/gaps`, `/quarantine`, `/purges`, `/holds` and `/accesses?log=&limit=&cursor=`, and one of each at `/{log}/{index}`.
//!
//! A list answers `{"items":[…],"next_cursor"}`, oldest first; a single entry of what is in quarantine holds the object,
//! too. Holds that were released are listed by `?released=true` only. A log that is not there is a 404 that names those that are.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{State, rejection::QueryRejection},
};
use dualaudit_record::access::Event;
use serde_json::json;

use super::{
    Api,
    access::Caller,
    executions::{Pairs, pairs},
    openapi::{Answer, Call, Routes, Tag, parameters},
    path::Segments,
    problem::{Kind, Problem},
    said::Actor,
    trail,
};
use crate::{
    access::{Resource, Verb},
    parameter,
    query::{self, DEFAULT_LIMIT, EntriesRequest, EntryPage, ListedEntry, Listing, MAX_LIMIT},
};

/// The paths of all.
pub(super) fn routes() -> Routes {
    let mut routes = Routes::default();
    for listing in [Listing::Gaps, Listing::Quarantine, Listing::Purges, Listing::Holds, Listing::Accesses] {
        let path = format!("/api/v1/{}", listing.name());
        let list = move |State(api): State<Api>, caller: Caller, query| page(listing, api, caller, query);
        let one =
            move |State(api): State<Api>, caller: Caller, of, query| one(listing, api, caller, of, query);
        routes = routes.get(&path, list, page_call(listing));
        routes = routes.get(&format!("{path}/{{log}}/{{index}}"), one, one_call(listing));
    }
    routes
}

fn page_call(listing: Listing) -> Call {
    let (id, summary) = match listing {
        Listing::Gaps => ("listGaps", "Executions that were seen and are gone unrecorded"),
        Listing::Quarantine => ("listQuarantine", "Objects that could not be mapped to a record"),
        Listing::Purges => ("listPurges", "Records that went because their time was over"),
        Listing::Holds => ("listHolds", "What is kept whatever the time, until it is released"),
        Listing::Accesses => ("listAccesses", "Who read what, verified what, and was refused what"),
    };
    let released = || {
        let schema = json!({"type": "string", "enum": ["true", "false"], "default": "false"});
        parameters::query("released", "Also those that were released.", schema, "true")
    };
    Call::new(Tag::Compliance, id, summary)
        .saying("In the order of logs and of entries in them: what is appended later comes last.")
        .given([
            parameters::log_there_is(),
            parameters::limit(MAX_LIMIT, DEFAULT_LIMIT),
            parameters::cursor(),
        ])
        .given((listing == Listing::Holds).then(released))
        .answers(200, Answer::of::<EntryPage>("A page.").example(json!({"items": [], "next_cursor": null})))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchLog])
}

fn one_call(listing: Listing) -> Call {
    let (id, summary) = match listing {
        Listing::Gaps => ("getGap", "One gap"),
        Listing::Quarantine => ("getQuarantine", "One object in quarantine, with the object"),
        Listing::Purges => ("getPurge", "One purge"),
        Listing::Holds => ("getHold", "One hold, and how it ended"),
        Listing::Accesses => ("getAccess", "Who asked for what between two instants"),
    };
    let index = json!({"type": "integer", "format": "int64", "minimum": 0});
    Call::new(Tag::Compliance, id, summary)
        .given([parameters::log_in_path(), parameters::path("index", "The index of its entry.", index, 7)])
        .answers(200, Answer::of::<ListedEntry>("The entry."))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchLog, Kind::NoSuchEntry])
}

/// What somebody needs who reads them: they are of all namespaces.
fn of(listing: Listing) -> Resource {
    match listing {
        Listing::Gaps | Listing::Quarantine | Listing::Purges | Listing::Accesses => {
            Resource::ExecutionRecords
        }
        Listing::Holds => Resource::Holds,
    }
}

async fn page(
    listing: Listing,
    api: Api,
    caller: Caller,
    query: Result<Pairs, QueryRejection>,
) -> Result<Json<EntryPage>, Problem> {
    let pairs = pairs(query)?;
    let request = EntriesRequest::parse(listing, &pairs)?;
    let log = pairs.iter().find(|(name, _)| name == "log").map(|(_, log)| log.as_str());
    let seen = caller.whole(&api, (Verb::List, of(listing)), log).await?;
    let mut page = query::entries(seen.store.as_ref(), &request).await?;
    let mut logs = BTreeMap::new();
    for item in page.items.iter_mut().filter(|item| item.has_object()) {
        let may_read = match logs.get(&item.log) {
            Some(&may_read) => may_read,
            None => caller.reads_objects(&item.log).await?,
        };
        logs.insert(item.log.clone(), may_read);
        if !may_read {
            item.hide_object();
        }
    }
    for (log, _) in logs.into_iter().filter(|(_, may_read)| *may_read) {
        let reader = caller.actor(Actor::default());
        let event = trail::of_source(&reader, &log, None, None);
        trail::allow(&api, Event { verb: Verb::List.as_str().to_owned(), ..event }).await?;
    }
    Ok(Json(page))
}

async fn one(
    listing: Listing,
    api: Api,
    caller: Caller,
    Segments((log, index)): Segments<(String, u64)>,
    query: Result<Pairs, QueryRejection>,
) -> Result<Json<ListedEntry>, Problem> {
    parameter::no_parameters(&pairs(query)?)?;
    let seen = caller.whole(&api, (Verb::Get, of(listing)), Some(&log)).await?;
    let mut found = query::entry(seen.store.as_ref(), listing, &log, index).await?;
    if found.has_object() && !caller.reads_objects(&log).await? {
        found.hide_object();
    }
    if found.has_object() {
        let of_gap = found.gap.as_ref().map(|gap| gap.namespace.clone());
        let namespace = of_gap.or_else(|| Some(found.quarantine.as_ref()?.namespace.clone()));
        let reader = caller.actor(Actor::default());
        let event = trail::of_source(&reader, &log, namespace, found.execution_id.as_deref());
        trail::allow(&api, event).await?;
    }
    Ok(Json(found))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        http::tests::{Served, now},
        store::conformance::sample::{batch, from_resource, gap, quarantine, record},
    };
    use dualaudit_record::entry::GapCause;

    /// A log with seven gaps, and two objects in quarantine, of which one was recorded since.
    async fn served() -> Served {
        let served = Served::new().await;
        let gap = |n| crate::store::DraftContent::Gap(gap(&format!("lost-{n}"), None, GapCause::Vanished));
        let mut drafts: Vec<_> = (0..7).map(gap).collect();
        drafts.extend([quarantine("q1", r#"{"kind":"odd"}"#), quarantine("q2", "{}")]);
        drafts.push(from_resource(record("q2")));
        served.store.inner.append("http", batch(drafts), now()).await.unwrap();
        served
    }

    #[tokio::test]
    async fn pages_give_each_entry_once_and_a_cursor_is_of_its_list() {
        let served = served().await;
        let (mut seen, mut path) = (Vec::new(), "/api/v1/gaps?limit=3".to_owned());
        let cursor = loop {
            let page = served.get(&path).await.json();
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item["gap"]["execution_id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break path.split_off(path.len() - 20) };
            path = format!("/api/v1/gaps?limit=3&cursor={next}");
        };
        assert_eq!(seen, (0..7).map(|n| format!("lost-{n}")).collect::<Vec<_>>());
        let next = served.get("/api/v1/gaps?limit=3").await.json();
        let next = next["next_cursor"].as_str().unwrap();
        for path in [
            format!("/api/v1/quarantine?cursor={next}"),
            format!("/api/v1/gaps?log=http&cursor={next}"),
            format!("/api/v1/gaps?cursor={cursor}"),
            "/api/v1/gaps?limit=0".to_owned(),
            "/api/v1/gaps?since=1".to_owned(),
            "/api/v1/gaps/http/0?log=http".to_owned(),
        ] {
            assert_eq!(served.get(&path).await.problem(), "invalid-parameter", "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_in_quarantine_says_why_shows_the_object_and_what_was_recorded_since() {
        let served = served().await;
        let list = served.get("/api/v1/quarantine?log=http").await.json();
        assert_eq!(list["items"][0]["quarantine"]["reason"], "status.steps[2].number: must be an integer");
        assert_eq!(
            (&list["items"][0]["recorded"], &list["items"][0]["object"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(list["items"][1]["recorded"]["index"], 9);
        let one = served.get("/api/v1/quarantine/http/7").await.json();
        assert_eq!((&one["index"], &one["object"]), (&json!(7), &json!({"kind": "odd"})));
        assert_eq!(served.get("/api/v1/gaps/http/0").await.json()["gap"]["cause"], "vanished");
    }

    #[tokio::test]
    async fn a_page_of_large_gaps_ends_early_and_goes_on() {
        let served = Served::new().await;
        for n in 0..4 {
            let mut large = gap(&format!("lost-{n}"), None, GapCause::Vanished);
            large.last_state = format!("\"{}\"", "x".repeat(3 << 20));
            let draft = crate::store::DraftContent::Gap(large);
            served.store.inner.append("http", batch([draft]), now()).await.unwrap();
        }
        let first = served.get("/api/v1/gaps").await.json();
        assert_eq!(first["items"].as_array().unwrap().len(), 2);
        let next = first["next_cursor"].as_str().unwrap();
        let second = served.get(&format!("/api/v1/gaps?cursor={next}")).await.json();
        let indexes: Vec<_> = second["items"].as_array().unwrap().iter().map(|it| &it["index"]).collect();
        assert_eq!((indexes, &second["next_cursor"]), (vec![&json!(2), &json!(3)], &Value::Null));
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_with_what_is() {
        let served = served().await;
        for path in ["/api/v1/gaps?log=other", "/api/v1/purges/other/0"] {
            let answered = served.get(path).await;
            assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (404, "no-such-log"));
            assert_eq!(answered.json()["detail"], "there is no log other; there are: http");
        }
        // Entry 7 is in quarantine, and no gap.
        for path in ["/api/v1/gaps/http/7", "/api/v1/purges/http/99"] {
            assert_eq!(served.get(path).await.problem(), "no-such-entry", "{path}");
        }
        assert_eq!(served.get("/api/v1/gaps/http/x").await.problem(), "malformed-request");
        let nothing = served.get("/api/v1/purges").await.json();
        assert_eq!(nothing, json!({"items": [], "next_cursor": null}));
    }
}
