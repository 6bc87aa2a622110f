//! Break glass for a whole namespace, from outside the controller and without a database.

use dualaudit_record::{digest::Digest, redact::redact_object};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::json;

use super::{Ledger, Released, execute::FIELD_MANAGER};
use crate::{
    clock::{Clock, entropy},
    source::{self, FINALIZER, annotation},
};

const PAGE: u32 = 500;
/// Writes of others met while one execution is let go.
const MOST_CONFLICTS: u32 = 20;

/// Lets every protected execution of `namespace` go: first the ledger, then the finalizer, and with
/// it the annotation that keeps the controller from putting it back. Answers how many.
///
/// # Errors
/// The API server's; what was let go until then is in the ledger.
pub async fn release_unrecorded(
    client: Client,
    ledger: &Ledger,
    clock: &dyn Clock,
    namespace: &str,
    reason: &str,
) -> Result<usize, kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &source::api_resource());
    let mut released = 0;
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = match api.list(&page).await {
            Ok(list) => list,
            // The list took too long to walk: begin it anew, what is released is passed over.
            Err(kube::Error::Api(status)) if status.code == 410 && page.continue_token.is_some() => {
                page = ListParams::default().limit(PAGE);
                continue;
            }
            Err(error) => return Err(error),
        };
        let protected = |object: &DynamicObject| source::observe(object, "", clock.now()).is_protected();
        let objects: Vec<_> = list.items.into_iter().filter(protected).collect();
        let entries: Vec<_> = objects.iter().map(|object| entry(object, clock, reason)).collect();
        ledger.write(&entries).await?;
        for object in objects {
            released += usize::from(release_one(&api, ledger, clock, object, reason).await?);
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(released),
        }
    }
}

/// Whether this execution, whose state is on the ledger, was let go; one that is not protected, or
/// went meanwhile, was not.
async fn release_one(
    api: &Api<DynamicObject>,
    ledger: &Ledger,
    clock: &dyn Clock,
    mut object: DynamicObject,
    reason: &str,
) -> Result<bool, kube::Error> {
    let mut conflicts = 0;
    loop {
        let observed = source::observe(&object, "", clock.now());
        if !observed.is_protected() {
            return Ok(false);
        }
        let finalizers: Vec<_> = observed.finalizers.iter().filter(|name| *name != FINALIZER).collect();
        let patch = json!({ "metadata": {
            "uid": observed.id,
            "resourceVersion": observed.resource_version,
            "finalizers": finalizers,
            "annotations": { annotation::RELEASE_UNRECORDED: reason },
        }});
        match api
            .patch_metadata(&observed.name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch))
            .await
        {
            Ok(_) => return Ok(true),
            Err(kube::Error::Api(status)) if status.is_conflict() && conflicts < MOST_CONFLICTS => {
                conflicts += 1
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        }
        match api.get_opt(&observed.name).await? {
            Some(present) if present.metadata.uid.as_ref() == Some(&observed.id) => object = present,
            _ => return Ok(false),
        }
        ledger.write(&[entry(&object, clock, reason)]).await?;
    }
}

/// The log's secret is in the database, which may be gone: secret values go into the digest under a
/// key that is thrown away.
fn entry(object: &DynamicObject, clock: &dyn Clock, reason: &str) -> Released {
    let observed = source::observe(object, "", clock.now());
    let mut state = serde_json::to_value(object).expect("an object is JSON");
    redact_object(&mut state, &entropy(), &observed.id);
    Released {
        id: observed.id,
        namespace: observed.namespace,
        name: observed.name,
        phase: observed.phase,
        started_at: observed.started_at,
        digest: Digest::sha256(state.to_string().as_bytes()),
        reason: reason.to_owned(),
        actor: None,
        released_at: clock.now(),
    }
}
