//! Truths to begin with: change what is to be known of them.

use dualaudit_record::Time;

use super::truth::{Context, Step, Truth, Version, Workflow};

const ACTIONS: [&str; 6] = [
    "check-health",
    "cordon-node",
    "restart-deployment",
    "scale-deployment",
    "wait-for-rollout",
    "verify-endpoints",
];

impl Truth {
    /// Nothing ever changes: one workflow as good as another, nothing easier than anything else.
    pub fn steady(workflows: usize, days: u32, began: Time) -> Self {
        Self {
            began,
            days,
            workflows: (0..workflows).map(|at| Workflow::plain(&format!("workflow-{at}"), 1.0)).collect(),
            namespaces: Context::zipf("shop", 3),
            incident_types: Context::zipf("Incident", 4),
            target_kinds: Context::kinds(),
            storms: None,
            suited: 0.0,
            local: 0.0,
            cancelled: 0.0,
            deleted: 0.0,
        }
    }

    /// As large as fleets are: 200 workflows in 3 versions, 50 namespaces and 20 types of incidents, the second half
    /// as often as the first, the third a third as often (G. K. Zipf), over two years.
    pub fn large(began: Time) -> Self {
        let workflow = |at: usize| Workflow {
            success: 0.95 - 0.02 * (at % 12) as f64,
            median: 20.0 * (1 + at % 30) as f64,
            versions: (1..=3)
                .map(|version| Version::plain(&format!("v1.{version}.0"), 1.0 / f64::from(version)))
                .collect(),
            ..Workflow::plain(&format!("remediate-workflow-{at}"), 1.0 / (at + 1) as f64)
        };
        Self {
            workflows: (0..200).map(workflow).collect(),
            namespaces: Context::zipf("shop", 50),
            incident_types: Context::zipf("Incident", 20),
            suited: 0.5,
            local: 0.2,
            cancelled: 0.01,
            deleted: 0.002,
            ..Self::steady(1, 730, began)
        }
    }
}

impl Workflow {
    /// With six steps and one version, as good as most are.
    pub fn plain(name: &str, share: f64) -> Self {
        let step = |action: &str| Step { action: action.to_owned(), time: 1.0, breaks: 1.0, retries: 0.05 };
        Self {
            name: name.to_owned(),
            share,
            success: 0.9,
            median: 120.0,
            spread: 0.5,
            versions: vec![Version::plain("v1", 1.0)],
            steps: ACTIONS.into_iter().map(step).collect(),
            adjustments: Vec::new(),
            drifts: Vec::new(),
        }
    }
}

impl Version {
    /// As good as the workflow is.
    pub fn plain(name: &str, share: f64) -> Self {
        Self { name: name.to_owned(), share, success: 0.0, pace: 1.0 }
    }
}

impl Context {
    /// So many, each as often as its place in the list says: the second half as often as the first, and so on.
    pub fn zipf(name: &str, count: usize) -> Vec<Self> {
        (0..count)
            .map(|at| Self { name: format!("{name}-{at}"), share: 1.0 / (at + 1) as f64, ease: 0.0 })
            .collect()
    }

    fn kinds() -> Vec<Self> {
        [("Deployment", 0.7), ("StatefulSet", 0.2), ("Node", 0.1)]
            .into_iter()
            .map(|(name, share)| Self { name: name.to_owned(), share, ease: 0.0 })
            .collect()
    }
}
