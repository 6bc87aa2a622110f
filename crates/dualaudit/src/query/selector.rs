//! Label selectors, in the syntax of Kubernetes.
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>. Keys and
//! values may be any text without white space and without the characters `,()=!`.

use crate::store::LabelRequirement;

/// At most so many requirements, and so many values in one of them: each costs the database a test
/// a row.
const MAX_REQUIREMENTS: usize = 32;
const MAX_VALUES: usize = 100;

/// Reads a selector: requirements separated by commas, all of which must hold.
///
/// # Errors
/// A sentence that names the requirement that could not be read.
pub fn parse(text: &str) -> Result<Vec<LabelRequirement>, String> {
    let requirements = split(text)?;
    if requirements.len() > MAX_REQUIREMENTS {
        return Err(format!(
            "has {} requirements, at most {MAX_REQUIREMENTS} are allowed",
            requirements.len()
        ));
    }
    requirements.into_iter().map(requirement).collect()
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (position, character) in text.char_indices() {
        match character {
            '(' if inside => return Err("has a parenthesis within parentheses".into()),
            '(' => inside = true,
            ')' if !inside => return Err("closes a parenthesis that was not opened".into()),
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&text[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err("does not close a parenthesis".into());
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn requirement(text: &str) -> Result<LabelRequirement, String> {
    let unreadable = || {
        format!(
            "cannot be read at {text:?}: use key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
        )
    };
    let text = text.trim();
    if let Some(key) = text.strip_prefix('!') {
        return word(key).map(LabelRequirement::Absent).ok_or_else(unreadable);
    }
    // `!=` first: it holds the `=` that the next one looks for.
    if let Some((key, value)) = text.split_once("!=") {
        let (key, value) = word(key).zip(value_of(value)).ok_or_else(unreadable)?;
        return Ok(LabelRequirement::NotIn(key, vec![value]));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        let (key, value) = word(key).zip(value_of(value)).ok_or_else(unreadable)?;
        return Ok(LabelRequirement::In(key, vec![value]));
    }
    if let Some((head, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let mut head = head.split_whitespace();
        let (key, operator) = (head.next().and_then(word), head.next());
        let (key, operator) = key.zip(operator).filter(|_| head.next().is_none()).ok_or_else(unreadable)?;
        let values = set(values).ok_or_else(unreadable)?;
        if values.len() > MAX_VALUES {
            return Err(format!("has {} values for {key}, at most {MAX_VALUES} are allowed", values.len()));
        }
        return match operator {
            "in" => Ok(LabelRequirement::In(key, values)),
            "notin" => Ok(LabelRequirement::NotIn(key, values)),
            _ => Err(unreadable()),
        };
    }
    word(text).map(LabelRequirement::Exists).ok_or_else(unreadable)
}

/// The values between parentheses; `()` has none, which is an error, while `(,)` has two empty ones.
fn set(text: &str) -> Option<Vec<String>> {
    if text.trim().is_empty() {
        return None;
    }
    text.split(',').map(value_of).collect()
}

/// A key: a word that is not empty.
fn word(text: &str) -> Option<String> {
    value_of(text).filter(|word| !word.is_empty())
}

fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | '(' | ')' | '=' | '!');
    text.chars().all(plain).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{LabelRequirement::*, *};

    fn strings<const N: usize>(values: [&str; N]) -> Vec<String> {
        values.map(str::to_owned).to_vec()
    }

    #[test]
    fn each_form_of_a_requirement_is_read() {
        let read = parse("a=b,c!=d, e in (x, y),f notin (z),g,!h,app.k8s.io/name==web,i=,j in(k,)").unwrap();
        assert_eq!(
            read,
            [
                In("a".into(), strings(["b"])),
                NotIn("c".into(), strings(["d"])),
                In("e".into(), strings(["x", "y"])),
                NotIn("f".into(), strings(["z"])),
                Exists("g".into()),
                Absent("h".into()),
                In("app.k8s.io/name".into(), strings(["web"])),
                In("i".into(), strings([""])),
                In("j".into(), strings(["k", ""])),
            ]
        );
    }

    #[test]
    fn what_is_no_selector_is_an_error() {
        for text in [
            "",
            ",",
            "a,",
            "=b",
            "!=b",
            "!",
            "a b",
            "a=b=c",
            "a in",
            "a in ()",
            "a in (b",
            "a)",
            "a in ((b))",
            "a of (b)",
            "in (b)",
            "a in b (c)",
            "a=b c",
            "!a=b",
            "a in (b)c",
            "a(b)",
        ] {
            assert!(parse(text).is_err(), "{text:?} was read as {:?}", parse(text));
        }
    }

    #[test]
    fn a_selector_has_bounds() {
        assert!(parse(&["a"; 33].join(",")).unwrap_err().contains("at most 32"));
        assert!(parse(&format!("a in ({})", ["b"; 101].join(","))).unwrap_err().contains("at most 100"));
    }
}
