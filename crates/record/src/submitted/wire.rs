//! Reading the wire form: what JSON may stand for which field, and errors that name the field.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, Unexpected, Visitor},
};
use serde_path_to_error::Segment;

use super::{Invalid, SERVER_FIELDS};
use crate::names::quoted;

/// What serde says of a field that the type doesn't have, and of one that came twice. Its errors are
/// text only; the tests below notice should the text ever change.
const UNKNOWN: &str = "unknown field `";
const DUPLICATE: &str = "duplicate field `";

/// The longest message passed on: serde quotes the value it found in full.
const MESSAGE_CHARS: usize = 300;

/// The error as one that names its field.
pub(super) fn invalid(error: serde_path_to_error::Error<serde_json::Error>) -> Invalid {
    let mut field = path(error.path().iter());
    let inner = error.into_inner();
    let message = inner.to_string();
    let malformed = !inner.is_data();
    let rule = if malformed {
        // A key that cannot be read is no place either.
        if field == Invalid::RECORD || field == "?" {
            field = Invalid::JSON.to_owned();
        }
        shortened(message)
    } else if message.starts_with(UNKNOWN) {
        if SERVER_FIELDS.contains(&field.as_str()) {
            "the server sets this field; leave it out".to_owned()
        } else {
            "unknown field".to_owned()
        }
    } else if let Some(name) = message.strip_prefix(DUPLICATE).and_then(|rest| rest.rsplit_once('`')) {
        field = match field.as_str() {
            Invalid::RECORD => name.0.to_owned(),
            "labels" => format!("labels[{}]", quoted(name.0)),
            parent => format!("{parent}.{}", name.0),
        };
        "given twice".to_owned()
    } else {
        shortened(message)
    };
    Invalid { malformed, ..Invalid::new(field, rule) }
}

/// `step_executions[2].duration`; keys that are free, or no identifier, in brackets and quotes.
fn path<'a>(segments: impl Iterator<Item = &'a Segment>) -> String {
    let mut path = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => path.push_str(&format!("[{index}]")),
            Segment::Map { key } if path == "labels" || !is_identifier(key) => {
                path.push_str(&format!("[{}]", quoted(key)));
            }
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Segment::Unknown => path.push('?'),
        }
    }
    if path.is_empty() { Invalid::RECORD.to_owned() } else { path }
}

fn is_identifier(key: &str) -> bool {
    (1..=64).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn shortened(message: String) -> String {
    match message.char_indices().nth(MESSAGE_CHARS) {
        None => message,
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}

/// A struct that is read from a JSON object only. serde would also take an array of its fields in
/// the order of their declaration, which is no part of the wire form.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

/// An object or `null`.
pub(super) fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0))
}

/// A list of objects; `null` is an empty one.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(list.unwrap_or_default().into_iter().map(|object| object.0).collect())
}

/// An integer or `null`; 3.0 is none.
pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Integer;
    impl<'de> Visitor<'de> for Integer {
        type Value = Option<i64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer below 2^63")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            let refused = |_| E::invalid_value(Unexpected::Unsigned(value), &self);
            i64::try_from(value).map(Some).map_err(refused)
        }
    }
    deserializer.deserialize_any(Integer)
}

/// A number or `null`.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    struct Number;
    impl<'de> Visitor<'de> for Number {
        type Value = Option<f64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }
        fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
            Ok(Some(value as f64))
        }
        fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(value as f64))
        }
    }
    deserializer.deserialize_any(Number)
}

/// An object of strings or `null`; a key that comes twice is an error, as it is for fields.
pub(super) fn labels<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Labels;
    impl<'de> Visitor<'de> for Labels {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object of strings")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut labels = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if labels.contains_key(&key) {
                    return Err(de::Error::custom(format_args!("{DUPLICATE}{key}`")));
                }
                labels.insert(key, value);
            }
            Ok(labels)
        }
    }
    deserializer.deserialize_any(Labels)
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_RECORD_BYTES, Submitted};
    use super::Invalid;

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        let table = [
            (r#"{"workflow":"x"}"#, "workflow: unknown field"),
            (r#"{"step_executions":[{},{"node":1}]}"#, "step_executions[1].node: unknown field"),
            (r#"{"a b":1}"#, r#"["a b"]: unknown field"#),
            (r#"{"(json)":1}"#, r#"["(json)"]: unknown field"#),
            (r#"{"target":{"uid":"x"}}"#, "target.uid: unknown field"),
            (r#"{"revision":1}"#, "revision: the server sets this field; leave it out"),
            (r#"{"recorded_at":null}"#, "recorded_at: the server sets this field; leave it out"),
            (r#"{"score_source":"reported"}"#, "score_source: the server sets this field; leave it out"),
            (r#"{"source_digest":""}"#, "source_digest: the server sets this field; leave it out"),
            (r#"{"step_executions":[{"revision":1}]}"#, "step_executions[0].revision: unknown field"),
            (r#"{"id":"a","id":"b"}"#, "id: given twice"),
            (r#"{"source":{"uid":"a","uid":"b"}}"#, "source.uid: given twice"),
            (r#"{"step_executions":[{"name":"a","name":"a"}]}"#, "step_executions[0].name: given twice"),
            (r#"{"labels":{"a/b":"1","a/b":"1"}}"#, r#"labels["a/b"]: given twice"#),
            (r#"{"labels":{"a":1}}"#, r#"labels["a"]: invalid type: integer `1`, expected a string"#),
            (r#"{"labels":[]}"#, "labels: invalid type: sequence, expected a JSON object"),
            (r#"{"id":7}"#, "id: invalid type: integer `7`, expected a string"),
            (r#"{"total_steps":"3"}"#, r#"total_steps: invalid type: string "3", expected an integer"#),
            (r#"{"total_steps":3.0}"#, "total_steps: invalid type: floating point `3.0`, expected an int"),
            (r#"{"total_duration":9223372036854775808}"#, "total_duration: invalid value: integer `92"),
            (
                r#"{"effectiveness_score":"1"}"#,
                "effectiveness_score: invalid type: string \"1\", expected a n",
            ),
            (r#"{"step_executions":[null]}"#, "step_executions[0]: invalid type: null, expected a JSON obj"),
            (r#"{"step_executions":{}}"#, "step_executions: invalid type: map, expected a sequence"),
            (
                r#"{"completed_at":"yesterday"}"#,
                "completed_at: not an RFC 3339 time with a zone, a year from 0001 to 9999 and at most nine \
                 decimals: \"yesterday\"",
            ),
            (r#"{"completed_at":1700000000}"#, "completed_at: invalid type: integer `1700000000`"),
            (r#"{"adaptive_adjustments":[{"timestamp":""}]}"#, "adaptive_adjustments[0].timestamp: not an"),
            (r#"["an-id",1]"#, "(record): invalid type: sequence, expected a JSON object"),
            ("7", "(record): invalid type: integer `7`, expected a JSON object"),
            (r#"{"step_executions":[["a"]]}"#, "step_executions[0]: invalid type: sequence, expected a JSON"),
            (r#"{"source":["v1","Job","u"]}"#, "source: invalid type: sequence, expected a JSON object"),
            (r#"{"target":[]}"#, "target: invalid type: sequence, expected a JSON object"),
            ("", "(json): EOF while parsing"),
            ("{", "(json): EOF while parsing"),
            ("{} {}", "(json): trailing characters at line 1 column 4"),
        ];
        for (json, expected) in table {
            let error = Submitted::from_json(json.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{json}\n{error}\n{expected}");
            assert_eq!(error.is_malformed(), expected.starts_with("(json)"));
            if let Ok(value) = serde_json::from_str(json)
                && !expected.ends_with("given twice")
            {
                let error = Submitted::from_value(value).unwrap_err();
                assert!(error.to_string().starts_with(expected), "{json}\n{error}\n{expected}");
            }
        }
    }

    #[test]
    fn what_no_json_can_hold_is_malformed_and_named_with_its_place() {
        for (json, field) in [
            (r#"{"id":"\ud800"}"#, "id"),
            (r#"{"labels":{"a":"\udc00\ud800"}}"#, r#"labels["a"]"#),
            (r#"{"step_executions":[{},{"action":"\ud800x"}]}"#, "step_executions[1].action"),
            (r#"{"\ud800":1}"#, "(json)"),
            (r#"{"effectiveness_score":1e999}"#, "effectiveness_score"),
            (r#"{"total_steps":-1e999}"#, "total_steps"),
            (r#"{"id":"#, "id"),
        ] {
            let error = Submitted::from_json(json.as_bytes()).unwrap_err();
            assert!(error.is_malformed() && error.field == field, "{json}\n{error:?}");
        }
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let json = r#"{"id":null,"attempt":null,"effectiveness_score":null,"step_executions":null,
            "adaptive_adjustments":null,"completed_at":null,"source":null,"labels":null,"outcome":null}"#;
        assert_eq!(Submitted::from_json(json.as_bytes()), Ok(Submitted::default()));
        assert_eq!(Submitted::from_value(serde_json::from_str(json).unwrap()), Ok(Submitted::default()));
    }

    #[test]
    fn json_that_is_too_large_is_not_even_read() {
        let error = Submitted::from_json(&vec![b'['; MAX_RECORD_BYTES + 1]).unwrap_err();
        assert_eq!(error.to_string(), "(record): has 2097153 bytes of JSON; at most 2097152 are taken");
    }

    #[test]
    fn deep_json_is_an_error_and_not_a_crash() {
        let error = Submitted::from_json(&[b'['; 1_000_000]).unwrap_err();
        assert_eq!(error.field, Invalid::RECORD);
        let deep = [br#"{"labels":{"a":"#.as_slice(), &[b'['; 1_000_000]].concat();
        let error = Submitted::from_json(&deep).unwrap_err();
        assert_eq!(error.field, r#"labels["a"]"#);
    }

    #[test]
    fn errors_stay_short_whatever_was_sent() {
        let long = "x".repeat(100_000);
        for json in [
            format!(r#"{{"{long}":1}}"#),
            format!(r#"{{"total_steps":"{long}"}}"#),
            format!(r#"{{"completed_at":"{long}"}}"#),
            format!(r#"{{"labels":{{"{long}":1}}}}"#),
            format!(r#"{{"labels":{{"{long}":"","{long}":""}}}}"#),
        ] {
            let error = Submitted::from_json(json.as_bytes()).unwrap_err();
            assert!(error.to_string().len() < 600, "{error}");
        }
    }
}
