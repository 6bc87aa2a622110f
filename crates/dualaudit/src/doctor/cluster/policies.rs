//! Whether the admission policies are in force, and what follows where they are not.

use jiff::SignedDuration;

use crate::{
    crd::admission::{self, ACTOR, GUARD, RECORD, Seen, Standing},
    doctor::Check,
};

/// The first minor version of Kubernetes 1 that has MutatingAdmissionPolicy without asking for it.
const ADDS_SINCE: u32 = 36;
/// The first that has ValidatingAdmissionPolicy.
const REFUSES_SINCE: u32 = 30;

/// One policy, and what is to be said of it.
struct Policy {
    check: &'static str,
    name: &'static str,
    /// The manifest that has it.
    manifest: &'static str,
    /// Its kind, as kubectl knows it.
    kind: &'static str,
    /// Which minor version has it first.
    since: u32,
    /// What it does.
    does: &'static str,
    /// What follows without it.
    without: &'static str,
}

const FINALIZER: Policy = Policy {
    check: "finalizer policy",
    name: RECORD,
    manifest: "policy",
    kind: "mutatingadmissionpolicy",
    since: ADDS_SINCE,
    does: "the API server puts the finalizer on at creation",
    without: "there is a moment after the creation of an execution in which it can vanish unseen",
};

const STAMPS: Policy = Policy {
    check: "actor policy",
    name: ACTOR,
    manifest: "policy",
    kind: "mutatingadmissionpolicy",
    since: ADDS_SINCE,
    does: "the API server stamps who set an annotation",
    without: "entries about reviews, holds, windows and break glass on resources say that their actor is unverified",
};

const GRANTS: Policy = Policy {
    check: "guard policy",
    name: GUARD,
    manifest: "guard",
    kind: "validatingadmissionpolicy",
    since: REFUSES_SINCE,
    does: "the API server refuses to take evidence away unless it is granted",
    without: "whoever may patch an execution may take its finalizer off, break glass, shorten its window and forge who \
              did, so entries about annotations say that their actor is unverified",
};

/// The checks of the policies of a cluster of this minor version, whose `dualaudit run` has this window.
pub(super) fn judge(seen: &Seen, minor: Option<u32>, window: SignedDuration) -> Vec<Check> {
    let mut checks: Vec<_> = [(FINALIZER, &seen.record), (STAMPS, &seen.actor), (GRANTS, &seen.guard)]
        .into_iter()
        .map(|(policy, standing)| judge_one(&policy, standing, minor))
        .collect();
    let ours = admission::window_text(window);
    if let (Standing::InForce { .. }, Some(theirs)) = (&seen.guard, &seen.window)
        && *theirs != ours
    {
        let found = format!("the policy {GUARD} holds windows to {theirs}, and `run` has {ours}");
        let remedy = format!(
            "run `dualaudit crd --only guard --window {ours} | kubectl apply -f -`, or give --window"
        );
        checks.pop();
        checks.push(Check::warning(GRANTS.check, found, remedy));
    }
    checks
}

fn judge_one(policy: &Policy, standing: &Standing, minor: Option<u32>) -> Check {
    let Policy { check, name, manifest, kind, since, does, without } = policy;
    if let Standing::InForce { .. } = standing {
        return Check::ok(check, *does);
    }
    if let Some(minor) = minor.filter(|minor| minor < since) {
        let found = format!("Kubernetes 1.{minor} has no such policy, 1.{since} does: {without}");
        // Nothing can be done here about what the controller makes up for a moment later.
        return if *name == RECORD {
            Check::ok(check, format!("{found}; the controller puts it on then"))
        } else {
            Check::warning(check, found, format!("update the cluster to 1.{since} or later"))
        };
    }
    let apply =
        format!("run `dualaudit crd --only {manifest} | kubectl apply -f -`, with --window if `run` has one");
    match standing {
        Standing::Missing("policy") => {
            Check::warning(check, format!("the policy {name} is not there, so {without}"), apply)
        }
        Standing::Missing(what) => Check::warning(
            check,
            format!("the {what} of the policy {name} is not there, so {without}"),
            apply,
        ),
        Standing::Altered(what) => {
            let what = if *what == "policy" { "" } else { "binding of the " };
            let found = format!(
                "the {what}policy {name} is not as this dualaudit generates it: it may be that {without}"
            );
            Check::warning(check, found, apply)
        }
        Standing::Unseen | Standing::InForce { .. } => {
            let found = "whether it is there cannot be seen: this account may not read policies";
            Check::warning(check, found, format!("as an administrator: kubectl get {kind} {name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::Verdict, source::default_window};

    fn judged(standing: &Standing, minor: Option<u32>, window: &str) -> Vec<Check> {
        let one = || standing.clone();
        let seen = Seen { record: one(), actor: one(), guard: one(), window: Some(window.to_owned()) };
        judge(&seen, minor, default_window())
    }

    #[test]
    fn policies_are_missed_where_the_cluster_could_have_them() {
        use Verdict::{Ok, Warning};
        let in_force = Standing::InForce { since: dualaudit_record::Time::from_micros(0).unwrap() };
        let missing = || Standing::Missing("policy");
        for (standing, minor, verdicts, says) in [
            (in_force, Some(36), [Ok, Ok, Ok], "unless it is granted"),
            (missing(), Some(36), [Warning; 3], "dualaudit-guard is not there"),
            (missing(), None, [Warning; 3], "dualaudit-guard is not there"),
            (missing(), Some(35), [Ok, Warning, Warning], "dualaudit-guard is not there"),
            (missing(), Some(29), [Ok, Warning, Warning], "Kubernetes 1.29 has no such policy, 1.30 does"),
            (
                Standing::Missing("binding"),
                Some(36),
                [Warning; 3],
                "the binding of the policy dualaudit-guard",
            ),
            (
                Standing::Altered("binding"),
                Some(36),
                [Warning; 3],
                "the binding of the policy dualaudit-guard",
            ),
            (Standing::Altered("policy"), Some(36), [Warning; 3], "not as this dualaudit generates it"),
            (Standing::Unseen, Some(36), [Warning; 3], "cannot be seen"),
        ] {
            let checks = judged(&standing, minor, "24h");
            let found: Vec<_> = checks.iter().map(|check| check.verdict).collect();
            assert_eq!(found, verdicts, "{standing:?} {minor:?}");
            assert!(checks[2].found.contains(says), "{:?}", checks[2]);
        }
    }

    #[test]
    fn a_guard_that_holds_to_another_window_is_warned_of() {
        let in_force = Standing::InForce { since: dualaudit_record::Time::from_micros(0).unwrap() };
        let checks = judged(&in_force, Some(36), "1h");
        assert_eq!((checks.len(), checks[2].verdict), (3, Verdict::Warning));
        assert!(checks[2].found.contains("holds windows to 1h, and `run` has 24h"), "{:?}", checks[2]);
    }
}
