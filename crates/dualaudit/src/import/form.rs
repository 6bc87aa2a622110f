//! How a file is written, by what it begins with.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use serde::de::IgnoredAny;

/// How much of a file is looked at.
const HEAD_BYTES: u64 = 64 << 10;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing is in it.
    Empty,
    /// A JSON value to a line: each line stands alone.
    Lines,
    /// JSON values, however they are laid out.
    Values,
    /// As an export has it.
    Csv,
    /// Documents.
    Yaml,
    /// What is not read here, and what to do about it.
    Other(&'static str),
}

/// The form, and all of the file but for a byte order mark.
pub(super) fn told_by_content(mut reader: impl Read) -> io::Result<(Form, impl BufRead)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    let whole = (head.len() as u64) < HEAD_BYTES;
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    let form = form(&head, whole);
    Ok((form, BufReader::with_capacity(256 << 10, Cursor::new(head).chain(reader))))
}

fn form(head: &[u8], is_whole: bool) -> Form {
    for (magic, what) in [
        (&b"PAR1"[..], "this is Parquet, which is not imported: export again with --format jsonl or csv"),
        (b"\x1f\x8b", "this is compressed by gzip: `zcat FILE | dualaudit import -`"),
        (b"\x28\xb5\x2f\xfd", "this is compressed by zstd: `zstdcat FILE | dualaudit import -`"),
    ] {
        if head.starts_with(magic) {
            return Form::Other(what);
        }
    }
    let head = head.trim_ascii_start();
    let end = head.iter().position(|&byte| byte == b'\n');
    let line = &head[..end.unwrap_or(head.len())];
    match head.first() {
        None if is_whole => Form::Empty,
        None => Form::Other("this begins with more than 64 KiB of nothing"),
        // A first line longer than this may be a list that goes on for gigabytes.
        Some(b'{' | b'[') if end.is_none() => Form::Values,
        // The first line may be torn, and the others stand alone all the same.
        Some(b'{') if goes_on_in_lines(head, line.len()) => Form::Lines,
        Some(b'{' | b'[') => match serde_json::from_slice::<IgnoredAny>(line) {
            Err(error) if error.is_eof() => Form::Values,
            Ok(_) | Err(_) => Form::Lines,
        },
        Some(_) if is_header(line) => Form::Csv,
        Some(_) if line.trim_ascii_end().ends_with(b"}") && goes_on_in_lines(head, line.len()) => Form::Lines,
        Some(_) => Form::Yaml,
    }
}

/// Whether the line after the first is an object of its own.
fn goes_on_in_lines(head: &[u8], first: usize) -> bool {
    // A list or an object that is laid out breaks its lines there.
    if head[..first].trim_ascii_end().ends_with(b"[") || head[..first].trim_ascii_end().ends_with(b"{") {
        return false;
    }
    let Some(second) = head[first..].trim_ascii_start().split(|&byte| byte == b'\n').next() else {
        return false;
    };
    second.starts_with(b"{\"") && serde_json::from_slice::<IgnoredAny>(second).is_ok()
}

fn is_header(line: &[u8]) -> bool {
    let Ok(line) = str::from_utf8(line) else { return false };
    let mut names = line.split(',').map(|name| name.trim().trim_matches('"'));
    line.contains(',') && names.any(|name| name == "id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_told_by_what_a_file_begins_with() {
        for (head, expected) in [
            ("", Form::Empty),
            (" \n\n", Form::Empty),
            ("{\"id\": \"a\"}\n{\"id\"", Form::Lines),
            ("\n  {\"id\": \"a\"}\n", Form::Lines),
            ("{\"id\": a}\n{}", Form::Lines),
            ("{\"items\": [\n{\"id\": \"a\"}\n]}", Form::Values),
            ("{\"id\": \"torn\n{\"id\": \"a\"}\n", Form::Lines),
            ("rn\": 0}\n{\"id\": \"a\"}\n", Form::Lines),
            ("{\"id\": \"a\"}", Form::Values),
            ("{\n  \"id\": \"a\"\n}", Form::Values),
            ("[\n{}]", Form::Values),
            ("id,attempt,workflow_name\n", Form::Csv),
            ("\"log\",\"id\"\r\n", Form::Csv),
            ("apiVersion: v1\nitems: []\n", Form::Yaml),
            ("---\nid: a, b\n", Form::Yaml),
        ] {
            assert_eq!(form(head.as_bytes(), true), expected, "{head:?}");
        }
        for magic in [&b"PAR1\0\0"[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"] {
            assert!(matches!(form(magic, true), Form::Other(_)));
        }
    }

    #[test]
    fn nothing_of_a_file_is_lost_by_looking_but_a_byte_order_mark() {
        let text = format!("{{\n\"id\": \"{}\"}}", "x".repeat(100_000));
        let marked = format!("\u{feff}{text}");
        let (form, mut rest) = told_by_content(marked.as_bytes()).unwrap();
        let mut read = String::new();
        rest.read_to_string(&mut read).unwrap();
        assert_eq!(form, Form::Values);
        assert!(read == text);
    }
}
