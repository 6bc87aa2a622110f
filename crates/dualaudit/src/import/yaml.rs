//! YAML: documents, with the items of a list as `kubectl get -o yaml` prints it read one by one.
//!
//! A list is taken apart by its lines before it is parsed, so that only one item is in memory: in a block sequence that is
//! the value of `items:`, what begins an item stands in one column, and whatever belongs to it deeper.

use std::{
    io::{self, BufRead},
    ops::ControlFlow,
};

use serde_json::Value;

use super::{
    Content, Item, MAX_VALUE_BYTES, Setting,
    bounded::{line, too_large},
    json,
};

type Each<'a> = dyn FnMut(Item) -> ControlFlow<()> + 'a;

/// Documents, one after the other.
pub(super) fn documents(
    mut reader: impl BufRead,
    setting: Setting<'_>,
    each: &mut Each<'_>,
) -> io::Result<()> {
    let mut parts = Parts { part: Part::default(), items: Items::None, list: List::default(), setting, each };
    let mut bytes = Vec::new();
    let mut number = 0;
    while let Some(whole) = line(&mut reader, &mut bytes)? {
        number += 1;
        let flow = match (str::from_utf8(&bytes), whole) {
            (Ok(text), true) => parts.line(number, text),
            (Err(error), true) => parts.refuse(number, format!("not UTF-8: {error}")),
            (_, false) => parts.refuse(number, too_large()),
        };
        if flow.is_break() {
            return Ok(());
        }
    }
    let _ = parts.end_document();
    Ok(())
}

/// Why the last item of a list is not taken.
const CUT_OFF: &str = "the list has no kind, neither before its items nor behind them, so it may be cut off here: import the whole of it";

/// Where in a document we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Items {
    /// Not in a list, and none was met.
    None,
    /// Behind `items:`, before the first.
    Awaited,
    /// In a list, whose items begin in this column.
    In(usize),
    /// Behind the list.
    Over,
}

/// What is parsed as one.
#[derive(Default)]
struct Part {
    line: u64,
    text: String,
    is_too_large: bool,
}

/// What stands beside the items of a list.
#[derive(Default)]
struct List {
    line: u64,
    has_kind: bool,
    /// A key that no list has.
    foreign: Option<String>,
}

impl List {
    /// Notes a line that stands beside the items.
    fn note(&mut self, text: &str) {
        let Some((key, _)) = text.split_once(':').filter(|_| !text.starts_with([' ', '#', '-'])) else {
            return;
        };
        self.has_kind |= key == "kind";
        if !json::LIST_KEYS.contains(&key) {
            self.foreign.get_or_insert_with(|| key.to_owned());
        }
    }
}

struct Parts<'a, 'b> {
    part: Part,
    items: Items,
    list: List,
    setting: Setting<'a>,
    each: &'a mut Each<'b>,
}

impl Parts<'_, '_> {
    fn line(&mut self, number: u64, text: &str) -> ControlFlow<()> {
        if text == "---" || text.starts_with("--- ") || text == "..." {
            self.end_document()?;
            self.push(number, text.strip_prefix("---").unwrap_or_default());
            return ControlFlow::Continue(());
        }
        let content = text.trim_start_matches(' ');
        let column = text.len() - content.len();
        let is_empty = content.trim().is_empty() || content.starts_with('#');
        let begins = content == "-" || content.starts_with("- ");
        match self.items {
            Items::None if text.trim_end() == "items:" => {
                // What stood before it says what kind of list it is; each item says what it is itself.
                let before = std::mem::take(&mut self.part);
                self.list.line = number;
                before.text.lines().for_each(|line| self.list.note(line));
                self.items = Items::Awaited;
            }
            Items::None => self.push(number, text),
            Items::Awaited if begins => {
                self.items = Items::In(column);
                self.begin(number, column, content);
            }
            Items::In(at) if begins && column == at => {
                self.end_part()?;
                self.begin(number, column, content);
            }
            Items::In(at) if is_empty || column > at => self.push(number, text),
            Items::Awaited if is_empty => {}
            Items::Awaited | Items::In(_) => {
                self.list.note(text);
                self.end_part()?;
                self.items = Items::Over;
            }
            Items::Over => self.list.note(text),
        }
        ControlFlow::Continue(())
    }

    /// Begins an item: without its dash it is a document of its own.
    fn begin(&mut self, number: u64, column: usize, content: &str) {
        let text = format!("{} {}", " ".repeat(column), &content[1..]);
        self.push(number, &text);
    }

    fn push(&mut self, number: u64, text: &str) {
        let Part { line, text: there, is_too_large } = &mut self.part;
        if there.is_empty() {
            *line = number;
        }
        if there.len() + text.len() >= MAX_VALUE_BYTES {
            *is_too_large = true;
            return;
        }
        there.push_str(text);
        there.push('\n');
    }

    fn refuse(&mut self, line: u64, reason: String) -> ControlFlow<()> {
        (self.each)(Item { line, name: String::new(), content: Content::Refused(reason) })
    }

    fn end_document(&mut self) -> ControlFlow<()> {
        let items = std::mem::replace(&mut self.items, Items::None);
        let List { line, has_kind, foreign } = std::mem::take(&mut self.list);
        match items {
            Items::Over | Items::Awaited => self.part = Part::default(),
            // kubectl writes `kind` behind the items, so what ends within them was cut off.
            Items::In(_) if !has_kind => {
                let Part { line, .. } = std::mem::take(&mut self.part);
                self.refuse(line, CUT_OFF.to_owned())?;
            }
            Items::None | Items::In(_) => self.end_part()?,
        }
        match foreign {
            Some(key) => self.refuse(line, json::no_list(&key)),
            None => ControlFlow::Continue(()),
        }
    }

    fn end_part(&mut self) -> ControlFlow<()> {
        let Part { line, text, is_too_large } = std::mem::take(&mut self.part);
        if is_too_large {
            return self.refuse(line, too_large());
        }
        if text.trim().is_empty() {
            return ControlFlow::Continue(());
        }
        match serde_saphyr::from_str::<Value>(&text) {
            Ok(value) => json::one(&value.to_string(), line, self.setting, self.each),
            Err(error) => {
                let error = error.without_snippet().to_string();
                self.refuse(line, format!("not YAML, counted from there: {error}"))
            }
        }
    }
}
