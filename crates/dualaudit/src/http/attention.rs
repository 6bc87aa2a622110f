//! Whether the client of a connection does its part: one is let go that asks nothing, or does not take what it asked for.
//!
//! hyper bounds how long the headers of a request over HTTP/1 may take, from the first byte on. What is bounded here is what comes
//! before that, connections over HTTP/2 on which nothing is asked, and answers that nobody reads, which lie in memory.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// The most of an answer that is handed to the connection at once: what lies there is bounded by nothing else.
const PART: usize = 16 << 10;

/// How long a connection is kept whose client does nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// While nothing is asked on it.
    pub(super) idle: Duration,
    /// While a part of an answer waits to be taken.
    pub(super) answer: Duration,
}

/// What is under way on one connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Attention(Arc<Mutex<UnderWay>>);

struct UnderWay {
    requests: usize,
    /// When the last of them ended.
    idle_since: Instant,
    /// Since when a part of an answer waits to be taken, by the number of its request.
    waiting: BTreeMap<u64, Instant>,
    next: u64,
}

impl Attention {
    /// Of a connection that begins now.
    pub(super) fn new() -> Self {
        let (idle_since, waiting) = (Instant::now(), BTreeMap::new());
        Self(Arc::new(Mutex::new(UnderWay { requests: 0, idle_since, waiting, next: 0 })))
    }

    /// Notes a request, until what is returned is dropped, which is with the answer.
    pub(super) fn asked(&self) -> Asked {
        let mut it = self.lock();
        it.requests += 1;
        it.next += 1;
        Asked { number: it.next, of: self.clone() }
    }

    /// Ends when the client did nothing for too long, and says what it did not do.
    pub(super) async fn lost(&self, patience: Patience) -> &'static str {
        let step = patience.idle.min(patience.answer) / 4;
        loop {
            let now = Instant::now();
            let (until, why) = self.lock().until(patience, now);
            if until <= now {
                return why;
            }
            tokio::time::sleep_until(until.min(now + step)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    fn until(&self, patience: Patience, now: Instant) -> (Instant, &'static str) {
        if self.requests == 0 {
            return (self.idle_since + patience.idle, "nothing was asked on it");
        }
        let since = self.waiting.values().min().copied().unwrap_or(now);
        (since + patience.answer, "an answer was not read")
    }
}

/// A request under way.
pub(super) struct Asked {
    number: u64,
    of: Attention,
}

impl Asked {
    /// The answer to it.
    pub(super) fn answered(self, body: Body) -> Body {
        Body::new(Answer { body, part: Bytes::new(), asked: self })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut it = self.of.lock();
        it.waiting.remove(&self.number);
        it.requests -= 1;
        it.idle_since = Instant::now();
    }
}

/// An answer that is handed out in parts, the next when there is room for it.
struct Answer {
    body: Body,
    /// What is left of the frame that was read of it.
    part: Bytes,
    asked: Asked,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, part, asked } = self.get_mut();
        asked.of.lock().waiting.remove(&asked.number);
        if part.is_empty() {
            match ready!(Pin::new(body).poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => *part = data,
                Some(Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                None => return Poll::Ready(None),
            }
        }
        asked.of.lock().waiting.insert(asked.number, Instant::now());
        Poll::Ready(Some(Ok(Frame::data(part.split_to(part.len().min(PART))))))
    }

    fn is_end_stream(&self) -> bool {
        self.part.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (left, of_body) = (self.part.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(left));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(left));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const PATIENCE: Patience = Patience { idle: Duration::from_secs(30), answer: Duration::from_secs(60) };

    /// Whether the client is lost, if nothing happens for so many seconds.
    fn lost_after(attention: &Attention, seconds: u64) -> Option<&'static str> {
        let later = Instant::now() + Duration::from_secs(seconds);
        let (until, why) = attention.lock().until(PATIENCE, later);
        (until <= later).then_some(why)
    }

    #[test]
    fn who_asks_nothing_is_let_go_and_who_waits_for_an_answer_is_not() {
        let attention = Attention::new();
        assert_eq!(lost_after(&attention, 29), None);
        let (first, second) = (attention.asked(), attention.asked());
        assert_eq!(lost_after(&attention, 3600), None, "the answer is the server's to give");
        drop(first);
        assert_eq!(lost_after(&attention, 3600), None);
        drop(second);
        assert_eq!(lost_after(&attention, 29), None);
        assert_eq!(lost_after(&attention, 30), Some("nothing was asked on it"));
    }

    #[tokio::test]
    async fn who_takes_an_answer_bit_by_bit_gets_it_whole_and_who_does_not_is_let_go() {
        let attention = Attention::new();
        let text: Vec<u8> = (0..3 * PART + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut body = attention.asked().answered(Body::from(text.clone()));
        assert_eq!(body.size_hint().exact(), Some(text.len() as u64));
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= PART);
            read.extend_from_slice(&data);
            assert_eq!(body.size_hint().exact(), Some((text.len() - read.len()) as u64));
            assert_eq!(lost_after(&attention, 59), None);
        }
        assert!(read == text && body.is_end_stream());
        let mut other = attention.asked().answered(Body::from(text));
        other.frame().await.unwrap().unwrap();
        assert_eq!(lost_after(&attention, 60), Some("an answer was not read"));
        drop(other);
        assert_eq!(lost_after(&attention, 3600), None, "the first is under way and at its end");
        drop(body);
        assert_eq!(lost_after(&attention, 30), Some("nothing was asked on it"));
    }
}
