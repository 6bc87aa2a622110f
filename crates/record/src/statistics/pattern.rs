//! What messages have in common: the same words, once what differs from run to run is folded out.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The version of the rules. Patterns of another version are other patterns.
pub const RULES: u32 = 1;

/// Characters of a pattern; the rest is cut off.
const MAX_CHARS: usize = 200;

/// Characters of a message that are looked at: every append waits for this.
const LOOKED_AT: usize = 2_000;

/// What stays although it has a number in it: codes tell errors apart.
const KEPT: &str = "kept";
/// A word with a digit or a slash in it, which is looked at once more.
const WORD: &str = "word";

/// What is folded; of what fits at a place, the first.
const RULE_OF: [(&str, &str); 8] = [
    (
        KEPT,
        r"(?i)\b(?:exit code|exit status|status code|status|code|signal|HTTP(?:/\d(?:\.\d)?)?)[ :=]+\d{1,3}\b",
    ),
    ("quoted", r#""[^"]*"|`[^`]*`|\B'[^']*'\B"#),
    ("url", r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s,;)\]}>]+"),
    ("email", r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\b"),
    ("uuid", r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
    (
        "time",
        r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d\b)?)?|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b",
    ),
    ("address", r"\b\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d+)?\b|(?i:\b(?:[0-9a-f]{1,4}:){3,7}:?[0-9a-f]{1,4}\b)"),
    (WORD, r"[\w.-]+(?:/[\w.:@-]+)+|[\w.:@/-]*\d[\w.:@/-]*"),
];

static FOLDED: LazyLock<Regex> = LazyLock::new(|| {
    let parts = RULE_OF.map(|(name, rule)| format!("(?P<{name}>{rule})"));
    Regex::new(&parts.join("|")).expect("the rules are regular expressions")
});

static QUANTITY: LazyLock<Regex> = LazyLock::new(|| {
    let rule = r"^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+$|^\d+(?:\.\d+)?(?:[kKMGTPE]i?B?|B|cpu)$";
    Regex::new(rule).expect("the rule is a regular expression")
});

/// The pattern of a message: what is quoted, addresses, ids, times, quantities, numbers and names as `<…>`, white space
/// as one blank, and no more than 200 characters. Of an empty message, an empty one.
///
/// A name is whatever has a digit or a slash in it and is nothing else. Codes of exits and of HTTP stay as they are.
pub fn pattern(message: &str) -> String {
    let message = beginning(message, LOOKED_AT);
    if !message.bytes().any(may_be_folded) {
        return shortened(message);
    }
    let folded = FOLDED.replace_all(message, |found: &Captures<'_>| {
        let (name, _) = RULE_OF.iter().find(|(name, _)| found.name(name).is_some()).expect("one was found");
        match (*name, &found[0]) {
            (KEPT, kept) => kept.to_owned(),
            (WORD, word) => word_pattern(word),
            (name, _) => format!("<{name}>"),
        }
    });
    shortened(&folded)
}

/// Whether any rule has something to fold where there is such a byte. Most messages have none, and appends wait.
fn may_be_folded(byte: u8) -> bool {
    byte.is_ascii_digit()
        || matches!(byte, b'"' | b'`' | b'\'' | b'/' | b'@' | b':' | b'-')
        || !byte.is_ascii()
}

fn shortened(folded: &str) -> String {
    let pattern = folded.split_whitespace().collect::<Vec<_>>().join(" ");
    match beginning(&pattern, MAX_CHARS) {
        short if short.len() < pattern.len() => format!("{short}…"),
        _ => pattern,
    }
}

fn beginning(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}

/// A word may begin and end in marks of the sentence.
fn word_pattern(word: &str) -> String {
    const MARKS: [char; 5] = ['.', ':', '-', '/', '@'];
    let end = word.trim_end_matches(MARKS);
    let core = end.trim_start_matches(MARKS);
    let name = match () {
        () if core.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-') => "<number>",
        () if QUANTITY.is_match(core) => "<quantity>",
        () => "<name>",
    };
    format!("{}{name}{}", &end[..end.len() - core.len()], &word[end.len()..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_folded_out() {
        for (message, expected) in [
            ("", ""),
            ("  quota   exceeded\n\tagain ", "quota exceeded again"),
            (r#"deployments.apps "web" not found"#, "deployments.apps <quoted> not found"),
            ("can't pull image 'registry/web:1.2' now", "can't pull image <quoted> now"),
            ("pod web-7f9d6c5b8-x2x4z is not ready", "pod <name> is not ready"),
            ("pod shop/web: back-off", "pod <name>: back-off"),
            ("timed out after 1m30s", "timed out after <quantity>"),
            ("needs 512Mi, has 64.5Mi.", "needs <quantity>, has <quantity>."),
            ("2 of 3 replicas, 66.6 %", "<number> of <number> replicas, <number> %"),
            ("dial tcp 10.0.0.7:5432: connection refused", "dial tcp <address>: connection refused"),
            ("dial tcp [fe80::1:2:3:4]:80: refused", "dial tcp [<name>]:<number>: refused"),
            ("at 2026-11-28T09:00:00.5Z and 09:00:01", "at <time> and <time>"),
            ("uid 5f0c2c6e-0f55-4a0e-9d0c-0f2f2f1f8a11 is gone", "uid <uuid> is gone"),
            ("Get https://10.0.0.1:6443/api?x=1, EOF", "Get <url>, EOF"),
            ("mail to jane.doe@example.org bounced", "mail to <email> bounced"),
            ("sha256:0123456789abcdef differs", "<name> differs"),
            ("exit code 137", "exit code 137"),
            ("unexpected status 503 after 3 tries", "unexpected status 503 after <number> tries"),
        ] {
            assert_eq!(pattern(message), expected, "{message}");
        }
    }

    #[test]
    fn a_long_message_is_cut_off_between_characters() {
        let cut = pattern(&"é".repeat(1000));
        assert_eq!(cut.chars().count(), MAX_CHARS + 1);
        assert!(cut.ends_with('…'));
    }

    proptest! {
        #[test]
        fn a_message_that_is_not_looked_at_closely_has_nothing_to_fold(message in "[a-zA-Z .,;()\\[\\]_+%=!?\n]{0,60}") {
            prop_assert!(!FOLDED.is_match(&message));
        }

        #[test]
        fn numbers_make_no_other_pattern(before in "[a-z ]{0,20}", some: u32, other: u32) {
            let message = |number| pattern(&format!("{before} {number} tries left"));
            prop_assert_eq!(message(some), message(other));
        }

        #[test]
        fn whatever_is_sent_has_a_pattern(message in ".{0,400}") {
            prop_assert!(pattern(&message).chars().count() <= MAX_CHARS + 1);
        }
    }
}
