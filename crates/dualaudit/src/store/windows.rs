//! Windows that were made longer: what their entries are known by, which is enough to know when they end.

use std::collections::HashMap;

use dualaudit_record::{Entry, EntryKind, Time, entry::Window, log::parse_body};

/// What the idempotency keys of windows begin with, and of no other entry.
const WINDOW: &str = "window:";

/// How many windows one answer has.
pub(super) const MAX_WINDOWS: u32 = 100;

/// The idempotency key of a window.
pub(super) fn window_key(id: &str, attempt: u32, until: Time) -> String {
    format!("{WINDOW}{id}:{attempt}:{until}")
}

/// When the windows of an execution end that were made longer, by its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Windows(HashMap<u32, Time>);

impl Windows {
    /// By the idempotency keys of entries of the execution; those of other kinds say nothing.
    pub(super) fn of<'a>(id: &str, keys: impl IntoIterator<Item = &'a str>) -> Self {
        let mut windows = HashMap::new();
        for (attempt, until) in keys.into_iter().filter_map(|key| read(id, key)) {
            let latest = windows.entry(attempt).or_insert(until);
            *latest = until.max(*latest);
        }
        Self(windows)
    }

    /// Until when an attempt is to be kept, at least.
    pub(super) fn until(&self, attempt: u32) -> Option<Time> {
        self.0.get(&attempt).copied()
    }
}

fn read(id: &str, key: &str) -> Option<(u32, Time)> {
    let (attempt, until) = key.strip_prefix(WINDOW)?.strip_prefix(id)?.strip_prefix(':')?.split_once(':')?;
    Some((attempt.parse().ok()?, until.parse().ok()?))
}

/// The entry of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Index of its entry.
    pub index: u64,
    /// The window; of one that was erased, what is left.
    pub window: Window,
    /// When it was appended.
    pub recorded_at: Time,
}

/// The window of an attempt that an entry with this body tells of.
pub(super) fn told(attempt: u32, index: u64, recorded_at: Time, body: &str) -> Option<WindowRow> {
    match parse_body(EntryKind::Window, body.as_bytes()) {
        Ok((Entry::Window(window), _)) if window.attempt == attempt => {
            Some(WindowRow { index, window, recorded_at })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_the_windows_of_an_attempt_counts() {
        let at = |second: i64| Time::from_micros(second * 1_000_000).expect("a time");
        let id = "a:1";
        let keys = [window_key(id, 1, at(60)), window_key(id, 1, at(50)), window_key(id, 2, at(10))];
        let others = [window_key("a", 1, at(99)), "hold:a:1:7".to_owned(), format!("{WINDOW}{id}:1:never")];
        let windows = Windows::of(id, keys.iter().chain(&others).map(String::as_str));
        assert_eq!([1, 2, 3].map(|attempt| windows.until(attempt)), [Some(at(60)), Some(at(10)), None]);
    }
}
