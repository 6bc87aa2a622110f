//! What a hold over many executions is said by, and whether it covers one.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::WorkflowExecutionAudit;

/// What executions must have in common; every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// What they set out to remediate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation_id: Option<String>,
    /// The workflow that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<String>,
    /// The namespace of their resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What their labels must meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Expression>))]
    pub labels: Vec<LabelRequirement>,
}

/// What a selector looks at of one revision of an execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What it set out to remediate; may be empty.
    pub remediation_id: String,
    /// The workflow that ran.
    pub workflow_name: String,
    /// The namespace of its resource.
    pub namespace: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl From<&WorkflowExecutionAudit> for Facts {
    fn from(record: &WorkflowExecutionAudit) -> Self {
        Self {
            remediation_id: record.remediation_id.clone(),
            workflow_name: record.workflow_name.clone(),
            namespace: record.namespace.clone(),
            labels: record.labels.clone(),
        }
    }
}

impl Selector {
    /// Whether nothing is asked for, so that it would cover everything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an execution with these facts is meant.
    pub fn covers(&self, facts: &Facts) -> bool {
        let is =
            |wanted: &Option<String>, found: Option<&String>| wanted.is_none() || wanted.as_ref() == found;
        is(&self.remediation_id, Some(&facts.remediation_id))
            && is(&self.workflow_name, Some(&facts.workflow_name))
            && is(&self.namespace, facts.namespace.as_ref())
            && self.labels.iter().all(|requirement| requirement.holds(&facts.labels))
    }
}

/// One requirement of a Kubernetes label selector, in JSON as `matchExpressions` has it:
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/>.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Expression", try_from = "Expression")]
pub enum LabelRequirement {
    /// `key=value`, `key in (a, b)`.
    In(String, Vec<String>),
    /// `key!=value`, `key notin (a, b)`; also holds when the key is absent.
    NotIn(String, Vec<String>),
    /// `key`.
    Exists(String),
    /// `!key`.
    Absent(String),
}

impl LabelRequirement {
    /// Whether these labels meet the requirement.
    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::Absent(key) => !labels.contains_key(key),
        }
    }
}

/// As a selector writes it.
impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(key, values) => match values.as_slice() {
                [value] => write!(f, "{key}={value}"),
                _ => write!(f, "{key} in ({})", values.join(",")),
            },
            Self::NotIn(key, values) => match values.as_slice() {
                [value] => write!(f, "{key}!={value}"),
                _ => write!(f, "{key} notin ({})", values.join(",")),
            },
            Self::Exists(key) => f.write_str(key),
            Self::Absent(key) => write!(f, "!{key}"),
        }
    }
}

/// A requirement as it is written.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = LabelRequirement))]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: Operator,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl From<LabelRequirement> for Expression {
    fn from(requirement: LabelRequirement) -> Self {
        let (operator, key, values) = match requirement {
            LabelRequirement::In(key, values) => (Operator::In, key, values),
            LabelRequirement::NotIn(key, values) => (Operator::NotIn, key, values),
            LabelRequirement::Exists(key) => (Operator::Exists, key, Vec::new()),
            LabelRequirement::Absent(key) => (Operator::DoesNotExist, key, Vec::new()),
        };
        Self { key, operator, values }
    }
}

impl TryFrom<Expression> for LabelRequirement {
    type Error = &'static str;

    fn try_from(Expression { key, operator, values }: Expression) -> Result<Self, &'static str> {
        match (operator, values.is_empty()) {
            (Operator::In, false) => Ok(Self::In(key, values)),
            (Operator::NotIn, false) => Ok(Self::NotIn(key, values)),
            (Operator::Exists, true) => Ok(Self::Exists(key)),
            (Operator::DoesNotExist, true) => Ok(Self::Absent(key)),
            (Operator::In | Operator::NotIn, true) => Err("In and NotIn need values"),
            (Operator::Exists | Operator::DoesNotExist, false) => {
                Err("Exists and DoesNotExist take no values")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_covers_what_all_its_parts_hold_of() {
        let facts = Facts {
            remediation_id: "rem-7".to_owned(),
            workflow_name: "restart".to_owned(),
            namespace: Some("shop".to_owned()),
            labels: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
        };
        let text = |text: &str| Some(text.to_owned());
        let team = |value: &str| LabelRequirement::In("team".to_owned(), vec![value.to_owned()]);
        for (selector, expected) in [
            (Selector { remediation_id: text("rem-7"), ..Selector::default() }, true),
            (Selector { remediation_id: text("rem-8"), ..Selector::default() }, false),
            (
                Selector { workflow_name: text("restart"), namespace: text("shop"), ..Selector::default() },
                true,
            ),
            (
                Selector { workflow_name: text("restart"), namespace: text("web"), ..Selector::default() },
                false,
            ),
            (Selector { labels: vec![team("payments")], ..Selector::default() }, true),
            (Selector { labels: vec![team("payments"), team("web")], ..Selector::default() }, false),
            (
                Selector { labels: vec![LabelRequirement::Absent("team".to_owned())], ..Selector::default() },
                false,
            ),
        ] {
            assert_eq!(selector.covers(&facts), expected, "{selector:?}");
        }
        let cluster_scoped = Facts { namespace: None, ..facts };
        assert!(!Selector { namespace: text("shop"), ..Selector::default() }.covers(&cluster_scoped));
    }

    #[test]
    fn a_requirement_is_written_as_kubernetes_writes_it() {
        let key = || "team".to_owned();
        let values = || vec!["a".to_owned(), "b".to_owned()];
        for (requirement, written) in [
            (
                LabelRequirement::In(key(), values()),
                json!({"key": "team", "operator": "In", "values": ["a", "b"]}),
            ),
            (
                LabelRequirement::NotIn(key(), values()),
                json!({"key": "team", "operator": "NotIn", "values": ["a", "b"]}),
            ),
            (LabelRequirement::Exists(key()), json!({"key": "team", "operator": "Exists"})),
            (LabelRequirement::Absent(key()), json!({"key": "team", "operator": "DoesNotExist"})),
        ] {
            assert_eq!(serde_json::to_value(&requirement).unwrap(), written);
            assert_eq!(serde_json::from_value::<LabelRequirement>(written).unwrap(), requirement);
        }
        for wrong in [
            json!({"key": "team", "operator": "In"}),
            json!({"key": "team", "operator": "Exists", "values": ["a"]}),
            json!({"key": "team", "operator": "Is", "values": ["a"]}),
        ] {
            assert!(serde_json::from_value::<LabelRequirement>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
