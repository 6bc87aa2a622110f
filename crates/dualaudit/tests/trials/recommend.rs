//! Ten workflows for the same incidents, some better than others, and what it costs to run the one that is recommended.

use std::ops::Range;

use dualaudit::{
    learn::recommend::{Recommendation, Recommended, Request},
    simulate::fleet::{Fleet, Of, Truth},
};

use super::{ask, began, each, given};

const WORKFLOWS: usize = 10;

/// What was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// Each workflow as often, in one place.
    Uniformly,
    /// The second half as often as the first, the third a third as often, in one place.
    Unevenly,
    /// Each as often, in three namespaces that differ a little in what suits them; it is asked for one of them.
    InSeveralPlaces,
}

/// Simple regret: by how much the true success of what is run falls short of that of the best there is, on average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Regret {
    /// Of what comes first in the answer.
    pub recommended: f64,
    /// Of what has the highest rate where it is asked for.
    pub by_rate: f64,
    /// Of any of them, by lot.
    pub by_lot: f64,
}

/// With `runs` a workflow, on average.
pub fn regret(logged: Logged, runs: u64, seeds: Range<u64>) -> Regret {
    let regrets = each(seeds, |seed| {
        let fleet = Fleet::new(truth(logged), WORKFLOWS as u64 * runs, seed);
        let true_rate = |workflow| {
            fleet.success(Of { workflow, version: 0, namespace: 0, incident_type: 0, target_kind: 0 }, 0)
        };
        let rates: Vec<f64> = (0..WORKFLOWS).map(true_rate).collect();
        let best = rates.iter().copied().fold(0.0, f64::max);
        let rate = |name: &str| {
            rates[fleet.truth().workflows.iter().position(|workflow| workflow.name == name).unwrap()]
        };
        let pairs = [
            ("incident_type", "Incident-0"),
            ("target_kind", "Deployment"),
            ("namespace", "shop-0"),
            ("limit", "10"),
        ];
        let Recommended { recommended, .. } = ask::<Request>(&given(&fleet), &fleet, &pairs);
        Regret {
            recommended: best - rate(&recommended[0].workflow),
            by_rate: best - rate(highest_rate(&recommended)),
            by_lot: best - rates.iter().sum::<f64>() / WORKFLOWS as f64,
        }
    });
    let mean = |of: fn(&Regret) -> f64| regrets.iter().map(of).sum::<f64>() / regrets.len() as f64;
    Regret {
        recommended: mean(|it| it.recommended),
        by_rate: mean(|it| it.by_rate),
        by_lot: mean(|it| it.by_lot),
    }
}

fn truth(logged: Logged) -> Truth {
    let mut truth = Truth::steady(WORKFLOWS, 28, began());
    truth.suited = 0.8;
    truth.workflows.iter_mut().for_each(|workflow| workflow.success = 0.75);
    truth.incident_types.truncate(1);
    truth.target_kinds.truncate(1);
    match logged {
        Logged::Uniformly => truth.namespaces.truncate(1),
        Logged::Unevenly => {
            truth.namespaces.truncate(1);
            for (place, workflow) in truth.workflows.iter_mut().enumerate() {
                workflow.share = 1.0 / (place + 1) as f64;
            }
        }
        Logged::InSeveralPlaces => truth.local = 0.3,
    }
    truth
}

/// What somebody would run who looks at rates alone; of several, the first by name.
fn highest_rate(all: &[Recommendation]) -> &str {
    let mut by_name: Vec<_> = all.iter().map(|it| (it.workflow.as_str(), it.narrow.success.rate)).collect();
    by_name.sort_by(|one, other| {
        other.1.unwrap_or(0.0).total_cmp(&one.1.unwrap_or(0.0)).then(one.0.cmp(other.0))
    });
    by_name[0].0
}
