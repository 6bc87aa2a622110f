use proptest::{collection, prelude::*};
use serde_json::{Value, json};

use super::{PREFIX, is_commitment, redact_object, redact_record};
use crate::testing::{plain_record, record};

const SECRET: [u8; 32] = [7; 32];

fn redacted(mut value: Value) -> Value {
    redact_object(&mut value, &SECRET, "uid-1");
    value
}

/// The value with every commitment written as `#`.
fn shape(mut value: Value) -> Value {
    match &mut value {
        Value::String(text) if is_commitment(text) => *text = "#".to_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| *item = shape(item.take())),
        Value::Object(members) => members.values_mut().for_each(|member| *member = shape(member.take())),
        _ => {}
    }
    value
}

#[test]
fn values_of_secret_names_are_replaced_and_nothing_else() {
    let table = [
        (json!({"password": "x", "user": "y"}), json!({"password": "#", "user": "y"})),
        (json!({"a": [{"apiToken": "x"}]}), json!({"a": [{"apiToken": "#"}]})),
        (json!({"token": 7, "secret": 1.5}), json!({"token": "#", "secret": "#"})),
        (json!({"credentials": {"a": {"b": 1}}}), json!({"credentials": "#"})),
        (json!({"tokens": ["a", "b"]}), json!({"tokens": "#"})),
        // Nothing to hide.
        (
            json!({"password": null, "token": "", "automountServiceAccountToken": false, "secret": {}}),
            json!({"password": null, "token": "", "automountServiceAccountToken": false, "secret": {}}),
        ),
        // Pairs of a name and a value.
        (
            json!({"env": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "HOST", "value": "h"}]}),
            json!({"env": [{"name": "DB_PASSWORD", "value": "#"}, {"name": "HOST", "value": "h"}]}),
        ),
        (
            json!({"params": [{"key": "api-token", "default": "x", "values": [1], "type": "string"}]}),
            json!({"params": [{"key": "api-token", "default": "#", "values": "#", "type": "string"}]}),
        ),
        (json!([{"name": "token", "value": {"a": 1}}]), json!([{"name": "token", "value": "#"}])),
        (json!([{"Name": "DB_PASSWORD", "Value": "x"}]), json!([{"Name": "DB_PASSWORD", "Value": "#"}])),
        (json!([{"KEY": "token", "vAlUeS": ["x"]}]), json!([{"KEY": "token", "vAlUeS": "#"}])),
        (
            json!([{"Key": "token", "name": "a", "Default": 1}]),
            json!([{"Key": "token", "name": "a", "Default": "#"}]),
        ),
        // References are evidence.
        (
            json!({"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}),
            json!({"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}),
        ),
        (
            json!({"volumes": [{"secret": {"secretName": "db"}}], "secretName": "db"}),
            json!({"volumes": [{"secret": "#"}], "secretName": "db"}),
        ),
        (json!({"someRef": {"token": "x"}}), json!({"someRef": {"token": "#"}})),
        (json!({"tokenRef": {"token": "x"}}), json!({"tokenRef": {"token": "#"}})),
        // But only what tells where the secret is.
        (
            json!({"secretKeyRef": {"name": "db", "key": "password", "namespace": "shop", "kind": "Secret",
                "apiVersion": "v1", "optional": false, "data": "x", "nested": {"a": ["x"]}}}),
            json!({"secretKeyRef": {"name": "db", "key": "password", "namespace": "shop", "kind": "Secret",
                "apiVersion": "v1", "optional": false, "data": "#", "nested": "#"}}),
        ),
        (
            json!({"tokenRef": {"name": {"plain": "x"}, "key": ["x"], "kind": 7, "optional": "x"}}),
            json!({"tokenRef": {"name": "#", "key": "#", "kind": "#", "optional": "#"}}),
        ),
        (
            json!({"tokenRef": {"name": r#"{"token":""}"#, "key": r#"{"a":1}"#}}),
            json!({"tokenRef": {"name": r#"{"token":""}"#, "key": r#"{"a":1}"#}}),
        ),
        (
            json!({"imagePullSecrets": [{"name": "registry", "auth": "x"}]}),
            json!({"imagePullSecrets": [{"name": "registry", "auth": "#"}]}),
        ),
        // Field names of server-side apply.
        (
            json!({"metadata": {"managedFields": [{"fieldsV1": {"f:password": {"f:x": {}}}}]}}),
            json!({"metadata": {"managedFields": [{"fieldsV1": {"f:password": {"f:x": {}}}}]}}),
        ),
        (
            json!({"spec": {"metadata": {"managedFields": {"password": "x"}}}}),
            json!({"spec": {"metadata": {"managedFields": {"password": "#"}}}}),
        ),
        (json!("password"), json!("password")),
        (json!(7), json!(7)),
    ];
    for (object, expected) in table {
        assert_eq!(shape(redacted(object.clone())), expected, "{object}");
    }
}

#[test]
fn json_inside_a_string_is_redacted_inside() {
    let last_applied = r#" {"spec": {"password": "hunter2", "n": 1}}"#;
    let object = redacted(json!({"metadata": {"annotations": {"last-applied": last_applied}}}));
    let text = object["metadata"]["annotations"]["last-applied"].as_str().unwrap();
    let inner: Value = serde_json::from_str(text).unwrap();
    assert_eq!(shape(inner), json!({"spec": {"password": "#", "n": 1}}));

    // Nothing secret in it: not a byte changes.
    for text in [r#"{ "a" : 1.0 }"#, "[ ]", "{not json", "[password]", "{\"password\""] {
        assert_eq!(redacted(json!([text])), json!([text]));
    }
}

#[test]
fn a_secret_hidden_behind_a_second_key_of_the_same_name_does_not_stay() {
    let object = redacted(json!([r#"{"password":"hunter2","password":""}"#]));
    assert_eq!(object, json!([r#"{"password":""}"#]));
}

#[test]
fn json_in_strings_in_strings_ends_somewhere() {
    let mut value = json!({"password": "hunter2"});
    for _ in 0..8 {
        value = json!({"a": value.to_string()});
    }
    let text = redacted(value).to_string();
    assert!(!text.contains("hunter2") && text.contains(PREFIX), "{text}");
}

#[test]
fn commitments_differ_by_value_place_execution_and_secret() {
    let of = |object: Value, secret: [u8; 32], id: &str| {
        let mut object = object;
        redact_object(&mut object, &secret, id);
        object.pointer("/a/token").or(object.pointer("/b/token")).unwrap().as_str().unwrap().to_owned()
    };
    let first = of(json!({"a": {"token": "x"}}), SECRET, "1");
    assert_eq!(first, of(json!({"a": {"token": "x"}, "c": 1}), SECRET, "1"));
    assert_ne!(first, of(json!({"a": {"token": "y"}}), SECRET, "1"));
    assert_ne!(first, of(json!({"b": {"token": "x"}}), SECRET, "1"));
    assert_ne!(first, of(json!({"a": {"token": "x"}}), SECRET, "2"));
    assert_ne!(first, of(json!({"a": {"token": "x"}}), [8; 32], "1"));
}

#[test]
fn a_commitment_is_the_documented_hmac() {
    // Computed with Python's hmac: key 07 * 32, message
    // b"dualaudit/redaction/v1\0uid-1\0/a~1b/token\0" + b'{"x":1}'
    let object = redacted(json!({"a/b": {"token": {"x": 1.0}}}));
    let expected = "redacted:hmac-sha256:8a6e4c232ff7e4b628fe74622be4915858774952943644f03848bd3994f6ec88";
    assert_eq!(object["a/b"]["token"], expected);
}

#[test]
fn integers_beyond_2_53_are_told_apart() {
    let of = |token: Value| redacted(json!({ "token": token }));
    assert_ne!(of(json!(9_007_199_254_740_993_u64)), of(json!(9_007_199_254_740_992_u64)));
    assert_ne!(of(json!([u64::MAX])), of(json!([u64::MAX - 1])));
    assert_ne!(of(json!({"a": i64::MIN})), of(json!({"a": i64::MIN + 1})));
}

#[test]
fn labels_under_secret_names_are_replaced() {
    let mut record = plain_record();
    record.labels = [("app", "shop"), ("api-token", "x"), ("secret", "")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    redact_record(&mut record, &SECRET);
    assert_eq!(record.labels["app"], "shop");
    assert_eq!(record.labels["secret"], "");
    let mut same = json!({"labels": {"api-token": "x"}});
    redact_object(&mut same, &SECRET, "wf-1");
    assert_eq!(same["labels"]["api-token"], record.labels["api-token"]);
}

fn object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z\"\\\\]{0,6}".prop_map(Value::from),
        Just(json!("HIDDEN")),
    ];
    let key = "(a|b~/|name|Name|value|Value|password|apiToken|secretKeyRef|imagePullSecrets|metadata|managedFields)";
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::btree_map(key, inner.clone(), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner.prop_map(|value| Value::String(value.to_string())),
        ]
    })
}

proptest! {
    #[test]
    fn redacting_twice_is_redacting_once(object in object()) {
        let once = redacted(object);
        prop_assert_eq!(redacted(once.clone()), once);
    }

    #[test]
    fn nothing_under_a_secret_name_stays(object in object()) {
        let object = redacted(json!({"spec": {"password": [object, "HIDDEN"]}}));
        prop_assert!(!object.to_string().contains("HIDDEN"));
    }

    #[test]
    fn redacting_a_record_twice_is_redacting_it_once(mut record in record(), value in "[a-z]{0,5}") {
        record.labels.insert("db-password".to_owned(), value);
        redact_record(&mut record, &SECRET);
        let once = record.clone();
        redact_record(&mut record, &SECRET);
        prop_assert_eq!(record, once);
    }
}
