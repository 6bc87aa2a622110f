//! Whether what stands on a resource about who wrote it can be believed.

use std::time::Duration;

use dualaudit_record::Time;
use kube::Client;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    crd::admission::{self, GUARD, Standing},
    source,
};

/// For so long an answer of the API server counts.
const FRESH: Duration = Duration::from_secs(5);
/// So long after a policy was written every API server of a cluster has it: each reads policies once a second.
const SPREAD_MICROS: i64 = 10_000_000;

/// Knows whether the policy is in force that lets nobody write a stamp but the API server, or by its leave.
pub(super) struct Vouching {
    client: Client,
    seen: Mutex<Option<(Instant, Standing)>>,
}

impl Vouching {
    pub(super) fn new(client: Client) -> Self {
        Self { client, seen: Mutex::new(None) }
    }

    /// Whether a stamp on an object of this age is true. On one that was there before the policy, or before somebody
    /// wrote to the policy last, anybody can have written it.
    ///
    /// # Errors
    /// When the API server does not say: then nothing should be made of it, one way or the other.
    pub(super) async fn vouches_for(&self, created_at: Option<Time>) -> Result<bool, kube::Error> {
        Ok(covers(&self.standing().await?, created_at))
    }

    /// How it is with the policy. A change of that is logged.
    ///
    /// # Errors
    /// When the API server does not say.
    pub(super) async fn standing(&self) -> Result<Standing, kube::Error> {
        let mut seen = self.seen.lock().await;
        if let Some((at, standing)) = &*seen
            && at.elapsed() < FRESH
        {
            return Ok(standing.clone());
        }
        let standing = admission::guard(&self.client, &source::kinds()).await?;
        if seen.as_ref().is_none_or(|(_, before)| *before != standing) {
            say(&standing);
        }
        *seen = Some((Instant::now(), standing.clone()));
        Ok(standing)
    }
}

fn covers(standing: &Standing, created_at: Option<Time>) -> bool {
    match (standing, created_at) {
        (Standing::InForce { since }, Some(created_at)) => {
            created_at >= since.saturating_add_micros(SPREAD_MICROS)
        }
        _ => false,
    }
}

fn say(standing: &Standing) {
    const SO: &str = "entries about what people write on resources say that their actor is unverified; \
                      `dualaudit doctor` says more";
    match standing {
        Standing::InForce { since } => tracing::info!(%since, "the admission policy {GUARD} is in force"),
        Standing::Missing(what) => {
            tracing::warn!("the {what} of the admission policy {GUARD} is not there: {SO}")
        }
        Standing::Altered(what) => {
            tracing::warn!("the {what} of the admission policy {GUARD} was altered: {SO}")
        }
        Standing::Unseen => {
            tracing::warn!("the admission policy {GUARD} cannot be seen by this account: {SO}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_created_after_the_policy_came_into_force_is_believed() {
        let at = |seconds: i64| Time::from_micros(1_700_000_000_000_000 + seconds * 1_000_000);
        let in_force = Standing::InForce { since: at(0).unwrap() };
        for (standing, created_at, is_believed) in [
            (&in_force, at(-3600), false),
            (&in_force, at(9), false),
            (&in_force, at(10), true),
            (&in_force, None, false),
            (&Standing::Missing("binding"), at(10), false),
            (&Standing::Altered("policy"), at(10), false),
            (&Standing::Unseen, at(10), false),
        ] {
            assert_eq!(covers(standing, created_at), is_believed, "{standing:?} {created_at:?}");
        }
    }
}
