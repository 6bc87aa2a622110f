//! `GET /api/v1/watch`: what is recorded and what is live, as it happens, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Parameters: those of a list that are about executions, and `id`. First come all live executions, then `ready`, then what
//! happens: `live` and `gone` with the row of a list, of `live` also with its steps; `recorded` with the row. `recorded`,
//! `ready` and `bookmark` have an id: `Last-Event-ID` with the last one goes on after it, and none that was recorded meanwhile
//! is missing.
//! `reset` says that it is too old for that. Whoever reads too slowly is disconnected, and comes again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{State, rejection::QueryRejection},
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    Api,
    access::Caller,
    executions::{Pairs, pairs},
    openapi::{Answer, Call, Tag, parameters},
    problem::{Kind, Problem},
};
use crate::{
    access::{Reach, Verb},
    parameter::{BadParameter, reject_repeats},
    query::ListRequest,
    watch::{self, Following, Hub, Told},
};

/// Who may follow at once: fewer than there may be connections, so that producers find room beside them.
const WATCHERS: usize = 2048;
/// How often a stream on which nothing happens says that it is still there.
const ALIVE: Duration = Duration::from_secs(15);
const POSITION: &str = "last-event-id";

/// Where those who follow meet.
#[derive(Clone)]
pub(super) struct Watchers {
    hub: Hub,
    room: Arc<Semaphore>,
}

impl Watchers {
    pub(super) fn of(api: &Api) -> Self {
        Self { hub: Hub::new(api.store.clone(), api.live.clone()), room: Arc::new(Semaphore::new(WATCHERS)) }
    }
}

pub(super) fn call() -> Call {
    let example = "event: ready\nid: eyJuZXh0Ijp7Imh0dHAiOls0MiwiMGExYjJjM2Q0ZTVmNjA3MSJdfSwiY2hlY2siOiIzNDNhMzdkNTU3NmU2NjJiIn0\ndata: {}\n\n";
    let filters = parameters::filters().into_iter().filter(|it| !["counted", "review"].contains(&it.name()));
    Call::new(Tag::Executions, "watchExecutions", "What is live and what is recorded, as it happens")
        .saying(
            "Server-sent events: `live` and `gone` with the row of a list, first of all that is live; `ready`; `recorded` with \
             the row; `bookmark`; `warning`; `reset`. The ids of `ready`, `recorded` and `bookmark` are positions, from which a \
             stream goes on.",
        )
        .given(filters)
        .given(parameters::sides())
        .given([
            parameters::query("id", "Only the execution with this id.", parameters::text(), "run-1"),
            parameters::header(
                "Last-Event-ID",
                "The id of the last event that was read: what was recorded since is told first.",
                json!({"type": "string", "format": "cursor"}),
                "eyJuZXh0Ijp7Imh0dHAiOls0MiwiMGExYjJjM2Q0ZTVmNjA3MSJdfSwiY2hlY2siOiIzNDNhMzdkNTU3NmU2NjJiIn0",
            ),
        ])
        .answers(200, Answer::empty("The stream.").or("text/event-stream", json!({"type": "string"})).example(json!(example)))
        .fails(Kind::OF_EVERY_CALL)
}

pub(super) async fn watch(
    State(api): State<Api>,
    Extension(watchers): Extension<Watchers>,
    caller: Caller,
    query: Result<Pairs, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pairs = pairs(query)?;
    let mut following = following(pairs.clone(), &headers, &api)?;
    let reach = caller.reads(&api, Verb::Watch, &pairs).await?.reach;
    following.request.filter.within = reach.clone();
    let Ok(room) = Arc::clone(&watchers.room).try_acquire_owned() else {
        let detail = format!("{WATCHERS} streams are open, which is the limit.");
        return Err(Problem::new(Kind::Overloaded, detail));
    };
    let heard = watch::follow(&watchers.hub, following).await?;
    let listening = Listening { heard, _room: room };
    let (of, before) = ((api.clone(), pairs), reach.clone());
    let otherwise = caller.until_otherwise(move |caller| {
        let ((api, pairs), before) = (of.clone(), before.clone());
        async move { Ok(caller.reads(&api, Verb::Watch, &pairs).await?.reach == before) }
    });
    let mut stopping = api.stopping.clone();
    let events = stream::unfold(listening, |mut it| async { it.heard.recv().await.map(|told| (told, it)) });
    let events = futures::StreamExt::map(events, move |told| event(&told, reach.as_deref()));
    let stopped = async move {
        tokio::select! {
            // A sender that is gone means the same.
            _ = stopping.wait_for(|stop| *stop) => {}
            () = otherwise => {}
        }
    };
    let events = futures::StreamExt::take_until(events, stopped);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

struct Listening {
    heard: mpsc::Receiver<Arc<Told>>,
    _room: OwnedSemaphorePermit,
}

fn event(told: &Told, reach: Option<&Reach>) -> Result<Event, Infallible> {
    let event = Event::default().event(told.event.as_str()).data(&told.data);
    Ok(match &told.position {
        Some(position) => event.id(position.within(reach).to_string()),
        None => event,
    })
}

/// What is asked for.
fn following(mut pairs: Vec<(String, String)>, headers: &HeaderMap, api: &Api) -> Result<Following, Problem> {
    reject_repeats(&pairs)?;
    let id = pairs.iter().position(|(name, _)| name == "id").map(|place| pairs.remove(place).1);
    if let Some(id) = id.as_ref().filter(|id| id.contains('\0')) {
        return Err(BadParameter::new("id", id, "must not contain U+0000").into());
    }
    let request = ListRequest::of_watch(&pairs, api.clock.now())?;
    let after = match headers.get(POSITION) {
        Some(value) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            let bad =
                |error: watch::BadPosition| BadParameter::new("Last-Event-ID", &text, error.to_string());
            Some(text.parse().map_err(bad)?)
        }
        None => None,
    };
    Ok(Following { request, id, after })
}
