//! What happens, as it happens: server-sent events, gone on with where they broke off.

use std::{collections::VecDeque, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use dualaudit_record::execution::{AdaptiveAdjustment, StepExecutionAudit};
use reqwest::Response;
use serde::{Deserialize, Serialize};

use super::{Client, ClientError, FIRST_PAUSE};
use crate::query::{Summary, Warning};

/// The bytes of an event, at most: a live execution with all its steps.
const EVENT_BYTES: usize = 16 << 20;
/// How long a server may say nothing: it says every 15 seconds that it is still there.
const SILENCE: Duration = Duration::from_secs(45);
/// The longest pause before a stream is opened again, and how often that is tried in a row: for a minute or so.
const LONGEST: Duration = Duration::from_secs(10);
const TRIES: usize = 10;

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A stream begins: the first, or one after another that broke off. All that is live is told next, until
    /// [`Happening::Ready`]; what is not told then is live no more. What was recorded meanwhile is told, too.
    Begun,
    /// A live execution as it is now.
    Live(Box<Live>),
    /// All that was live when the stream began was told.
    Ready,
    /// An execution was recorded, or amended.
    Recorded(Box<Summary>),
    /// The resource of an execution is gone.
    Gone(Box<Summary>),
    /// Something is missing from now on.
    Warning(Warning),
    /// Too much happened while there was no stream: what is shown has to be asked for anew.
    Reset,
}

/// A live execution as it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// As a row of a list.
    #[serde(flatten)]
    pub summary: Summary,
    /// Its steps as far as they have come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step_executions: Vec<StepExecutionAudit>,
    /// What was adjusted so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adaptive_adjustments: Vec<AdaptiveAdjustment>,
}

/// What happens at a server, from now on.
#[derive(Debug)]
pub struct Watch<'a> {
    client: &'a Client,
    pairs: Vec<(String, String)>,
    /// Where to go on.
    position: Option<String>,
    stream: Option<Events>,
    /// Whether a stream has told nothing yet, though one was begun before.
    is_mute: bool,
    pauses: ExponentialBackoff,
}

impl Client {
    /// What happens from now on. The parameters are those of the API.
    pub fn watch(&self, pairs: &[(String, String)]) -> Watch<'_> {
        let (position, stream) = (None, None);
        Watch { client: self, pairs: pairs.to_vec(), position, stream, is_mute: false, pauses: pauses() }
    }
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST);
    pauses.with_max_times(TRIES).with_jitter().build()
}

impl Watch<'_> {
    /// What happens next. A stream that breaks off is opened again, at the position that it had come to.
    ///
    /// # Errors
    /// That it cannot be opened, also not when tried again; see [`ClientError`].
    pub async fn next(&mut self) -> Result<Happening, ClientError> {
        loop {
            let Some(stream) = &mut self.stream else {
                if std::mem::replace(&mut self.is_mute, true) {
                    let Some(pause) = self.pauses.next() else {
                        return Err(self
                            .client
                            .unlike("ends each stream before it tells anything".to_owned()));
                    };
                    tokio::time::sleep(pause).await;
                }
                self.stream = Some(self.open().await?);
                return Ok(Happening::Begun);
            };
            let event = match stream.next().await {
                Ok(Some(event)) => event,
                // Broken off, or ended as the server does with those who are too slow, and when it stops.
                Ok(None) | Err(Broken::Off) => {
                    self.stream = None;
                    continue;
                }
                Err(Broken::Unlike(why)) => return Err(self.client.unlike(why.to_owned())),
            };
            self.pauses = pauses();
            self.is_mute = false;
            if event.id.is_some() {
                self.position = event.id;
            }
            if let Some(happening) = happening(&event.name, &event.data) {
                return happening
                    .map_err(|error| self.client.unlike(format!("tells what cannot be read: {error}")));
            }
        }
    }

    async fn open(&mut self) -> Result<Events, ClientError> {
        loop {
            let mut request =
                self.client.streams.get(self.client.at(&["api", "v1", "watch"])).query(&self.pairs);
            if let Some(position) = &self.position {
                request = request.header("last-event-id", position);
            }
            match self.client.opened(request).await {
                Ok(answer) => return Ok(Events { answer, bytes: Vec::new(), events: VecDeque::new() }),
                Err(error) if error.is_passing() => {
                    let Some(pause) = super::pause(&error, self.pauses.next()) else { return Err(error) };
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What an event says; `None` of one that this version does not know.
fn happening(name: &str, data: &str) -> Option<serde_json::Result<Happening>> {
    Some(match name {
        "live" => serde_json::from_str(data).map(Happening::Live),
        "recorded" => serde_json::from_str(data).map(Happening::Recorded),
        "gone" => serde_json::from_str(data).map(Happening::Gone),
        "warning" => serde_json::from_str(data).map(Happening::Warning),
        "ready" => Ok(Happening::Ready),
        "reset" => Ok(Happening::Reset),
        _ => return None,
    })
}

/// An event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
    id: Option<String>,
}

/// A stream that is read as it comes (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
#[derive(Debug)]
struct Events {
    answer: Response,
    /// Of an event that is not whole yet.
    bytes: Vec<u8>,
    events: VecDeque<Event>,
}

/// How a stream ended.
enum Broken {
    Off,
    Unlike(&'static str),
}

impl Events {
    async fn next(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let chunk = tokio::time::timeout(SILENCE, self.answer.chunk()).await;
            let Some(chunk) = chunk.map_err(|_| Broken::Off)?.map_err(|_| Broken::Off)? else {
                return Ok(None);
            };
            self.bytes.extend_from_slice(&chunk);
            if self.bytes.len() > EVENT_BYTES {
                return Err(Broken::Unlike("tells more at once than anything has"));
            }
            self.events.extend(whole(&mut self.bytes));
        }
    }
}

/// Takes the events that are whole.
fn whole(bytes: &mut Vec<u8>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut begin = 0;
    while let Some(length) = bytes[begin..].windows(2).position(|end| end == b"\n\n") {
        let text = String::from_utf8_lossy(&bytes[begin..begin + length]);
        events.extend(event(&text));
        begin += length + 2;
    }
    bytes.drain(..begin);
    events
}

/// What stands between two empty lines; `None` of comments alone.
fn event(text: &str) -> Option<Event> {
    let mut event = Event::default();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.name),
            "id" => event.id = Some(value.to_owned()),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => {}
        }
    }
    (event != Event::default()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_as_they_become_whole() {
        let mut bytes =
            b": still here\n\nevent: live\ndata: {\"a\":\ndata:1}\n\nevent: ready\nid: 7".to_vec();
        let told = |name: &str, data: &str, id: Option<&str>| Event {
            name: name.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
        };
        assert_eq!(whole(&mut bytes), [told("live", "{\"a\":\n1}", None)]);
        assert_eq!(whole(&mut bytes), []);
        bytes.extend_from_slice(b"\ndata: {}\n\n");
        assert_eq!(whole(&mut bytes), [told("ready", "{}", Some("7"))]);
        assert!(bytes.is_empty());
        assert!(happening("later", "{}").is_none());
    }
}
