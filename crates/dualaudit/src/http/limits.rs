//! What bounds a request: its time, how many there are at once, and the memory of their bodies.

use std::{
    any::Any,
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{
    problem::{Kind, Problem, internal},
    rates::Rate,
};

/// The most a body may have.
pub const BODY_BYTES: usize = 8 << 20;

/// Answers up to this are not counted: their requests are.
const SMALL: u64 = 64 << 10;

/// Requests a second that one client may send.
pub const CLIENT_RATE: u32 = 1000;

/// What whoever was not answered in time may do.
pub(super) const AGAIN: &str = "Sending the same records again is safe: what is recorded already answers \
    with its first receipt.";

/// The limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a request may take, its body's way here included.
    pub time: Duration,
    /// How many requests that read may be under way, and how many that record.
    pub requests: usize,
    /// How many bytes of bodies may be held at once; a further body waits, within its time.
    pub bodies: usize,
    /// How many bytes of answers may wait for those who asked; a further one is refused.
    pub answers: usize,
    /// How many requests one client may send; `None` for no limit.
    pub rate: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = NonZeroU32::new(CLIENT_RATE).map(Rate::of);
        Self {
            time: Duration::from_secs(30),
            requests: 256,
            bodies: 8 * BODY_BYTES,
            answers: 16 * BODY_BYTES,
            rate,
        }
    }
}

/// When an answer must be on its way that is to tell what was done so far, rather than that the request
/// took too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// How long a body is, where its headers say so.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Lets requests in.
#[derive(Clone)]
pub(super) struct Admission {
    limits: Limits,
    /// Apart, so that senders who take their time keep no reader out.
    reading: Arc<Semaphore>,
    recording: Arc<Semaphore>,
    /// One permit a KiB.
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        let [bodies, answers] =
            [limits.bodies, limits.answers].map(|bytes| (bytes / 1024).max(BODY_BYTES / 1024));
        Self {
            limits,
            reading: Arc::new(Semaphore::new(limits.requests)),
            recording: Arc::new(Semaphore::new(limits.requests)),
            bodies: Arc::new(Semaphore::new(bodies)),
            answers: Arc::new(Semaphore::new(answers)),
        }
    }

    /// Hands out an answer that is there as a whole, if there is room for it. What is small, or is made as it is read, needs none.
    fn room_for_answer(&self, response: Response) -> Response {
        let Some(bytes) = response.body().size_hint().exact().filter(|bytes| *bytes > SMALL) else {
            return response;
        };
        // One that is larger than a page takes as much as a page.
        let kibibytes = bytes.div_ceil(1024).min(BODY_BYTES as u64 / 1024);
        let permits = u32::try_from(kibibytes).expect("8 MiB is 8,192 KiB");
        let Ok(room) = Arc::clone(&self.answers).try_acquire_many_owned(permits) else {
            let limit = self.limits.answers >> 20;
            let detail =
                format!("{limit} MiB of answers wait to be read, which is the limit. Ask for smaller pages.");
            return Problem::new(Kind::Overloaded, detail).into_response();
        };
        response.map(|body| Body::new(Held { body, _room: room }))
    }

    /// Waits until there is room for the body that these headers announce, of which at most so many bytes are read. One
    /// that does not say its size is taken for the largest.
    pub(super) async fn room_for_body(&self, headers: &HeaderMap, most: usize) -> SemaphorePermit<'_> {
        let announced = announced(headers).and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = announced.unwrap_or(most).min(most);
        let permits = u32::try_from(bytes.div_ceil(1024)).expect("8 MiB is 8,192 KiB");
        self.bodies.acquire_many(permits).await.expect("this semaphore is never closed")
    }
}

/// Turns away what is beyond the number of requests.
pub(super) async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let requests = if request.method().is_safe() { &admission.reading } else { &admission.recording };
    let Ok(_admitted) = requests.try_acquire() else {
        let detail =
            format!("{} such requests are under way, which is the limit.", admission.limits.requests);
        return Problem::new(Kind::Overloaded, detail).into_response();
    };
    admission.room_for_answer(next.run(request).await)
}

/// An answer that takes room until it is read.
struct Held {
    body: Body,
    _room: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ends what takes too long.
pub(super) async fn in_time(
    State(admission): State<Admission>,
    mut request: Request,
    next: Next,
) -> Response {
    let limit = admission.limits.time;
    // A tenth is left to write the answer in.
    request.extensions_mut().insert(Deadline(Instant::now() + limit / 10 * 9));
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("The request was not done after {} s. {AGAIN}", limit.as_secs_f64());
            Problem::new(Kind::Timeout, detail).into_response()
        }
    }
}

/// One line a request, for those who ask for them; its id is in the span around it.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    tracing::debug!(%method, %uri, status = response.status().as_u16(), "request");
    response
}

/// What a panic is answered with. The panic itself was printed when it happened.
pub(super) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    internal(&format_args!("panic: {}", text.as_deref().unwrap_or("of an unknown kind"))).into_response()
}
