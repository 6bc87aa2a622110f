//! What the shipped roles give is what docs/access.md says.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::Value;

use super::Manifest;
use crate::source::default_window;

/// The columns of the table in docs/access.md.
const ROLES: [&str; 4] = ["operator", "reviewer", "producer", "auditor"];
/// What dualaudit's own account may besides what that table's roles may.
const OWN: [&str; 2] = ["release", "acknowledge"];

/// Resource and verb.
type Right = (String, String);

fn rules_of(manifest: Manifest, name: &str) -> Vec<PolicyRule> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&manifest.yaml(default_window())).unwrap();
    let is_it = |it: &&Value| it["kind"] == "ClusterRole" && it["metadata"]["name"] == name;
    let role = documents.iter().find(is_it).unwrap_or_else(|| panic!("{manifest:?} has no {name}"));
    serde_json::from_value::<ClusterRole>(role.clone()).unwrap().rules.unwrap()
}

/// What a role may of our group, but with the executions themselves.
fn rights_of(manifest: Manifest, name: &str) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules_of(manifest, name) {
        if rule.api_groups.unwrap_or_default() != ["dualaudit.dev"] {
            continue;
        }
        // The name of the log that producers send to; nothing else is named.
        let log = (name == "dualaudit-producer").then(|| vec!["http".to_owned()]);
        assert_eq!(rule.resource_names, log, "{name}");
        for resource in rule.resources.unwrap_or_default() {
            if resource != "workflowexecutions" {
                rights.extend(rule.verbs.iter().map(|verb| (resource.clone(), verb.clone())));
            }
        }
    }
    rights
}

/// The rows of the table: a right, and which roles have it.
fn documented() -> Vec<(Right, Vec<bool>)> {
    let text = include_str!("../../../../../docs/access.md");
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 8);
    let rows = rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let code = |cell: &str| cell.trim_matches('`').to_owned();
        let has = cells[3..].iter().map(|cell| {
            assert!(["yes", ""].contains(cell), "{line}");
            *cell == "yes"
        });
        ((code(cells[0]), code(cells[1])), has.collect())
    });
    rows.collect()
}

#[test]
fn the_roles_give_what_the_documentation_says_and_nothing_else() {
    let table = documented();
    assert!(table.len() >= 15, "{table:?}");
    for (column, role) in ROLES.iter().enumerate() {
        let said: BTreeSet<_> =
            table.iter().filter(|(_, has)| has[column]).map(|(right, _)| right.clone()).collect();
        assert_eq!(rights_of(Manifest::Roles, &format!("dualaudit-{role}")), said, "{role}");
    }
    let said = table.iter().filter(|(_, has)| !has.contains(&true)).map(|(right, _)| right.clone());
    let own: BTreeSet<_> = OWN.map(|verb| ("executionrecords".to_owned(), verb.to_owned())).into();
    assert_eq!(said.collect::<BTreeSet<_>>(), own);
    assert_eq!(rights_of(Manifest::Rbac, "dualaudit"), own);
}

#[test]
fn only_the_operator_may_write_to_executions_and_only_the_guard_asks_for_more() {
    for role in ROLES {
        let rules = rules_of(Manifest::Roles, &format!("dualaudit-{role}"));
        let of_executions = rules.iter().filter(|rule| {
            rule.resources
                .as_ref()
                .is_some_and(|resources| resources.contains(&"workflowexecutions".to_owned()))
        });
        let verbs: Vec<_> = of_executions.flat_map(|rule| &rule.verbs).collect();
        let expected: &[&str] = match role {
            "operator" => &["get", "list", "watch", "patch"],
            "producer" => &[],
            _ => &["get", "list", "watch"],
        };
        assert_eq!(verbs, expected, "{role}");
    }
    let guard = Manifest::Guard.yaml(default_window());
    for (_, asked) in guard.match_indices("check('").map(|(at, found)| (at, &guard[at + found.len()..])) {
        let verb = asked.split('\'').next().unwrap();
        assert!(documented().iter().any(|((_, known), _)| known == verb), "{verb}");
    }
}
