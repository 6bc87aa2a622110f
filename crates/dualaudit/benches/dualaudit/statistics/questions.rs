//! The answers that are asked for, as engines, dashboards and people ask for them.

use std::time::{Duration, Instant};

use dualaudit::{
    learn::{self, Ask, adjustments, compare, recommend, regressions, steps, verdicts, workflows},
    store::Store,
};
use dualaudit_record::{Time, WorkflowExecutionAudit};

/// What is asked for, which answer that is, and with which parameters; of an execution that was drawn at random, so what
/// is frequent comes more often.
pub(crate) type Question = (&'static str, &'static str, fn(&WorkflowExecutionAudit) -> Pairs);

type Pairs = Vec<(String, String)>;

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Pairs {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// What an engine knows when it asks what to try.
fn incident(of: &WorkflowExecutionAudit, since: &str) -> Pairs {
    let kind = of.target.as_ref().map_or("", |target| text(&target.kind));
    let (namespace, incident_type) = (text(&of.namespace), text(&of.incident_type));
    pairs([
        ("incident_type", incident_type),
        ("target_kind", kind),
        ("namespace", namespace),
        ("since", since),
    ])
}

fn workflow<const N: usize>(of: &WorkflowExecutionAudit, more: [(&str, &str); N]) -> Pairs {
    let mut asked = pairs([("workflow", of.workflow_name.as_str())]);
    asked.extend(pairs(more));
    asked
}

pub(crate) const QUESTIONS: [Question; 16] = [
    ("recommend, 90 days", "recommend", |of| incident(of, "90d")),
    ("recommend, a year", "recommend", |of| incident(of, "365d")),
    ("workflows, all, 28 days", "workflows", |_| pairs([])),
    ("workflows, all, 28 days, as series", "workflows", |_| pairs([("series", "true")])),
    ("workflows, all, 90 days", "workflows", |_| pairs([("since", "90d")])),
    ("workflows, all, a year", "workflows", |_| pairs([("since", "365d")])),
    ("workflows of a namespace, 28 days", "workflows", |of| pairs([("namespace", text(&of.namespace))])),
    ("one workflow by version, as series", "workflows", |of| {
        workflow(of, [("by", "version"), ("series", "true")])
    }),
    ("steps, 28 days", "steps", |of| workflow(of, [])),
    ("steps in a namespace, 28 days", "steps", |of| workflow(of, [("namespace", text(&of.namespace))])),
    ("adjustments, 28 days", "adjustments", |of| workflow(of, [])),
    ("compare versions, 28 days", "compare", |of| workflow(of, [])),
    ("compare periods of one workflow", "compare", |of| workflow(of, [("against_until", "28d")])),
    ("compare periods of all workflows", "compare", |_| pairs([])),
    ("regressions, 7 days", "regressions", |_| pairs([])),
    ("verdicts, 28 days", "verdicts", |_| pairs([])),
];

/// How long an answer takes, as JSON, and how many bytes it has.
pub(crate) async fn ask(
    store: &dyn Store,
    (_, answer, parameters): &Question,
    of: &WorkflowExecutionAudit,
    now: Time,
) -> (Duration, usize) {
    let pairs = parameters(of);
    match *answer {
        "workflows" => answered::<workflows::Request>(store, &pairs, now).await,
        "steps" => answered::<steps::Request>(store, &pairs, now).await,
        "adjustments" => answered::<adjustments::Request>(store, &pairs, now).await,
        "compare" => answered::<compare::Request>(store, &pairs, now).await,
        "regressions" => answered::<regressions::Request>(store, &pairs, now).await,
        "recommend" => answered::<recommend::Request>(store, &pairs, now).await,
        "verdicts" => answered::<verdicts::Request>(store, &pairs, now).await,
        other => unreachable!("there is no answer {other}"),
    }
}

async fn answered<A: Ask>(store: &dyn Store, pairs: &Pairs, now: Time) -> (Duration, usize) {
    let began = Instant::now();
    let asked = A::parse(pairs, now).expect("it can be asked");
    let answer = learn::ask(store, &asked, now).await.expect("an answer");
    let json = serde_json::to_vec(&answer).expect("it is JSON");
    let took = began.elapsed();
    assert!(answer.incomplete.is_empty(), "all of it is folded");
    (took, json.len())
}
