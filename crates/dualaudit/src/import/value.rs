//! What one JSON value is, and what there is to record of it.

use dualaudit_record::{
    Entry, EntryKind, Submitted, WorkflowExecutionAudit,
    execution::{QUARANTINE_LABEL, ScoreSource},
    proof::Bundle,
    submitted::Invalid,
};
use kube::core::DynamicObject;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{Content, Readied, Setting, Skipped};
use crate::source::{self, State};

/// What tells the kinds of value apart.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shape {
    leaf: Option<IgnoredAny>,
    spec: Option<IgnoredAny>,
    metadata: Option<IgnoredAny>,
    kind: Option<Value>,
    api_version: Option<Value>,
    id: Option<Value>,
}

/// What a value is called, and what it is.
pub(super) fn told(json: &str, setting: Setting<'_>) -> (String, Content) {
    let shape: Shape = serde_json::from_str(json).unwrap_or_default();
    let is_object = shape.kind.is_some() && shape.api_version.is_some();
    if shape.leaf.is_some() {
        exported(json, setting)
    } else if is_object || (shape.metadata.is_some() && shape.spec.is_some()) {
        let (kind, version) = (shape.kind.unwrap_or_default(), shape.api_version.unwrap_or_default());
        object(json, is_object.then_some((kind, version)), setting)
    } else {
        let name = shape.id.as_ref().and_then(Value::as_str).unwrap_or_default();
        (name.chars().take(253).collect(), record(json.to_owned(), 1, setting))
    }
}

/// A record as a producer sends it.
pub(super) fn record(json: String, revision: u32, setting: Setting<'_>) -> Content {
    let valid = Submitted::from_json(json.as_bytes()).and_then(|submitted| submitted.validate(setting.now));
    match valid {
        Ok(record) => Content::Record(Box::new(Readied { record, json, revision })),
        Err(invalid) => Content::Refused(said(&invalid)),
    }
}

fn said(invalid: &Invalid) -> String {
    match invalid.is_malformed() {
        true => format!("not JSON: {}", invalid.rule),
        false => invalid.to_string(),
    }
}

/// A record as somebody would send it who knows it: without what is derived anew, and without what only dualaudit adds.
fn wire(mut record: WorkflowExecutionAudit) -> String {
    record.labels.remove(QUARANTINE_LABEL);
    let mut value = json!(record);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("score_source");
        if record.score_source == ScoreSource::Derived {
            fields.remove("effectiveness_score");
        }
    }
    value.to_string()
}

/// A line of an export: what it proves is checked as far as it can be without a key.
fn exported(json: &str, setting: Setting<'_>) -> (String, Content) {
    let bundle: Bundle = match serde_json::from_str(json) {
        Ok(bundle) => bundle,
        Err(error) => return (String::new(), Content::Refused(format!("no line of an export: {error}"))),
    };
    let name = bundle.leaf.execution_id.clone().unwrap_or_default();
    if bundle.leaf.kind != EntryKind::Execution {
        return (name, Content::Skipped(Skipped::OtherEntry));
    }
    if bundle.body.is_none() {
        return (name, Content::Skipped(Skipped::NoBody));
    }
    let content = match bundle.verify(&[]).map(|proved| proved.entry) {
        Ok(Some((Entry::Execution(stored), _))) => record(wire(stored.record), stored.revision, setting),
        Ok(_) => Content::Skipped(Skipped::OtherEntry),
        Err(error) => Content::Refused(format!("it was changed since it was exported: {error}")),
    };
    (name, content)
}

/// A Kubernetes object; its kind and version, where it says them.
fn object(json: &str, is: Option<(Value, Value)>, setting: Setting<'_>) -> (String, Content) {
    let ours = source::api_resource();
    let is_other = is.filter(|(kind, version)| kind != &ours.kind || version != &ours.api_version);
    let read = serde_json::from_str::<DynamicObject>(json);
    let name = read.as_ref().map_or_else(
        |_| String::new(),
        |object| {
            let parts = [&object.metadata.namespace, &object.metadata.name];
            parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/")
        },
    );
    if let Some((kind, version)) = is_other {
        let reason = format!("is {kind} of {version}, and no {} of {}", ours.kind, ours.api_version);
        return (name, Content::Refused(reason.chars().take(500).collect()));
    }
    let object = match read {
        Ok(object) => object,
        Err(error) => return (name, Content::Refused(format!("no Kubernetes object: {error}"))),
    };
    if object.metadata.uid.is_none() {
        let reason = "metadata.uid is missing, which is its id: import what the API server answers";
        return (name, Content::Refused(reason.to_owned()));
    }
    let observed = source::observe(&object, setting.cluster.unwrap_or_default(), setting.now);
    let content = match observed.state {
        State::Running => Content::Skipped(Skipped::NotEnded),
        State::Unmappable(reason) => Content::Refused(reason),
        State::Ended(mut mapped) => {
            mapped.cluster = setting.cluster.map(str::to_owned);
            record(wire(*mapped), 1, setting)
        }
    };
    (name, content)
}
