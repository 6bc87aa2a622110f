//! Examples of answers, as the API gave them: a test asks for each again, and writes them when it is told to.

use serde_json::Value;

/// Of each call its path, and what it answered.
macro_rules! examples {
    ($($call:ident: $path:literal),+ $(,)?) => {
        #[cfg(test)]
        pub(super) const ASKED: &[(&str, &str)] = &[$((stringify!($call), $path)),+];

        fn written(call: &str) -> Option<&'static str> {
            match call {
                $(stringify!($call) => Some(include_str!(concat!("examples/", stringify!($call), ".json"))),)+
                _ => None,
            }
        }
    };
}

examples! {
    listExecutions: "/api/v1/executions?limit=1",
    getExecution: "/api/v1/executions/run-1",
    getProof: "/api/v1/executions/run-1/proof",
    getDigests: "/api/v1/digests",
    listGaps: "/api/v1/gaps",
    getGap: "/api/v1/gaps/http/10",
    listQuarantine: "/api/v1/quarantine",
    getQuarantine: "/api/v1/quarantine/http/11",
    listHolds: "/api/v1/holds",
    getHold: "/api/v1/holds/http/9",
    learnWorkflows: "/api/v1/learn/workflows",
    learnSteps: "/api/v1/learn/steps?workflow=restart-deployment",
    learnAdjustments: "/api/v1/learn/adjustments?workflow=restart-deployment",
    learnCompare: "/api/v1/learn/compare?workflow=restart-deployment",
    learnRegressions: "/api/v1/learn/regressions",
    learnRecommend: "/api/v1/learn/recommend?incident_type=OOMKilled",
    learnVerdicts: "/api/v1/learn/verdicts",
}

/// What a call answers.
pub(super) fn of(call: &str) -> Option<Value> {
    written(call).map(|json| serde_json::from_str(json).expect("an example is JSON"))
}
