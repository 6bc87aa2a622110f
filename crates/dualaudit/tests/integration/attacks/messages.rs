//! Requests over HTTP/1 that are no requests, or that two readers could read in two ways.
//!
//! Behind each row a plain request stands on the same connection. Either it is the last that is answered, by the id that it
//! brings, or nothing of what follows is: then what was sent behind cannot be taken for a request of somebody else.

mod bodies;
mod heads;

use serde_json::json;

use super::target::{LITTLE, Said, Target};
use crate::{retention::Audit, support::postgres::Server};

/// What comes back for one request: the status and the problem, which is none where hyper answers by itself or all is well.
type Answer = (u16, &'static str);

struct Row {
    name: &'static str,
    sent: Vec<u8>,
    answers: Vec<Answer>,
    /// Whether the connection is read on; `None` where that depends on what of the row has arrived by then.
    is_open: Option<bool>,
}

const HOST: &str = "host: localhost\r\n";
const JSON: &str = "content-type: application/json\r\n";
const EXECUTIONS: &str = "/api/v1/executions";

fn row(
    name: &'static str,
    sent: impl Into<Vec<u8>>,
    answers: &[Answer],
    is_open: impl Into<Option<bool>>,
) -> Row {
    Row { name, sent: sent.into(), answers: answers.to_vec(), is_open: is_open.into() }
}

/// Answered, and read on behind.
fn answered(name: &'static str, sent: impl Into<Vec<u8>>, answer: Answer) -> Row {
    row(name, sent, &[answer], true)
}

/// Answered, and closed.
fn closed(name: &'static str, sent: impl Into<Vec<u8>>, answer: Answer) -> Row {
    row(name, sent, &[answer], false)
}

/// No HTTP: hyper answers 400 without a body, and closes.
fn no_http(name: &'static str, sent: impl Into<Vec<u8>>) -> Row {
    closed(name, sent, (400, ""))
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{HOST}{headers}\r\n")
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\n{HOST}{JSON}{headers}\r\n{body}")
}

fn with_length(path: &str, body: &str) -> String {
    post(path, &format!("content-length: {}\r\n", body.len()), body)
}

fn brief(said: &Said) -> (u16, String) {
    let brief = said.brief();
    // What hyper says by itself has no body.
    let is_hypers = said.header("x-request-id").is_none();
    assert!(!is_hypers || said.body.is_empty(), "{said:?}");
    if !is_hypers {
        assert_eq!(said.header("x-content-type-options"), Some("nosniff"), "{said:?}");
        let type_ = said.header("content-type").unwrap_or_default();
        assert!(!type_.starts_with("text/html"), "{said:?}");
    }
    brief
}

async fn attacked(audit: Audit, rows: &[Row]) {
    let target = Target::new(audit, LITTLE).await;
    let plain = get("/healthz", "x-request-id: behind-it\r\nconnection: close\r\n");
    let mut wrong = Vec::new();
    for row in rows {
        let said = target.exchange(&[&row.sent[..], plain.as_bytes()].concat()).await;
        let mut briefs: Vec<_> = said.iter().map(brief).collect();
        let is_behind = said.last().is_some_and(|last| last.header("x-request-id") == Some("behind-it"));
        if is_behind {
            briefs.pop();
        }
        let expected: Vec<_> =
            row.answers.iter().map(|(status, kind)| (*status, (*kind).to_owned())).collect();
        // A connection that is closed with something unread may be reset, and the answer with it.
        let is_reset = briefs.is_empty() && row.is_open != Some(true) && row.sent.len() > 64 << 10;
        if (briefs != expected && !is_reset) || row.is_open.is_some_and(|is_open| is_open != is_behind) {
            let sent = String::from_utf8_lossy(&row.sent[..row.sent.len().min(200)]).into_owned();
            wrong.push(format!(
                "{}: {briefs:?}, read on: {is_behind}; expected {expected:?}, {:?}: {sent:?}",
                row.name, row.is_open
            ));
        }
        target.still_serves(row.name).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing of what was hidden was taken for a request.
    assert_eq!(target.dualaudit.recorded().await, [json!(null); 0]);
    target.is_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_or_could_be_two_ends_in_one_clear_answer() {
    let tables =
        [heads::headers(), heads::request_lines(), heads::paths(), bodies::smuggling(), bodies::bodies()];
    attacked(Audit::in_a_file(), &tables.into_iter().flatten().collect::<Vec<_>>()).await;
}

/// What of it reaches a database.
#[tokio::test(flavor = "multi_thread")]
async fn paths_are_as_harmless_in_postgresql() {
    let database = Server::shared().database(None);
    attacked(Audit::at(database.url()), &heads::paths()).await;
}
