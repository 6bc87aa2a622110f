//! Durations as people write them: `24h`, `90m`, `7d`, `1h30m`.

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// How long a finished resource stays for review, unless the operator or the resource says otherwise.
pub const DEFAULT_WINDOW: &str = "24h";

/// [`DEFAULT_WINDOW`], read.
pub fn default_window() -> SignedDuration {
    parse_window(DEFAULT_WINDOW).expect("a test reads it")
}

/// Reads a review window: units from weeks to nanoseconds, a day being 24 hours; not negative.
///
/// # Errors
/// A sentence that says what was found and what is expected.
pub fn parse_window(text: &str) -> Result<SignedDuration, String> {
    let refuse = |what: &str| {
        let shown: String = text.chars().take(64).collect();
        format!("{what}: {shown:?}; expected a duration such as 24h, 90m, 7d or 1h30m")
    };
    // Weeks and days have a fixed length only by decree; months and years not even so.
    let duration = text
        .trim()
        .parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .map_err(|_| refuse("not a duration"))?;
    if duration.is_negative() { Err(refuse("a negative duration")) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("24h", 86_400),
            ("90m", 5_400),
            ("7d", 604_800),
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            ("2w", 1_209_600),
            ("1.5h", 5_400),
            ("0s", 0),
            (" 24h ", 86_400),
            ("PT24H", 86_400),
            ("2 hours", 7_200),
        ] {
            assert_eq!(parse_window(text), Ok(SignedDuration::from_secs(seconds)), "{text}");
        }
        assert_eq!(default_window(), SignedDuration::from_hours(24));
        assert_eq!(parse_window("250ms"), Ok(SignedDuration::from_millis(250)));
    }

    #[test]
    fn a_window_that_is_none_says_what_was_found_and_what_is_expected() {
        for text in ["", "24", "h", "1mo", "1y", "forever", "inf", "NaN", "99999999999999999999h", "24h\u{0}"]
        {
            let error = parse_window(text).unwrap_err();
            assert!(error.starts_with("not a duration: "), "{text}: {error}");
            assert!(error.ends_with("expected a duration such as 24h, 90m, 7d or 1h30m"), "{error}");
        }
        for text in ["-1h", "1h ago"] {
            assert!(parse_window(text).unwrap_err().starts_with("a negative duration: "), "{text}");
        }
        assert!(parse_window(&"9".repeat(100_000)).unwrap_err().len() < 200);
    }
}
