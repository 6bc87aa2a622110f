//! How results are written: to stdout, in the form asked for.

use std::{
    fmt::Display,
    io::{self, BufWriter, Write},
};

use comfy_table::{Cell, ColumnConstraint, Table, Width, presets::NOTHING};
use serde::Serialize;

/// The forms of one result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Table,
    /// As the API answers.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Buffered stdout. A reader that has seen enough (`| head`) is no error: what follows is dropped.
pub type Out<W = io::Stdout> = BufWriter<Pipe<W>>;

/// Stdout; whoever writes to it flushes it.
pub fn stdout() -> Out {
    BufWriter::new(Pipe::new(io::stdout()))
}

/// Writes a line to stdout, all of it.
///
/// # Errors
/// When it cannot be written; that nobody reads any more is none.
pub fn line(text: impl Display) -> io::Result<()> {
    let mut out = stdout();
    writeln!(out, "{text}")?;
    out.flush()
}

/// A writer that outlives its reader.
#[derive(Debug)]
pub struct Pipe<W> {
    inner: W,
    closed: bool,
}

impl<W> Pipe<W> {
    /// A pipe to somebody who reads.
    pub fn new(inner: W) -> Self {
        Self { inner, closed: false }
    }

    /// What is behind it.
    pub fn into_inner(self) -> W {
        self.inner
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn unless_closed<T>(&mut self, otherwise: T, act: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.closed {
            return Ok(otherwise);
        }
        match act(&mut self.inner) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(otherwise)
            }
            result => result,
        }
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), Write::flush)
    }
}

/// Writes a value as JSON or YAML, or lets `table` write it for people.
///
/// # Errors
/// When it cannot be written.
pub fn document<T: Serialize>(
    out: &mut impl Write,
    form: Form,
    value: &T,
    table: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match form {
        Form::Table => out.write_all(table().as_bytes())?,
        Form::Json => writeln!(out, "{}", safe_json(&serde_json::to_string_pretty(value)?))?,
        Form::Yaml => out.write_all(yaml(value)?.as_bytes())?,
    }
    out.flush()?;
    Ok(())
}

/// YAML, ending with a line end.
///
/// # Errors
/// When the value has no form in YAML.
pub fn yaml<T: Serialize>(value: &T) -> anyhow::Result<String> {
    let mut text = escaped_flow(value)?.map_or_else(|| serde_saphyr::to_string(value), Ok)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// YAML of the next items of a list, ending with a line end.
///
/// # Errors
/// When an item has no form in YAML.
pub fn yaml_items<T: Serialize>(items: &[T]) -> anyhow::Result<String> {
    let mut text = String::new();
    for item in items {
        match escaped_flow(item)? {
            Some(flow) => text.push_str(&format!("- {flow}\n")),
            None => text.push_str(&yaml(&[item])?),
        }
    }
    Ok(text)
}

/// The value in YAML's flow form, which is JSON, if it holds what [`shown`] escapes: block form leaves
/// that as it is, where YAML takes it for printable.
fn escaped_flow<T: Serialize>(value: &T) -> anyhow::Result<Option<String>> {
    let json = serde_json::to_string(value)?;
    let safe = safe_json(&json);
    Ok((safe != json).then_some(safe))
}

/// Columns without lines between them, as Kubernetes' tools print them.
///
/// A long list is printed a page at a time; each page keeps the widths of those before it.
#[derive(Debug, Default)]
pub struct Columns {
    widths: Vec<u16>,
}

impl Columns {
    /// Lays out rows, under a header if there is one; each line ends with a line end.
    pub fn lay_out(&mut self, header: Option<&[&str]>, rows: &[Vec<String>]) -> String {
        let rows = rows.iter().map(|row| row.iter().map(|text| cell(text)).collect());
        self.lay_out_cells(header, rows, false)
    }

    /// The same of cells that may have colours.
    pub(super) fn lay_out_cells(
        &mut self,
        header: Option<&[&str]>,
        rows: impl Iterator<Item = Vec<Cell>>,
        in_colour: bool,
    ) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).force_no_tty();
        if in_colour {
            table.enforce_styling();
        }
        let header = header.map(|names| names.iter().map(|name| cell(name)).collect());
        for row in header.into_iter().chain(rows) {
            table.add_row(row);
        }
        let content = table.column_max_content_widths();
        self.widths.resize(content.len().max(self.widths.len()), 0);
        for (width, content) in self.widths.iter_mut().zip(content) {
            *width = content.max(*width);
        }
        for (column, &width) in table.column_iter_mut().zip(&self.widths) {
            // Absolute widths count the padding.
            column.set_padding((0, 2)).set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + 2)));
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text as a table shows it.
pub(super) fn cell(text: &str) -> Cell {
    Cell::new(clipped(shown(text), CELL))
}

/// How many characters a table shows of one text: enough for any that a person reads. The other forms have
/// all of it.
const CELL: usize = 1000;

/// The beginning of a text that has more than so many characters.
pub fn clipped(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Text as it may be shown on a terminal: what would move the cursor, colour or break the line is
/// escaped, because whoever wrote the record does not own the terminal of whoever reads it.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if commands(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// JSON as it may be shown on a terminal: the same JSON, with `\u` escapes for what [`shown`] escapes.
/// JSON's writers escape only what is below U+0020, and a terminal takes U+009B for ESC and [.
pub fn safe_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        // Outside of strings are only line ends, and inside none: those were escaped already.
        if commands(character) && character != '\n' {
            safe.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Whether a terminal would do something at it rather than show it: controls, what turns the direction
/// of the text, and line ends. None is beyond U+FFFF.
fn commands(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// The name of an enum's value on the wire, such as `timed_out`.
pub fn name<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Nanoseconds as people say them: `350ms`, `12.3s`, `5m03s`, `2h05m`, `3d04h`.
pub fn duration(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    let seconds = milliseconds / 1_000;
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    match seconds {
        0 if nanoseconds < 1_000_000 && nanoseconds > 0 => "<1ms".to_owned(),
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}.{}s", milliseconds % 1_000 / 100),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{}d{:02}h", hours / 24, hours % 24),
    }
}

/// A time to the second, in UTC.
pub fn time(time: dualaudit_record::Time) -> String {
    format!("{:.0}", time.to_timestamp())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let texts = [
            0,
            999_999,
            350_000_000,
            12_340_000_000,
            303_000_000_000,
            7_500_000_000_000,
            273_600_000_000_000,
        ];
        assert_eq!(texts.map(duration), ["0ms", "<1ms", "350ms", "12.3s", "5m03s", "2h05m", "3d04h"]);
    }

    #[test]
    fn a_record_cannot_command_the_terminal_of_its_reader() {
        let text = "a\u{1b}[2Jb\nc\u{202e}d\u{61c} é 漢\u{9b}2J";
        assert_eq!(shown(text), r"a\u{1b}[2Jb\nc\u{202e}d\u{61c} é 漢\u{9b}2J");
        let mut out = Vec::new();
        document(&mut out, Form::Json, &[text], String::new).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert_eq!(json, "[\n  \"a\\u001b[2Jb\\nc\\u202ed\\u061c é 漢\\u009b2J\"\n]\n");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
        for text in [text, "\u{1b}[2J", "\u{9b}2J", "a\u{202e}b", "a: b\n- c"] {
            let of_one = yaml(&BTreeMap::from([("x", text)])).unwrap();
            let of_many = yaml_items(&[text, "plain"]).unwrap();
            assert!(
                !format!("{of_one}{of_many}").contains(|c| commands(c) && c != '\n'),
                "{of_one}{of_many}"
            );
            let read: BTreeMap<String, String> = serde_saphyr::from_str(&of_one).unwrap();
            assert_eq!(read["x"], text);
            assert_eq!(serde_saphyr::from_str::<[String; 2]>(&of_many).unwrap(), [text, "plain"]);
        }
    }

    #[test]
    fn later_pages_keep_the_widths_of_earlier_ones() {
        let mut columns = Columns::default();
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let first = columns.lay_out(Some(&["A", "LONGER", "C"]), &[row(["xxxx", "漢字", ""])]);
        let second = columns.lay_out(None, &[row(["x", "", "end"])]);
        insta::assert_snapshot!(format!("{first}{second}"), @r"
        A     LONGER  C
        xxxx  漢字
        x             end
        ");
    }

    #[test]
    fn a_table_shows_the_beginning_of_a_long_text() {
        let table = Columns::default().lay_out(None, &[vec!["漢".repeat(2_000_000), "end".to_owned()]]);
        assert_eq!(table, format!("{}…  end\n", "漢".repeat(CELL)));
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error() {
        struct Head(usize);
        impl Write for Head {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = BufWriter::with_capacity(4, Pipe::new(Head(10)));
        for _ in 0..100 {
            out.write_all(b"12345").unwrap();
        }
        out.flush().unwrap();
        assert!(out.get_ref().is_closed());
    }
}
