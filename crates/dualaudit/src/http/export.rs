//! `GET /api/v1/export`: what is recorded, streamed; and `GET /api/v1/export/{id}`, its manifest.
//!
//! Parameters: the filters of the list, `format=jsonl|csv|parquet` (`jsonl`), `scope=latest|revisions|entries`
//! (`latest`; of `entries` only `log` narrows), and `actor`, which goes into the log as it is given. The answer names
//! the export in `Dualaudit-Export`. It is broken off, without its last chunk, where it cannot be read to its end or
//! not be recorded; whoever does not read for a minute is left.

mod exports;
mod stream;

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{State, rejection::QueryRejection},
    http::{HeaderValue, Method, header},
    response::{IntoResponse as _, Response},
};
use dualaudit_record::{
    entry::unfit_text,
    export::{ExportFormat, Manifest, Scope},
};
use futures::{StreamExt as _, stream as streams};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{
    Api,
    access::Caller,
    executions::{Pairs, pairs},
    openapi::{Answer, Call, Header, Tag, parameters},
    path::Segments,
    problem::{Kind, Problem},
    said::Actor,
};
use crate::{
    access::{Reach, Resource, Verb},
    clock::entropy,
    export::{Opened, Request},
    parameter::{BadParameter, reject_repeats},
    query::ListRequest,
};

pub(super) use exports::Exports;
use exports::MANIFESTS;
use stream::Stream;

/// Chunks that wait to be sent.
const CHUNKS: usize = 4;

pub(super) fn call() -> Call {
    let named = Header {
        name: "Dualaudit-Export",
        description: "The export's id: where its manifest is, and what its entries in the logs say.",
        example: "6f1c2b3a4d5e6f708192a3b4c5d6e7f8",
    };
    let file = Header {
        name: "Content-Disposition",
        description: "A name for the file.",
        example: "attachment; filename=\"dualaudit-6f1c2b3a4d5e6f708192a3b4c5d6e7f8.jsonl\"",
    };
    let actor = json!({"$ref": "#/components/schemas/Actor"});
    Call::new(Tag::Export, "export", "Streams what is recorded")
        .saying(
            "Becomes an entry of each log that is read. The stream is whole only with its last chunk: it is broken off where it \
             cannot be read to its end, or not be recorded.",
        )
        .given([
            parameters::query(
                "format",
                "`jsonl`: a proof bundle a line; `csv` and `parquet`: an execution a row.",
                parameters::one_of(&["jsonl", "csv", "parquet"]),
                "csv",
            ),
            parameters::query(
                "scope",
                "The latest revisions, all of them, or every entry of a log: of `entries` only `log` narrows, and only \
                 `jsonl` holds them.",
                parameters::one_of(&["latest", "revisions", "entries"]),
                "latest",
            ),
            parameters::query(
                "actor",
                "Who asks.",
                actor,
                "auditor",
            ),
        ])
        .given(parameters::filters())
        .with_type::<Actor>()
        .answers(
            200,
            Answer::empty("The export.")
                .or("application/x-ndjson", json!({"type": "string"}))
                .or("text/csv", json!({"type": "string"}))
                .or("application/vnd.apache.parquet", json!({"type": "string"}))
                .header(named)
                .header(file),
        )
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchLog, Kind::Conflict, Kind::NotYetSigned])
}

pub(super) fn manifest_call() -> Call {
    Call::new(Tag::Export, "getManifest", "The manifest of an export that was made here lately")
        .saying("There a few seconds after the export was read; this process keeps the newest 64.")
        .given([parameters::path(
            "id",
            "The export's id.",
            json!({"type": "string", "minLength": 1}),
            "6f1c2b3a4d5e6f708192a3b4c5d6e7f8",
        )])
        .answers(200, Answer::of::<Manifest>("The manifest."))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchExport])
}

pub(super) async fn export(
    State(api): State<Api>,
    Extension(exports): Extension<Exports>,
    caller: Caller,
    method: Method,
    query: Result<Pairs, QueryRejection>,
) -> Result<Response, Problem> {
    let pairs = pairs(query)?;
    let mut request = asked(pairs.clone(), &api)?;
    let (scope, format) = (request.scope, request.format);
    let reach = exported(&caller, &api, (scope, format), &pairs).await?;
    request.filter.within = reach.clone();
    request.actor = caller.actor(Actor(request.actor));
    let id = request.id.clone();
    let file = format!("dualaudit-{id}.{format}");
    if method == Method::HEAD {
        return Ok(answer(format, &id, &file, Body::empty()));
    }
    let room = exports.room(&caller)?;
    let opened = Opened::open(exports.recorder().clone(), request).await?;
    let (chunks, sent) = mpsc::channel(CHUNKS);
    let name = file.clone();
    let of = (api.clone(), pairs);
    let otherwise = caller.until_otherwise(move |caller| {
        let ((api, pairs), before) = (of.clone(), reach.clone());
        async move {
            let still = exported(&caller, &api, (scope, format), &pairs).await?;
            // Whoever may read more by now reads what they could.
            Ok(before.zip(still).is_none_or(|(before, still)| still.covers(&before)))
        }
    });
    // Of its own: whoever asked may go away, and what they read is recorded all the same.
    let exporting = async move {
        let mut sink = Stream::new(chunks, exports.stopping(), otherwise);
        match opened.hand_out(&mut sink, &name, |_| {}).await {
            Ok(manifest) => exports.keep(manifest),
            Err(error) => {
                tracing::warn!(%error, "an export was broken off");
                sink.break_off(error.to_string()).await;
            }
        }
        drop(room);
    };
    tokio::spawn(exporting.in_current_span());
    let sent = streams::unfold(sent, |mut sent| async { sent.recv().await.map(|chunk| (chunk, sent)) });
    // What compresses it asks once more after its end.
    Ok(answer(format, &id, &file, Body::from_stream(sent.fuse())))
}

pub(super) async fn manifest(
    Extension(exports): Extension<Exports>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Json<Manifest>, Problem> {
    let kept = exports.kept(&id).filter(|manifest| caller.is(&manifest.export.actor));
    kept.map(Json).ok_or_else(|| {
        let detail = format!(
            "No export {id:.64} was made here lately. The manifest is there a few seconds after the export was read, and \
             this process keeps the newest {MANIFESTS}."
        );
        Problem::new(Kind::NoSuchExport, detail)
    })
}

/// What of an export its reader may read.
async fn exported(
    caller: &Caller,
    api: &Api,
    (scope, format): (Scope, ExportFormat),
    pairs: &[(String, String)],
) -> Result<Option<Arc<Reach>>, Problem> {
    if scope == Scope::Entries {
        // Entries are of all namespaces, and gaps have the last states of resources.
        let log = pairs.iter().find(|(name, _)| name == "log").map(|(_, log)| log.as_str());
        caller.whole(api, (Verb::Get, Resource::Source), log).await?;
        return Ok(caller.whole(api, (Verb::List, Resource::ExecutionRecords), log).await?.reach);
    }
    let reach = caller.reads(api, Verb::List, pairs).await?.reach;
    if let (Some(reach), ExportFormat::Jsonl) = (&reach, format) {
        caller.proves(api, reach, pairs).await?;
    }
    Ok(reach)
}

/// What a query string asks for.
fn asked(pairs: Vec<(String, String)>, api: &Api) -> Result<Request, Problem> {
    reject_repeats(&pairs)?;
    let (mut format, mut scope, mut actor) = (ExportFormat::Jsonl, Scope::Latest, None);
    let mut filters = Vec::new();
    for (name, value) in pairs {
        match name.as_str() {
            "format" => {
                format = value.parse().map_err(|rule: &str| BadParameter::new("format", &value, rule))?;
            }
            "scope" => {
                scope = match value.as_str() {
                    "latest" => Scope::Latest,
                    "revisions" => Scope::Revisions,
                    "entries" => Scope::Entries,
                    _ => {
                        let rule = "must be latest, revisions or entries";
                        return Err(BadParameter::new("scope", &value, rule).into());
                    }
                };
            }
            "actor" => match unfit_text(&value) {
                Some(rule) => return Err(BadParameter::new("actor", &value, rule).into()),
                None => actor = Some(value),
            },
            "limit" | "cursor" => {
                return Err(BadParameter::new(&name, &value, "an export has no pages").into());
            }
            _ => filters.push((name, value)),
        }
    }
    if scope == Scope::Entries
        && let Some((name, value)) = filters.iter().find(|(name, _)| name != "log")
    {
        let rule = "does not go with scope=entries: whatever is left out would not be proved";
        return Err(BadParameter::new(name, value, rule).into());
    }
    let list = ListRequest::of_records(&filters, api.clock.now())?;
    Ok(Request {
        id: hex::encode(entropy::<16>()),
        actor: actor.unwrap_or_else(|| Actor::default().0),
        format,
        scope,
        asked: list.asked(&filters),
        filter: list.filter,
    })
}

fn answer(format: ExportFormat, id: &str, file: &str, body: Body) -> Response {
    let media_type = match format {
        ExportFormat::Jsonl => "application/x-ndjson",
        ExportFormat::Csv => "text/csv; charset=utf-8; header=present",
        ExportFormat::Parquet => "application/vnd.apache.parquet",
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let named = [
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
        (header::HeaderName::from_static("dualaudit-export"), id.to_owned()),
    ];
    for (name, value) in named {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dualaudit_record::{Entry, EntryKind, export::Export};
    use serde_json::json;

    use crate::{
        http::tests::{Served, record},
        store::Which,
        verify::verify_export,
    };

    async fn served_with(count: usize, padding: usize) -> Served {
        let served = Served::new().await;
        let of = |n: usize| {
            let mut record = record(&format!("r{n:04}"));
            record["labels"] = json!({"team": if n.is_multiple_of(2) { "a" } else { "b" }});
            record["error_message"] = "x".repeat(padding).into();
            record
        };
        for some in (0..count).collect::<Vec<_>>().chunks(5) {
            let records: Vec<_> = some.iter().copied().map(of).collect();
            assert_eq!(served.post_json(&json!(records)).await.status, 201);
        }
        served
    }

    async fn told(served: &Served) -> Vec<Export> {
        let entries =
            served.store.inner.entries("http", Which::Kind(EntryKind::Export), 0, 10).await.unwrap();
        let told = entries.iter().map(|stored| match stored.body.entry() {
            Some(Entry::Export(export)) => (**export).clone(),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[tokio::test]
    async fn an_export_is_streamed_recorded_and_has_a_manifest() {
        let served = served_with(7, 0).await;
        for (query, format, lines) in [
            ("labels=team%3Da&actor=auditor", "jsonl", 4),
            ("format=csv&actor=auditor", "csv", 7),
            ("format=parquet&scope=revisions&actor=auditor", "parquet", 7),
            ("scope=entries&log=http&actor=auditor", "jsonl", 10),
        ] {
            let answered = served.get(&format!("/api/v1/export?{query}")).await;
            assert_eq!(answered.status, 200, "{}", answered.text);
            let id = answered.header("dualaudit-export").to_owned();
            assert!(answered.header("content-disposition").contains(&format!("{id}.{format}")));
            let told = told(&served).await;
            let last = told.last().unwrap();
            assert_eq!(
                (last.export.as_str(), last.actor.as_str(), last.lines()),
                (id.as_str(), "auditor", lines)
            );
            let path = format!("/api/v1/export/{id}");
            while served.get(&path).await.status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let manifest = serde_json::from_value(served.get(&path).await.json()).unwrap();
            let report = verify_export(&manifest, &answered.body[..], &[], |_| {}).unwrap();
            assert!(report.is_clean() && report.is_vouched_for, "{report:?}");
        }
        assert_eq!(served.get("/api/v1/export/nothing").await.problem(), "no-such-export");
    }

    #[tokio::test]
    async fn what_cannot_be_exported_is_a_problem_and_no_entry() {
        let served = served_with(1, 0).await;
        for (query, problem) in [
            ("format=xml", "invalid-parameter"),
            ("scope=all", "invalid-parameter"),
            ("limit=3", "invalid-parameter"),
            ("outcome=good", "invalid-parameter"),
            ("actor=", "invalid-parameter"),
            (&format!("actor={}", "x".repeat(4097)), "invalid-parameter"),
            ("log=a&log=b", "invalid-parameter"),
            ("scope=entries&workflow=x", "invalid-parameter"),
            ("scope=entries&format=csv", "invalid-parameter"),
            ("log=nowhere", "no-such-log"),
        ] {
            assert_eq!(served.get(&format!("/api/v1/export?{query}")).await.problem(), problem, "{query}");
        }
        assert_eq!(told(&served).await, []);
    }

    #[tokio::test]
    async fn whoever_goes_away_is_told_of_as_far_as_they_came() {
        // 12 MiB: more than is on its way at once.
        let served = served_with(60, 200 << 10).await;
        let request = axum::http::Request::get("/api/v1/export").header("host", "localhost");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(served.router.clone(), request).await.unwrap();
        drop(response);
        let mut told = told(&served).await;
        while told.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            told = self::told(&served).await;
        }
        assert!(!told[0].whole && told[0].lines() < 60, "{told:?}");
        assert_eq!(told[0].actor, "unverified");
    }
}
