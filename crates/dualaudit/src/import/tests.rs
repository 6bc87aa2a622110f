//! What files hold, as tables over their text.

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-06-01T12:00:00Z";

fn all(text: &str) -> Vec<Item> {
    let setting = Setting { cluster: Some("prod"), now: NOW.parse().unwrap() };
    let mut items = Vec::new();
    read(text.as_bytes(), setting, &mut |item| {
        items.push(item);
        ControlFlow::Continue(())
    })
    .unwrap();
    items
}

/// Each as `LINE NAME: what it is`.
fn told(text: &str) -> Vec<String> {
    let what = |content: &Content| match content {
        Content::Record(readied) => format!("record {}", readied.record.id),
        Content::Skipped(why) => format!("skipped {why:?}"),
        Content::Refused(reason) => format!("refused {reason}"),
    };
    all(text).iter().map(|item| format!("{} {}: {}", item.line, item.name, what(&item.content))).collect()
}

fn record(id: &str) -> Value {
    json!({
        "id": id, "remediation_id": "", "workflow_name": "restart", "workflow_version": "", "total_steps": 1,
        "steps_completed": 1, "steps_failed": 0, "total_duration": 1_000, "rollbacks_performed": 0,
        "step_executions": [], "adaptive_adjustments": null, "completed_at": "2026-05-01T10:00:00Z",
        "status": "completed",
    })
}

fn resource(name: &str, phase: &str) -> Value {
    json!({
        "apiVersion": "dualaudit.dev/v1alpha1", "kind": "WorkflowExecution",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "creationTimestamp": "2026-05-01T10:00:00Z",
        },
        "spec": {"workflow": {"name": "restart", "version": "v1"}, "steps": [{"number": 1, "action": "restart"}]},
        "status": {"phase": phase, "startTime": "2026-05-01T10:00:01Z", "completionTime": "2026-05-01T10:00:09Z"},
    })
}

#[test]
fn lines_stand_alone() {
    let text = format!("{}\n\n{{\"id\": \n{}\r\n[]\n7\n", record("a"), record("b"));
    let found = told(&text);
    assert_eq!(found[0], "1 a: record a");
    assert!(found[1].starts_with("3 : refused not JSON: EOF while parsing"), "{found:?}");
    assert_eq!(found[2], "4 b: record b");
    assert!(found[3].starts_with("6 : refused not JSON: invalid type: integer"), "{found:?}");
    assert_eq!(found.len(), 4);
}

#[test]
fn records_may_be_laid_out_and_listed_in_any_way() {
    let (a, b) = (record("a"), record("b"));
    for text in [
        serde_json::to_string_pretty(&json!([a, b])).unwrap(),
        format!("{a:#}\n{b:#}"),
        format!("{a:#}{b}"),
        json!([a, b]).to_string(),
        format!("{}\n", json!({"items": [a, b]})),
        format!("---\n{}---\n{}", yaml(&a), yaml(&b)),
    ] {
        let found: Vec<String> =
            told(&text).iter().map(|told| told.split_once(' ').unwrap().1.to_owned()).collect();
        assert_eq!(found, ["a: record a", "b: record b"], "{text}");
    }
}

#[test]
fn json_that_breaks_off_is_told_after_what_stood_before_it() {
    let found = told(&format!("[\n{},\n{},\n{{\"id\": tru", record("a"), record("b")));
    assert_eq!(found[..2], ["1 a: record a", "2 b: record b"]);
    assert!(found[2].starts_with("4 : refused not JSON: "), "{found:?}");
    assert!(found[2].ends_with("nothing of the file after this was read"), "{found:?}");
}

#[test]
fn a_list_larger_than_any_value_is_read_and_a_value_that_is_too_large_is_told() {
    let mut large = record("large");
    large["error_message"] = json!("x".repeat(1 << 20));
    let list = json!({"items": vec![&large; 20]});
    assert!(list.to_string().len() > MAX_VALUE_BYTES);
    assert_eq!(told(&list.to_string()).len(), 20);
    assert_eq!(told(&yaml(&list)).len(), 20);
    large["error_message"] = json!("x".repeat(MAX_VALUE_BYTES));
    for text in [
        format!("{}\n{large}\n{}", record("a"), record("b")),
        format!("---\n{}---\n{}---\n{}", yaml(&record("a")), yaml(&large), yaml(&record("b"))),
    ] {
        let found = told(&text);
        assert!(
            found[0].ends_with("record a") && found.last().unwrap().ends_with("record b"),
            "{}",
            found.len()
        );
        assert!(found[1].ends_with("refused has more than 16 MiB"));
    }
    let found = told(&format!("[{},\n{large}]", record("a")));
    assert!(found[1].contains("has more than 16 MiB; nothing of the file after this was read"));
}

#[test]
fn workflow_executions_are_mapped_and_those_that_run_skipped() {
    let ended = resource("ended", "Completed");
    let runs = resource("runs", "Executing");
    let mut nameless = resource("nameless", "Failed");
    nameless["metadata"].as_object_mut().unwrap().remove("uid");
    let other =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "shop"}});
    let mut broken = resource("broken", "Failed");
    broken["status"]["completionTime"] = json!("yesterday");
    let list = json!({"apiVersion": "v1", "items": [ended, runs, nameless, other, broken], "kind": "List",
                      "metadata": {"resourceVersion": ""}});
    for text in [list.to_string(), format!("{list:#}"), yaml(&list)] {
        let found: Vec<String> =
            told(&text).iter().map(|told| told.split_once(' ').unwrap().1.to_owned()).collect();
        assert_eq!(
            found[..4],
            [
                "shop/ended: record uid-ended",
                "shop/runs: skipped NotEnded",
                "shop/nameless: refused metadata.uid is missing, which is its id: import what the API server answers",
                "shop/x: refused is \"ConfigMap\" of \"v1\", and no WorkflowExecution of dualaudit.dev/v1alpha1",
            ],
            "{text}"
        );
        assert!(found[4].starts_with("shop/broken: refused status.completionTime: "), "{found:?}");
        assert_eq!(found.len(), 5);
    }
    let Content::Record(readied) = &all(&yaml(&list))[0].content else { panic!("it ended") };
    assert_eq!(readied.record.cluster.as_deref(), Some("prod"));
    let again =
        super::value::record(readied.json.clone(), 1, Setting { cluster: None, now: NOW.parse().unwrap() });
    assert_eq!(again, all(&yaml(&list))[0].content, "the wire form says the same");
}

#[test]
fn items_of_a_yaml_list_are_told_where_they_begin_and_harm_only_themselves() {
    let text = "\
apiVersion: v1
items:
# the first
- apiVersion: v1
  kind: ConfigMap
  metadata:
    name: a
  data:
    text: |
      - not an item
      items:

- {broken: [
- apiVersion: v1
  kind: Secret
kind: List
metadata:
  - deeper
---
apiVersion: v1
items: []
kind: List
---
# nothing
";
    let found = told(text);
    assert!(found[0].starts_with("4 a: refused is \"ConfigMap\""), "{found:?}");
    assert!(found[1].starts_with("13 : refused not YAML"), "{found:?}");
    assert!(found[2].starts_with("14 : refused is \"Secret\""), "{found:?}");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn the_last_item_of_a_yaml_list_that_breaks_off_is_not_taken() {
    let item = |name: &str| format!("- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: {name}\n");
    let items = format!("items:\n{}{}", item("a"), item("b"));
    let found = told(&format!("apiVersion: v1\n{items}"));
    assert!(found[0].starts_with("3 a: refused is \"ConfigMap\""), "{found:?}");
    assert!(found[1].starts_with("7 : refused the list has no kind"), "{found:?}");
    for whole in
        [format!("apiVersion: v1\n{items}kind: List\n"), format!("apiVersion: v1\nkind: List\n{items}")]
    {
        let found = told(&whole);
        assert!(found.len() == 2 && found[1].contains(" b: refused is"), "{found:?}");
    }
}

#[test]
fn items_are_those_of_a_list_and_of_nothing_else() {
    let mut with_items = record("a");
    with_items["items"] = json!([]);
    for text in [with_items.to_string(), "id: a\nitems:\nworkflow_name: b\n".to_owned()] {
        let Content::Refused(reason) = &all(&text)[0].content else { panic!("{text}") };
        assert!(reason.starts_with("it has items, and also "), "{reason}");
    }
}

#[test]
fn what_is_no_record_says_why() {
    for (text, reason) in [
        ("{\"id\": \"a\", \"steps\": 3}", "steps: "),
        ("{\"id\": \"a\", \"revision\": 1}", "revision: "),
        ("{\"leaf\": 3}", "no line of an export: "),
        ("PAR1", "this is Parquet"),
        ("id,workflow_name\na,b\n", "this CSV is no export"),
        ("just text", "not JSON: invalid type: string"),
    ] {
        let Content::Refused(found) = &all(text)[0].content else { panic!("{text}") };
        assert!(found.contains(reason), "{text}: {found}");
    }
    for text in ["", "\n\n", "[]", "{\"items\": []}", "null", "---\n---\n"] {
        assert_eq!(all(text), [], "{text:?}");
    }
}

#[test]
fn nothing_more_is_read_once_that_is_said() {
    let record = record("a");
    for text in [
        format!("{record}\n{record}\n{record}\n"),
        json!([record, record, record]).to_string(),
        yaml(&json!({"items": [record, record, record]})),
    ] {
        let setting = Setting { cluster: None, now: NOW.parse().unwrap() };
        let mut seen = 0;
        read(text.as_bytes(), setting, &mut |_| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!(seen, 2, "{text}");
    }
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap()
}
