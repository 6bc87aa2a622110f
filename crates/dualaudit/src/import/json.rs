//! JSON: a value to a line, or values however they are laid out, with the items of lists read one by one.

use std::{
    fmt,
    io::{self, BufRead},
    ops::ControlFlow,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Content, Item, Setting,
    bounded::{self, Bounded, Meter, too_large},
    value,
};

type Each<'a> = dyn FnMut(Item) -> ControlFlow<()> + 'a;

/// A value to a line; each line stands alone.
pub(super) fn lines(mut reader: impl BufRead, setting: Setting<'_>, each: &mut Each<'_>) -> io::Result<()> {
    let mut text = Vec::new();
    let mut number = 0;
    while let Some(whole) = bounded::line(&mut reader, &mut text)? {
        number += 1;
        let flow = if !whole {
            each(refused(number, too_large()))
        } else if text.trim_ascii().is_empty() {
            ControlFlow::Continue(())
        } else {
            match str::from_utf8(&text) {
                Ok(text) => one(text, number, setting, each),
                Err(error) => each(refused(number, format!("not UTF-8: {error}"))),
            }
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

/// The things in one text of JSON: the items of a list, or itself.
pub(super) fn one(text: &str, line: u64, setting: Setting<'_>, each: &mut Each<'_>) -> ControlFlow<()> {
    let mut told = Told { setting, each, at: At::Line(line), stopped: false };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = told.value(&mut deserializer).and_then(|()| deserializer.end());
    match read {
        _ if told.stopped => ControlFlow::Break(()),
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => (told.each)(refused(line, format!("not JSON: {error}"))),
    }
}

/// Values, one after the other.
pub(super) fn values(reader: impl BufRead, setting: Setting<'_>, each: &mut Each<'_>) -> io::Result<()> {
    let (reader, meter) = Bounded::new(reader);
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let mut told = Told { setting, each, at: At::Meter(meter.clone()), stopped: false };
    loop {
        let read = match deserializer.end() {
            Ok(()) => return Ok(()),
            // Something follows.
            Err(error) if error.is_syntax() => told.value(&mut deserializer),
            Err(error) => Err(error),
        };
        let Err(error) = read else { continue };
        if told.stopped {
            return Ok(());
        }
        let reason = match error.io_error_kind() {
            None => error.to_string(),
            Some(io::ErrorKind::FileTooLarge) => too_large(),
            Some(_) => return Err(error.into()),
        };
        let reason = format!("not JSON: {reason}; nothing of the file after this was read");
        let _ = (told.each)(refused(meter.line(), reason));
        return Ok(());
    }
}

fn refused(line: u64, reason: String) -> Item {
    Item { line, name: String::new(), content: Content::Refused(reason) }
}

enum At {
    Line(u64),
    Meter(Meter),
}

/// What a list of Kubernetes has.
pub(super) const LIST_KEYS: [&str; 4] = ["apiVersion", "items", "kind", "metadata"];

/// Why something with `items` is neither a list nor anything else.
pub(super) fn no_list(key: &str) -> String {
    format!(
        "it has items, and also {key:.100}: a list has apiVersion, kind and metadata beside them, and nothing else has items"
    )
}

/// Reads a value and tells of what is in it.
struct Told<'a, 'b> {
    setting: Setting<'a>,
    each: &'a mut Each<'b>,
    at: At,
    stopped: bool,
}

impl Told<'_, '_> {
    fn value<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(Whole(self))
    }

    fn line(&self) -> u64 {
        match &self.at {
            At::Line(line) => *line,
            At::Meter(meter) => meter.line(),
        }
    }

    /// Tells of one; an error where nothing more is wanted.
    fn tell<E: serde::de::Error>(&mut self, line: u64, json: &str) -> Result<(), E> {
        if let At::Meter(meter) = &self.at {
            meter.begin_next();
        }
        let (name, content) = value::told(json, self.setting);
        self.give(Item { line, name, content })
    }

    fn refuse<E: serde::de::Error>(&mut self, line: u64, reason: String) -> Result<(), E> {
        self.give(refused(line, reason))
    }

    fn give<E: serde::de::Error>(&mut self, item: Item) -> Result<(), E> {
        if (self.each)(item).is_break() {
            self.stopped = true;
            return Err(E::custom("nothing more is wanted"));
        }
        Ok(())
    }

    fn items<'de, A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(), A::Error> {
        loop {
            let line = self.line();
            let Some(raw) = list.next_element::<Box<RawValue>>()? else { return Ok(()) };
            self.tell(line, raw.get())?;
        }
    }
}

/// A value as a whole: a list of things in one of its forms, or a thing.
struct Whole<'t, 'a, 'b>(&'t mut Told<'a, 'b>);

impl<'de> Visitor<'de> for Whole<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, or a list of objects")
    }

    /// An empty document.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.items(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let line = self.0.line();
        let (mut text, mut is_list, mut foreign) = (String::from("{"), false, None);
        while let Some(key) = map.next_key::<String>()? {
            if !LIST_KEYS.contains(&key.as_str()) {
                foreign.get_or_insert_with(|| key.clone());
            }
            if key == "items" {
                is_list = true;
                map.next_value_seed(Items(self.0))?;
                continue;
            }
            let raw: Box<RawValue> = map.next_value()?;
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(&key).map_err(A::Error::custom)?);
            text.push(':');
            text.push_str(raw.get());
        }
        text.push('}');
        match foreign {
            Some(key) if is_list => self.0.refuse(line, no_list(&key)),
            _ if is_list => Ok(()),
            _ => self.0.tell(line, &text),
        }
    }
}

/// What `items` holds.
struct Items<'t, 'a, 'b>(&'t mut Told<'a, 'b>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.items(list)
    }
}
