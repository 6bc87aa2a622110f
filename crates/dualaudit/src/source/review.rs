//! Verdicts as people write them on a resource: `effective`, `harmful: it took the wrong node`, or JSON.

use dualaudit_record::entry::{Verdict, unfit_note};
use serde::Deserialize;

/// What somebody who looked at an execution says of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Of the execution.
    pub verdict: Verdict,
    /// Why; may be empty.
    #[serde(default)]
    pub note: String,
}

/// Reads `VERDICT`, `VERDICT: NOTE` or `{"verdict", "note"}`.
///
/// # Errors
/// A sentence that says what was found and what is expected.
pub(super) fn judged(text: &str) -> Result<Judged, String> {
    const FORM: &str = "expected a verdict (effective, ineffective or harmful), with a note behind a colon if there is \
                        one, such as `harmful: it took the wrong node`";
    let refuse = |what: &str| {
        let shown: String = text.chars().take(64).collect();
        format!("{what}: {shown:?}; {FORM}")
    };
    let text = text.trim();
    let judged = if text.starts_with('{') {
        serde_json::from_str(text).map_err(|error| refuse(&format!("no verdict ({error})")))?
    } else {
        let (verdict, note) = text.split_once(':').unwrap_or((text, ""));
        let verdict = verdict.trim().parse().map_err(|_| refuse("no verdict"))?;
        Judged { verdict, note: note.trim().to_owned() }
    };
    match unfit_note(&judged.note) {
        None => Ok(judged),
        Some(rule) => Err(format!("the note {rule}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_as_people_write_them() {
        for (text, verdict, note) in [
            ("effective", Verdict::Effective, ""),
            (" harmful ", Verdict::Harmful, ""),
            ("harmful: it took the wrong node", Verdict::Harmful, "it took the wrong node"),
            ("ineffective:see https://wiki/4711", Verdict::Ineffective, "see https://wiki/4711"),
            ("effective:", Verdict::Effective, ""),
            (r#"{"verdict": "harmful", "note": "a\nb"}"#, Verdict::Harmful, "a\nb"),
            (r#"{"verdict": "effective"}"#, Verdict::Effective, ""),
        ] {
            assert_eq!(judged(text), Ok(Judged { verdict, note: note.to_owned() }), "{text}");
        }
    }

    #[test]
    fn what_is_no_verdict_says_what_was_found_and_what_is_expected() {
        for text in
            ["", "good", "Effective", "it was harmful", "{}", "{\"verdict\": \"good\"}", "{\"verdict\""]
        {
            let error = judged(text).unwrap_err();
            assert!(
                error.starts_with("no verdict") && error.contains("expected a verdict"),
                "{text}: {error}"
            );
        }
        assert_eq!(
            judged(&format!("harmful: {}", "x".repeat(4097))),
            Err("the note has more than 4096 bytes".into())
        );
        assert_eq!(judged("harmful: a\0b"), Err("the note holds U+0000".into()));
    }
}
