//! Who set an annotation and when, as far as the API server tells.

use dualaudit_record::{Time, entry::unfit_text};
use kube::core::ObjectMeta;

use super::annotation;

/// The user whom the API server stamped beside an annotation as having set it. It says the truth where the policy
/// `dualaudit-guard` was in force all the time since the object was created; elsewhere anybody can have written it.
pub fn stamp(metadata: &ObjectMeta, annotation: &str) -> Option<String> {
    let stamp = metadata.annotations.as_ref()?.get(&format!("{annotation}{}", annotation::ACTOR))?;
    unfit_text(stamp).is_none().then(|| stamp.clone())
}

/// The field manager that set an annotation last, and when, to the second. Nothing vouches for its name: clients choose it
/// themselves.
pub fn set_by(metadata: &ObjectMeta, annotation: &str) -> Option<(String, Option<Time>)> {
    let path = format!("/f:metadata/f:annotations/f:{}", annotation.replace('~', "~0").replace('/', "~1"));
    let entries = metadata.managed_fields.iter().flatten();
    let owning = entries
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&path).is_some()));
    let last = owning.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let time = last.time.as_ref().and_then(|time| Time::from_timestamp(time.0));
    Some((last.manager.clone()?, time))
}

/// When the attempt began that a review is on, as the status said it and the API server stamped it; `None` where none had
/// begun. It says the truth where [`stamp`] does.
pub fn stamped_start(metadata: &ObjectMeta) -> Option<&str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations.get(&format!("{}{}", annotation::REVIEW, annotation::OF)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_manager_that_set_an_annotation_last_is_told() {
        let entry = |manager: &str, time: &str, annotation: &str| {
            json!({
                "manager": manager, "operation": "Update", "apiVersion": "dualaudit.dev/v1alpha1", "time": time,
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, format!("f:{annotation}"): {}}}},
            })
        };
        let by = |entries: Value| {
            let metadata = serde_json::from_value(json!({"managedFields": entries})).unwrap();
            set_by(&metadata, annotation::REVIEW).map(|(by, at)| format!("{by} {}", at.unwrap()))
        };
        let early = entry("kubectl-annotate", "2026-03-01T10:00:00Z", annotation::REVIEW);
        let late = entry("jo", "2026-03-01T11:00:00Z", annotation::REVIEW);
        let other = entry("dualaudit", "2026-03-01T12:00:00Z", annotation::RECEIPT);
        assert_eq!(
            by(json!([early, other])).as_deref(),
            Some("kubectl-annotate 2026-03-01T10:00:00.000000Z")
        );
        assert_eq!(by(json!([late, early])).as_deref(), Some("jo 2026-03-01T11:00:00.000000Z"));
        assert_eq!(by(json!([other])), None);
        assert_eq!(set_by(&ObjectMeta::default(), annotation::REVIEW), None);
    }

    #[test]
    fn a_stamp_that_no_entry_can_hold_is_none() {
        let stamped = |actor: &str| {
            let metadata =
                serde_json::from_value(json!({"annotations": {"dualaudit.dev/hold-actor": actor}}));
            stamp(&metadata.unwrap(), annotation::HOLD)
        };
        assert_eq!(
            stamped("system:serviceaccount:shop:engine").as_deref(),
            Some("system:serviceaccount:shop:engine")
        );
        for unfit in ["", " ", &"x".repeat(4097)] {
            assert_eq!(stamped(unfit), None);
        }
        assert_eq!(stamp(&ObjectMeta::default(), annotation::HOLD), None);
    }
}
