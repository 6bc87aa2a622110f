//! `POST /api/v1/executions`: one record, a JSON array of them, or NDJSON.
//!
//! Answers `{"receipts":[…],"refused":[{"position","problem"}]}`, receipts in the order sent, positions
//! counted from 0. What is accepted is committed whatever becomes of the rest. An answer with an error's
//! status is a problem document with the same two members in it.
//!
//! `?amend=true` with `If-Match: <revision>` adds a revision to what is recorded; the record must then
//! be the only one.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{
        FromRequest, Request, State,
        rejection::{BytesRejection, FailedToBufferBody, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dualaudit_record::submitted::Submitted;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{ToSchema, openapi::Ref};

use super::{
    Pairs,
    body::{self, Submission},
    pairs,
};
use crate::{
    access::Verb,
    http::{
        Api,
        access::Caller,
        limits::{Admission, BODY_BYTES, Deadline, announced},
        object::ended_early,
        openapi::{Answer, Call, Header, Tag, parameters},
        problem::{Kind, Problem, internal},
        said,
    },
    ingest::{Ingest, Receipt},
    parameter::{BadParameter, reject_repeats},
};

mod fate;
#[cfg(test)]
mod tests;

use fate::{Fate, record_all};

/// What became of the records of a request.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Answered {
    /// Of those that are recorded, in the order sent.
    receipts: Vec<Receipt>,
    /// Those that are not.
    refused: Vec<Refused>,
}

/// A record that was refused, and why.
#[derive(Debug, Serialize, ToSchema)]
struct Refused {
    /// Its place among those sent, from 0.
    position: usize,
    /// What is wrong with it.
    #[schema(schema_with = problem_schema)]
    problem: Problem,
}

fn problem_schema() -> Ref {
    Ref::from_schema_name("Problem")
}

pub(in crate::http) fn call() -> Call {
    let record = json!({"$ref": "#/components/schemas/Record"});
    let example = example();
    let lines = format!("{example}\n");
    let answered = |description| Answer::of::<Answered>(description);
    let receipt = |result: &str| {
        json!({
            "id": "run-1", "attempt": 1, "revision": 1, "log": "http", "index": 0, "result": result,
            "recorded_at": "2026-05-01T08:00:01.000000Z",
            "leaf_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        })
    };
    let location = Header {
        name: "Location",
        description: "Of a single record: where it is to be found.",
        example: "/api/v1/executions/run-1?log=http&attempt=1",
    };
    Call::new(Tag::Executions, "recordExecutions", "Records executions")
        .saying(
            "One record, an array of them, or one a line: 8 MiB and 20,000 records at most. The answer comes after the commit \
             that holds them is on disk; what is accepted is recorded whatever becomes of the rest. Sending again is safe. A \
             single record answers with its own status; several with 422 only where all of them were refused.",
        )
        .given([
            parameters::query("log", "The log of producers it goes into; the server's first one unless given.", parameters::text(), "http"),
            parameters::query(
                "amend",
                "Add a revision to what is recorded: of a single record, with If-Match.",
                parameters::one_of(&["true", "false"]),
                "true",
            ),
            parameters::header(
                "If-Match",
                "The latest revision that you know of, as a number, with or without quotes; only with `amend=true`.",
                json!({"type": "string", "pattern": "^(\\+?0*[1-9][0-9]{0,8}|\"\\+?0*[1-9][0-9]{0,8}\")$"}),
                "1",
            ),
        ])
        .takes(
            "application/json",
            json!({"anyOf": [record, {
                "type": "array",
                "maxItems": body::MAX_RECORDS,
                "description": "Records. What is none is refused by itself.",
                "items": {"anyOf": [record, {}]},
            }]}),
            example,
        )
        .takes(
            "application/x-ndjson",
            json!({"type": "string", "description": "A record a line; each line stands by itself."}),
            json!(lines),
        )
        .with_type::<Submitted>()
        .answers(
            201,
            answered("Something was recorded.")
                .header(location)
                .example(json!({"receipts": [receipt("created")], "refused": []}))
                .link("execution", "getExecution", json!({"id": "$response.body#/receipts/0/id"}))
                .link("review", "reviewExecution", json!({"id": "$response.body#/receipts/0/id"})),
        )
        .answers(
            200,
            answered("Everything was there already, or nothing was sent.")
                .example(json!({"receipts": [receipt("duplicate")], "refused": []})),
        )
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::InvalidJson, Kind::Conflict, Kind::StaleRevision, Kind::Purged, Kind::PayloadTooLarge])
        .fails([Kind::UnsupportedMediaType, Kind::InvalidRecord, Kind::AllRefused, Kind::RejectedByDatabase])
        .fails([Kind::PreconditionRequired, Kind::NoSuchLog])
}

/// A record as a producer sends it.
fn example() -> Value {
    json!({
        "id": "run-1",
        "remediation_id": "rem-1",
        "workflow_name": "restart-deployment",
        "workflow_version": "v1.2.0",
        "total_steps": 1,
        "steps_completed": 1,
        "steps_failed": 0,
        "total_duration": 90_000_000_000_u64,
        "outcome": "success",
        "effectiveness_score": 0.95,
        "rollbacks_performed": 0,
        "step_executions": [{
            "step_number": 1,
            "action": "restart",
            "duration": 90_000_000_000_u64,
            "status": "completed",
            "retries_attempted": 0,
        }],
        "adaptive_adjustments": null,
        "completed_at": "2026-05-01T08:00:00Z",
        "status": "completed",
        "labels": {"team": "payments"},
    })
}

pub(in crate::http) async fn post(
    State(api): State<Api>,
    caller: Caller,
    Extension(admission): Extension<Admission>,
    Extension(deadline): Extension<Deadline>,
    query: Result<Pairs, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let Asked { amend, log } = asked(&pairs(query)?, &headers)?;
    let verb = if amend.is_some() { Verb::Update } else { Verb::Create };
    let first = || api.producers.first().map(|door| door.log().name.clone());
    let log = log.or_else(first).ok_or_else(|| internal(&"there is no log of producers"))?;
    caller.records(verb, &log).await?;
    let door = door(&api.producers, &log)?;
    let media = body::media(&headers)?;
    // Whoever waits to be asked for it is not.
    if announced(&headers).is_some_and(|bytes| bytes > BODY_BYTES as u64) {
        return Err(too_large());
    }
    let _room = admission.room_for_body(&headers, BODY_BYTES).await;
    let bytes = Bytes::from_request(request, &()).await.map_err(|rejection| unreadable(&rejection))?;
    let submission = body::split(media, &bytes)?;
    if amend.is_some() && submission.records.len() != 1 {
        let detail =
            format!("amend=true is for one record sent alone, and {} were sent.", submission.records.len());
        return Err(Problem::new(Kind::InvalidParameter, detail).with("field", "amend"));
    }
    let Submission { single, records } = submission;
    let records = records.into_iter().map(|record| record.map(|json| bytes.slice_ref(json))).collect();
    Ok(answer(single, record_all((&api, door), records, amend, deadline).await))
}

/// The door into the log of that name.
fn door<'a>(producers: &'a [Ingest], log: &str) -> Result<&'a Ingest, Problem> {
    producers.iter().find(|door| door.log().name == log).ok_or_else(|| {
        let logs: Vec<_> = producers.iter().map(|door| door.log().name.clone()).collect();
        let detail = format!(
            "There is no log {log:.64} that producers send to here; there are: {}. `run --producers-log` names them.",
            logs.join(", ")
        );
        Problem::new(Kind::NoSuchLog, detail).with("logs", logs)
    })
}

/// What is asked for.
struct Asked {
    /// The revision to amend, if that is it.
    amend: Option<u32>,
    log: Option<String>,
}

fn asked(pairs: &[(String, String)], headers: &HeaderMap) -> Result<Asked, Problem> {
    reject_repeats(pairs)?;
    let (named, others): (Vec<_>, Vec<_>) = pairs.iter().cloned().partition(|(name, _)| name == "log");
    let log = named.into_iter().next().map(|(_, log)| log);
    Ok(Asked { amend: amends(&others, headers)?, log })
}

fn amends(pairs: &[(String, String)], headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let mut amend = false;
    for (name, value) in pairs {
        amend = match (name.as_str(), value.as_str()) {
            ("amend", "true") => true,
            ("amend", "false") => false,
            ("amend", _) => return Err(BadParameter::new(name, value, "must be true or false").into()),
            _ => {
                let rule = "is no parameter of this call; known are log and amend";
                return Err(BadParameter::new(name, value, rule).into());
            }
        };
    }
    let mut conditions = headers.get_all("if-match").iter();
    let condition = conditions.next();
    if let Some(second) = conditions.next() {
        let value = String::from_utf8_lossy(second.as_bytes());
        return Err(BadParameter::new("If-Match", &value, "is given twice; give it once").into());
    }
    match (amend, condition) {
        (false, None) => Ok(None),
        // To ignore a condition would be to do what the sender ruled out.
        (false, Some(value)) => Err(BadParameter::new(
            "If-Match",
            &String::from_utf8_lossy(value.as_bytes()),
            "has a meaning only with amend=true",
        )
        .into()),
        (true, None) => Err(Problem::new(
            Kind::PreconditionRequired,
            "amend=true needs If-Match: <revision>, the latest revision that you know of.",
        )
        .with("field", "If-Match")),
        (true, Some(value)) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            // Both 3 and "3", the form of an entity tag (RFC 9110, section 8.8.3).
            let number = text.trim().trim_matches('"').parse().ok().filter(|&revision| revision > 0);
            let rule = "must be the number of a revision, such as 1";
            number.map(Some).ok_or_else(|| BadParameter::new("If-Match", &text, rule).into())
        }
    }
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => too_large(),
        _ => ended_early(),
    }
}

fn too_large() -> Problem {
    let detail = format!("A body may have {} MiB; send the records in several requests.", BODY_BYTES >> 20);
    Problem::new(Kind::PayloadTooLarge, detail)
}

fn answer(single: bool, fates: Vec<Fate>) -> Response {
    let mut answered = Answered::default();
    let mut failure: Option<Problem> = None;
    // One line a request, however many of its records the database refuses.
    let mut causes = Vec::new();
    for (position, fate) in fates.into_iter().enumerate() {
        match fate {
            Fate::Stored(receipt) => answered.receipts.push(receipt),
            Fate::Refused(mut problem) => {
                causes.extend(problem.take_cause());
                let problem = problem.with("position", position);
                answered.refused.push(Refused { position, problem });
            }
            // The worst is told: what is broken rather than what is away.
            Fate::Failed(problem)
                if failure.as_ref().is_none_or(|known| known.status() > problem.status()) =>
            {
                failure = Some(problem);
            }
            Fate::Failed(_) => {}
        }
    }
    if let Some(cause) = causes.first() {
        tracing::error!(%cause, records = causes.len(), "the database refuses what passed every check");
    }
    let problem = failure.or_else(|| match answered.refused.as_slice() {
        [refused] if single => Some(refused.problem.clone()),
        refused if answered.receipts.is_empty() && !refused.is_empty() => {
            let detail = format!("{} of {0} records were refused; see `refused`.", refused.len());
            Some(Problem::new(Kind::AllRefused, detail))
        }
        _ => None,
    });
    match problem {
        Some(problem) => with_answered(problem, &answered).into_response(),
        None => {
            let status = said::status(&answered.receipts);
            let is_new = status == StatusCode::CREATED;
            let location = answered.receipts.first().filter(|_| single && is_new).and_then(location);
            let mut response = (status, Json(answered)).into_response();
            response.headers_mut().extend(location.map(|at| (header::LOCATION, at)));
            response
        }
    }
}

/// Where the execution of a receipt is to be found.
fn location(Receipt { id, log, attempt, .. }: &Receipt) -> Option<HeaderValue> {
    let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    // In a path a plus is itself.
    let id = id.replace('+', "%20");
    let at = format!("/api/v1/executions/{id}?log={log}&attempt={}", attempt.unwrap_or(1));
    HeaderValue::from_str(&at).ok()
}

fn with_answered(problem: Problem, answered: &Answered) -> Problem {
    match (serde_json::to_value(&answered.receipts), serde_json::to_value(&answered.refused)) {
        (Ok(receipts), Ok(refused)) => problem.with("receipts", receipts).with("refused", refused),
        (Err(error), _) | (_, Err(error)) => internal(&error),
    }
}
