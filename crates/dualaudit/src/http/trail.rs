//! What requests leave on record: see [`crate::access::Trail`].

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
    response::Response,
};
use dualaudit_record::access::{Decision, Event, clipped};

use super::{
    Api,
    problem::{Kind, Problem},
};
use crate::{
    access::{Act, Hidden, Resource, User, Verb},
    ingest::Receipt,
};

/// What somebody was refused, beside the answer that says so.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refused {
    /// Something with what is recorded.
    Act(Act),
    /// A path that is about the server itself.
    Path(String),
}

/// What a request was about that its sender may not know of.
pub(super) type Hiding = Arc<OnceLock<Hidden>>;

/// A request of whom nobody knows: its path as the API writes it, so that these are few.
pub(super) fn of_a_stranger(request: &Request) -> Event {
    let verb = match *request.method() {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        _ => "other",
    };
    let path = request.extensions().get::<MatchedPath>().map_or("/", MatchedPath::as_str);
    let event = Act::anywhere(Verb::Get, Resource::ExecutionRecords).event(None, Decision::Forbid);
    Event { verb: verb.to_owned(), resource: path.to_owned(), ..event }
}

/// What an answer refuses whoever gets it: in words, or by telling them that there is no such execution.
pub(super) fn of_refusal(user: &User, response: &Response, hiding: &Hiding) -> Option<Event> {
    let refused = |act: &Act| act.event(Some(&user.name), Decision::Forbid);
    match response.extensions().get() {
        Some(Refused::Act(act)) => {
            let same = |hidden: &&Hidden| (hidden.act.verb, hidden.act.resource) == (act.verb, act.resource);
            let execution_id = hiding.get().filter(same).and_then(|hidden| hidden.id.as_deref()).map(clipped);
            Some(Event { execution_id, ..refused(act) })
        }
        Some(Refused::Path(path)) => {
            let event = refused(&Act::anywhere(Verb::Get, Resource::ExecutionRecords));
            Some(Event { resource: path.clone(), ..event })
        }
        None if response.status() == StatusCode::NOT_FOUND => {
            let Hidden { act, id } = hiding.get()?;
            Some(Event { execution_id: id.as_deref().map(clipped), ..refused(act) })
        }
        None => None,
    }
}

/// Puts on record that somebody is let do this, before they are.
pub(super) async fn allow(api: &Api, event: Event) -> Result<Receipt, Problem> {
    api.trail.allow(event).await.map_err(|error| {
        let detail = "Who asks for this is put on record first, and the log takes nothing at present. Sending the same \
                      request again is safe.";
        Problem::new(Kind::Unavailable, detail).caused_by(&error)
    })
}

/// That somebody reads an object.
pub(super) fn of_source(actor: &str, log: &str, namespace: Option<String>, id: Option<&str>) -> Event {
    let log = Some(log.to_owned());
    let act = Act { verb: Verb::Get, resource: Resource::Source, namespace, log };
    Event { execution_id: id.map(clipped), ..act.event(Some(actor), Decision::Allow) }
}
