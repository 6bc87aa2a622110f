//! Who set an annotation, as far as the API server tells.

use kube::core::ObjectMeta;

/// The field manager that set an annotation last. Nothing vouches for its name: clients choose it themselves.
pub fn set_by(metadata: &ObjectMeta, annotation: &str) -> Option<String> {
    let path = format!("/f:metadata/f:annotations/f:{}", annotation.replace('~', "~0").replace('/', "~1"));
    let entries = metadata.managed_fields.iter().flatten();
    let owning = entries
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&path).is_some()));
    owning.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?.manager.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::source::annotation;

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
            set_by(&metadata, annotation::REVIEW)
        };
        let early = entry("kubectl-annotate", "2026-03-01T10:00:00Z", annotation::REVIEW);
        let late = entry("jo", "2026-03-01T11:00:00Z", annotation::REVIEW);
        let other = entry("dualaudit", "2026-03-01T12:00:00Z", annotation::RECEIPT);
        assert_eq!(by(json!([early, other])).as_deref(), Some("kubectl-annotate"));
        assert_eq!(by(json!([late, early])).as_deref(), Some("jo"));
        assert_eq!(by(json!([other])), None);
        assert_eq!(set_by(&ObjectMeta::default(), annotation::REVIEW), None);
    }
}
