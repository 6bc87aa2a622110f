//! The admission policies: what the API server itself adds to executions as they are written, and what it refuses.
//!
//! They are templates beside this file, with the rules that match the watched kinds and the window of `dualaudit run` put
//! in. `deploy/policy.yaml` holds those that add, `deploy/guard.yaml` the one that refuses.

mod standing;

use jiff::SignedDuration;
use kube::core::ApiResource;

pub use standing::{Seen, Standing, guard, observe};

/// The policy that puts the finalizer on at creation, and its binding.
pub const RECORD: &str = "dualaudit-record";
/// The policy that stamps who set an annotation, and its binding.
pub const ACTOR: &str = "dualaudit-actor";
/// The policy that refuses what is not granted, and its binding.
pub const GUARD: &str = "dualaudit-guard";

/// The policies that add to executions of these kinds, as YAML.
pub fn policy_yaml(kinds: &[ApiResource]) -> String {
    fill(include_str!("admission/policy.yaml"), "policy", kinds, "")
}

/// The policy that refuses what is not granted on executions of these kinds, as YAML. Without a window of its own, an
/// execution has `window`, cut to the millisecond.
pub fn guard_yaml(kinds: &[ApiResource], window: SignedDuration) -> String {
    fill(include_str!("admission/guard.yaml"), "guard", kinds, &window_text(window))
}

/// A duration as both CEL and people read it: in the largest unit of which it is a whole number.
pub fn window_text(window: SignedDuration) -> String {
    let milliseconds = window.as_millis();
    let (length, unit) = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(length, _)| milliseconds % length == 0)
        .unwrap_or((1, "ms"));
    format!("{}{unit}", milliseconds / length)
}

/// Puts lines in where a template says so, as far in as it says so.
fn fill(template: &str, manifest: &str, kinds: &[ApiResource], window: &str) -> String {
    let mut filled = format!(
        "# Written by `dualaudit crd --only {manifest}`; edit crates/dualaudit/src/crd/admission/{manifest}.yaml instead.\n"
    );
    for line in template.lines() {
        let place = line.trim_start();
        let lines = match place {
            "{created}" => rules(kinds, &["CREATE"], false),
            "{written}" => rules(kinds, &["CREATE", "UPDATE"], true),
            "{stamps}" => include_str!("admission/stamps.yaml").lines().map(str::to_owned).collect(),
            _ => {
                filled += &line.replace("{window}", window);
                filled.push('\n');
                continue;
            }
        };
        let indent = &line[..line.len() - place.len()];
        filled.extend(lines.iter().map(|line| format!("{indent}{line}\n")));
    }
    filled
}

/// The `resourceRules` of these kinds, and of their status where some keep metadata that is written with it.
fn rules(kinds: &[ApiResource], operations: &[&str], with_status: bool) -> Vec<String> {
    let rule = |kind: &ApiResource| {
        let status = if with_status { format!(", {}/status", kind.plural) } else { String::new() };
        [
            format!("- apiGroups: [{}]", kind.group),
            format!("  apiVersions: [{}]", kind.version),
            format!("  resources: [{}{status}]", kind.plural),
            format!("  operations: [{}]", operations.join(", ")),
            "  scope: \"*\"".to_owned(),
        ]
    };
    kinds.iter().flat_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use kube::core::GroupVersionKind;
    use serde_json::Value;

    use super::*;
    use crate::source::{FINALIZER, annotation, kinds, parse_window};

    #[test]
    fn windows_are_written_as_both_sides_read_them() {
        for (written, text) in [
            ("24h", "24h"),
            ("1d", "24h"),
            ("90m", "90m"),
            ("15s", "15s"),
            ("1h 250ms", "3600250ms"),
            ("0s", "0h"),
        ] {
            assert_eq!(window_text(parse_window(written).unwrap()), text);
            assert_eq!(parse_window(text), parse_window(written));
        }
    }

    #[test]
    fn every_kind_that_is_watched_is_matched_with_its_status() {
        let another = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"),
            "workflows",
        );
        let kinds: Vec<_> = kinds().into_iter().chain([another]).collect();
        let window = SignedDuration::from_hours(1);
        for (yaml, many) in [(policy_yaml(&kinds), 2), (guard_yaml(&kinds, window), 1)] {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
            let rules: Vec<_> = documents
                .iter()
                .filter_map(|it| it.pointer("/spec/matchConstraints/resourceRules"))
                .collect();
            assert_eq!(rules.len(), many);
            let last = rules.last().unwrap();
            assert_eq!(last[0]["resources"][1], "workflowexecutions/status");
            assert_eq!(
                (&last[1]["apiGroups"][0], &last[1]["resources"][0]),
                (&"argoproj.io".into(), &"workflows".into())
            );
            assert!(!yaml.contains("{window}") && !yaml.contains("{written}"), "{yaml}");
        }
    }

    #[test]
    fn the_templates_name_our_finalizer_and_annotations() {
        let (policy, guard) = (policy_yaml(&kinds()), guard_yaml(&kinds(), SignedDuration::from_hours(24)));
        assert!(
            policy.contains(&format!("value: [\"{FINALIZER}\"]"))
                && guard.contains(&format!("'{FINALIZER}'"))
        );
        for key in annotation::STAMPED {
            assert!(policy.contains(&format!("'{key}'")) && guard.contains(&format!("'{key}'")), "{key}");
        }
        for key in [annotation::RECEIPT, annotation::RECORDED_AT] {
            assert!(guard.contains(&format!("'{key}'")), "{key}");
        }
        for ending in [annotation::ACTOR, annotation::OF] {
            assert!(
                policy.contains(&format!("'{ending}'")) && guard.contains(&format!("'{ending}'")),
                "{ending}"
            );
        }
    }
}
