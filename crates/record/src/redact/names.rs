//! Which keys name a secret.

use serde_json::Value;

/// Found anywhere in a key once case and separators are gone.
const PARTS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "credential",
    "authorization",
    "privatekey",
    "apikey",
];
/// Too short for that: must be a word of their own, as in `DB_PASS`, `adminPwd`.
const WORDS: [&str; 3] = ["pass", "pwd", "creds"];

/// Whether a key names a password, token, secret, credential, authorization or private key.
///
/// Case and separators don't matter: `apiToken`, `API-TOKEN`, `api_token`. Nor does what stands
/// around the word, so `maxTokens` and `secretary` are redacted too: a value too many that is a
/// commitment can be lived with, a secret that is kept can't be taken back out of a log.
pub(super) fn is_secret(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect();
    PARTS.iter().any(|part| plain.contains(part))
        || (WORDS.iter().any(|word| plain.contains(word))
            && words(key).any(|word| WORDS.contains(&word.as_str())))
}

/// Whether a key that names a secret holds, in the shape Kubernetes gives it, only where that is:
/// the name under a `…SecretName`, the object under a `…Ref`, the objects in `imagePullSecrets`.
/// Those are evidence (which secret was used); [`is_part_of_reference`] says what of them.
pub(super) fn is_reference(key: &str, value: &Value) -> bool {
    let ends_with = |end: &str| key.to_ascii_lowercase().ends_with(end);
    match value {
        Value::String(text) => ends_with("secretname") && is_object_name(text),
        Value::Object(_) => ends_with("ref"),
        Value::Array(items) => key == "imagePullSecrets" && items.iter().all(Value::is_object),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether this member of a reference tells where the secret is, in the shape Kubernetes gives it.
pub(super) fn is_part_of_reference(key: &str, value: &Value) -> bool {
    match value {
        Value::String(_) => ["name", "key", "namespace", "kind", "apiVersion"].contains(&key),
        Value::Bool(_) => key == "optional",
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether a key gives the name of a pair.
pub(super) fn is_pair_name(key: &str) -> bool {
    ["name", "key"].iter().any(|name| key.eq_ignore_ascii_case(name))
}

/// Whether a key gives the value of a pair.
pub(super) fn is_pair_value(key: &str) -> bool {
    ["value", "values", "default"].iter().any(|value| key.eq_ignore_ascii_case(value))
}

/// A DNS subdomain, as names of Kubernetes objects are.
fn is_object_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}

/// The words of `snake_case`, `kebab-case`, `camelCase` and `CONSTANT_CASE`, in lower case.
fn words(key: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for char in key.chars() {
        if !char.is_alphanumeric() || (char.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if char.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(char.to_lowercase());
        }
        after_lower = char.is_lowercase();
    }
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_reference, is_secret};

    #[test]
    fn keys_that_name_a_secret_are_known_in_every_spelling() {
        for key in [
            "password",
            "Password",
            "DB_PASSWORD",
            "dbPassword",
            "postgres-password",
            "passwd",
            "ssh.passphrase",
            "DB_PASS",
            "adminPwd",
            "aws_creds",
            "token",
            "apiToken",
            "API-TOKEN",
            "access_token",
            "tokens",
            "secret",
            "clientSecret",
            "SECRET_KEY",
            "secretName",
            "credentials",
            "gcpCredential",
            "Authorization",
            "proxy-authorization",
            "private-key",
            "privateKey",
            "PRIVATE_KEY_PEM",
            "private key",
            "apiKey",
            "example.com/webhook-secret",
            "maxTokens",
        ] {
            assert!(is_secret(key), "{key}");
        }
    }

    #[test]
    fn other_keys_do_not() {
        for key in [
            "",
            "key",
            "publicKey",
            "name",
            "author",
            "compass",
            "passed",
            "bypass",
            "passive",
            "path",
            "authority",
            "partition",
            "keys",
            "annotations",
            "namespace",
            "env",
            "value",
        ] {
            assert!(!is_secret(key), "{key}");
        }
    }

    #[test]
    fn references_in_the_shape_of_kubernetes_are_no_secrets() {
        assert!(is_reference("secretName", &json!("db-credentials")));
        assert!(is_reference("tlsSecretName", &json!("tls.example.com")));
        assert!(is_reference("secretKeyRef", &json!({"name": "db", "key": "password"})));
        assert!(is_reference("tokenSecretRef", &json!({"name": "db"})));
        assert!(is_reference("imagePullSecrets", &json!([{"name": "registry"}])));

        assert!(!is_reference("secretName", &json!("S3cr3t!")));
        assert!(!is_reference("tokenRef", &json!("abc")));
        assert!(!is_reference("secret", &json!({"name": "db"})));
        assert!(!is_reference("imagePullSecrets", &json!(["abc"])));
        assert!(!is_reference("tokens", &json!([{"name": "db"}])));
    }
}
