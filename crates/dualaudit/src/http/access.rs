//! Who sends a request, and what of it they may do.
//!
//! Every call under `/api/v1` is somebody's: [`identify`] lets in nobody else. What they may do is asked for what a call is
//! about ([`Caller`]), and stores are handed out that have only what they may read.

mod door;
mod lasting;

use std::sync::{Arc, atomic::AtomicBool};

use axum::{extract::FromRequestParts, http::request::Parts};
use dualaudit_record::{EntryKind, entry::Covers};
use futures::{FutureExt as _, future::BoxFuture};

use super::{
    Api,
    problem::{Kind, Problem},
    said::Actor,
    trail::{Hiding, Refused},
};
use crate::{
    access::{
        AccessError, Act, Asked, Asking, Guard, Hidden, Permits as _, Reach, Resource, Scoped, User, Verb,
    },
    live::Board,
    query::{self, Detail, GetError, SharedStore, Sides, Wanted},
};

pub(super) use door::{Door, identify};

/// Who sends a request.
#[derive(Clone)]
pub(super) struct Caller {
    /// `None` where nobody is asked who they are.
    known: Option<(Arc<Guard>, Arc<User>)>,
    /// What they showed.
    token: Arc<str>,
    /// What they asked for and are not told of.
    hiding: Hiding,
    /// They go on reading, and it is looked at again and again what they may.
    is_lasting: bool,
}

/// What somebody may read, for one call.
pub(super) struct Seen {
    /// What is recorded, without the rest.
    pub(super) store: SharedStore,
    /// What that is; `None` where it is all there is.
    pub(super) reach: Option<Arc<Reach>>,
    live: Option<Arc<Board>>,
}

impl Seen {
    /// Whether what is live of it is among that, of one execution.
    pub(super) fn has_live(&self) -> bool {
        self.live.is_some()
    }

    /// Both sides of what is told of executions. What is live is narrowed by [`Seen::reach`] in a filter.
    pub(super) fn sides(&self) -> Sides<'_> {
        Sides { store: self.store.as_ref(), live: self.live.as_deref() }
    }
}

/// What these parameters name.
fn named(pairs: &[(String, String)]) -> Asked {
    let named = |name: &str| pairs.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone());
    Asked { log: named("log"), namespace: named("namespace") }
}

fn forbidden(user: &User, act: Act) -> Problem {
    Problem::new(Kind::Forbidden, format!("{} may not {act}.", user.name)).refusing(Refused::Act(act))
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unanswered(error) => error.into(),
            AccessError::Store(error) => error.into(),
            AccessError::TooManyNamespaces => {
                Self::new(Kind::Forbidden, format!("{error}, or ask for a grant in the whole cluster."))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Nothing under `/api/v1` is served without.
        let caller = parts.extensions.get().cloned();
        caller.ok_or_else(|| super::problem::internal(&"a call of nobody"))
    }
}

impl Caller {
    /// Who it is, where that is known.
    pub(super) fn name(&self) -> Option<&str> {
        self.known.as_ref().map(|(_, user)| user.name.as_str())
    }

    /// Who says what is said: the caller, where it is known who that is.
    pub(super) fn actor(&self, Actor(said): Actor) -> String {
        match &self.known {
            Some((_, user)) => user.name.clone(),
            None => said,
        }
    }

    /// Whether it is they who did what this actor did.
    pub(super) fn is(&self, actor: &str) -> bool {
        self.known.as_ref().is_none_or(|(_, user)| user.name == actor)
    }

    /// What of lists and sums they may read that are about what these parameters name.
    pub(super) async fn reads(
        &self,
        api: &Api,
        verb: Verb,
        pairs: &[(String, String)],
    ) -> Result<Seen, Problem> {
        self.within(api, (verb, Resource::ExecutionRecords), &named(pairs), |reach| reach).await
    }

    /// Checks that they may read proofs of all that is within `reach`, of what these parameters name.
    pub(super) async fn proves(
        &self,
        api: &Api,
        reach: &Reach,
        pairs: &[(String, String)],
    ) -> Result<(), Problem> {
        let (act, asked) = ((Verb::Get, Resource::Logs), named(pairs));
        let proved = self.within(api, act, &asked, |reach| reach).await?;
        match (&self.known, proved.reach) {
            (Some((_, user)), Some(proved)) if !proved.covers(reach) => {
                let Asked { log, namespace } = asked;
                Err(forbidden(user, Act { verb: act.0, resource: act.1, namespace, log }))
            }
            _ => Ok(()),
        }
    }

    /// The logs of which they may do this to all; the one that is named.
    pub(super) async fn whole(
        &self,
        api: &Api,
        act: (Verb, Resource),
        log: Option<&str>,
    ) -> Result<Seen, Problem> {
        // No namespace is called so: none is looked through.
        let asked = Asked { log: log.map(str::to_owned), namespace: Some(String::new()) };
        self.within(api, act, &asked, Reach::whole).await
    }

    async fn within(
        &self,
        api: &Api,
        act: (Verb, Resource),
        asked: &Asked,
        take: impl Fn(Reach) -> Reach,
    ) -> Result<Seen, Problem> {
        let Some((guard, user)) = &self.known else {
            return Ok(Seen { store: api.store.clone(), reach: None, live: api.live.clone() });
        };
        let refused = || {
            let (verb, resource) = act;
            let namespace = asked.namespace.clone().filter(|namespace| !namespace.is_empty());
            let log = asked.log.clone().filter(|_| namespace.is_none());
            Act { verb, resource, namespace, log }
        };
        let reach = if self.is_lasting {
            guard.reach_lately(&api.store, user, act, asked).await.map(|reach| Reach::clone(&reach))
        } else {
            guard.reach(&api.store, user, act, asked).await
        };
        let reach = match reach {
            Err(error @ AccessError::TooManyNamespaces) => {
                return Err(Problem::from(error).refusing(Refused::Act(refused())));
            }
            reach => Arc::new(take(reach?)),
        };
        // Who may do it everywhere is told that there is no such log.
        if reach.is_empty() && !guard.allows(user, Act::anywhere(act.0, act.1)).await? {
            return Err(forbidden(user, refused()));
        }
        let live = api.live.clone().filter(|board| reach.of_log(board.log()).is_some());
        let store: SharedStore = Arc::new(Scoped::within(api.store.clone(), Arc::clone(&reach)));
        Ok(Seen { store, reach: Some(reach), live })
    }

    /// Single executions that they may do this to. What is live of the one that is wanted is there if they may.
    pub(super) async fn one(
        &self,
        api: &Api,
        (verb, resource): (Verb, Resource),
        wanted: &Wanted,
    ) -> Result<Seen, Problem> {
        let Some((guard, user)) = &self.known else {
            return Ok(Seen { store: api.store.clone(), reach: None, live: api.live.clone() });
        };
        let (guard, user, store) = (Arc::clone(guard), Arc::clone(user), api.store.clone());
        let hidden = Arc::clone(&self.hiding);
        let has_asked = AtomicBool::new(false);
        let asking = Arc::new(Asking { guard, user, store, verb, resource, hidden, has_asked });
        let live = match api.live.as_ref().and_then(|board| Some((board, board.get(&wanted.id)?))) {
            Some((board, it)) if asking.sees(&it.place.log, &it.record).await? => Some(Arc::clone(board)),
            Some(_) => None,
            // Who may see all that is live is told that it was looked for there.
            None => match &api.live {
                Some(board) if asking.sees_whole(board.log()).await? => Some(Arc::clone(board)),
                _ => None,
            },
        };
        let store: SharedStore = Arc::new(Scoped::asking(api.store.clone(), asking));
        Ok(Seen { store, reach: None, live })
    }

    /// Checks that they may change the execution that is wanted, and names it in full. One that they may read and not change is
    /// forbidden; any other is not there.
    pub(super) async fn changes(
        &self,
        api: &Api,
        act: (Verb, Resource),
        wanted: Wanted,
    ) -> Result<Wanted, Problem> {
        if self.known.is_none() {
            return Ok(wanted);
        }
        let may_change = self.one(api, act, &wanted).await?;
        match query::detail(may_change.store.as_ref(), &wanted).await {
            Ok(detail) => {
                let attempt = detail.revisions.first().map(|(latest, _)| latest.record.attempt);
                Ok(Wanted { log: Some(detail.log), attempt, ..wanted })
            }
            Err(GetError::NotFound(_)) => {
                let may_read = self.one(api, (Verb::Get, Resource::ExecutionRecords), &wanted).await?;
                let found = query::detail(may_read.store.as_ref(), &wanted).await;
                self.also(api, act, &wanted, &found).await?;
                found.map(|_| wanted).map_err(Problem::from)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that they may do this as well to what was found for them.
    pub(super) async fn also(
        &self,
        api: &Api,
        (verb, resource): (Verb, Resource),
        wanted: &Wanted,
        found: &Result<Detail, GetError>,
    ) -> Result<(), Problem> {
        let Some((_, user)) = &self.known else { return Ok(()) };
        let (log, namespace) = match found {
            Ok(detail) => {
                let latest = detail.revisions.first().map(|(latest, _)| &latest.record);
                (&detail.log, latest.and_then(|record| record.namespace.clone()))
            }
            Err(GetError::Purged(purged)) => (&purged.receipt.log, None),
            Err(_) => return Ok(()),
        };
        let wanted = Wanted { log: Some(log.clone()), ..wanted.clone() };
        let may = self.one(api, (verb, resource), &wanted).await?;
        match query::detail(may.store.as_ref(), &wanted).await {
            Err(GetError::NotFound(_)) => {
                let log = Some(log.clone()).filter(|_| namespace.is_none());
                Err(forbidden(user, Act { verb, resource, namespace, log }))
            }
            Err(GetError::Store(error)) => Err(error.into()),
            Ok(_) | Err(GetError::Purged(_) | GetError::Ambiguous { .. } | GetError::NoSource(_)) => Ok(()),
        }
    }

    /// Checks that they may place a hold on this, and names the logs that it is placed in.
    pub(super) async fn holds(
        &self,
        api: &Api,
        covers: &Covers,
        logs: Vec<String>,
    ) -> Result<Vec<String>, Problem> {
        let act = (Verb::Create, Resource::Holds);
        if self.known.is_none() {
            return Ok(logs);
        }
        match covers {
            Covers::ExecutionId(id) => {
                let mut named = Vec::new();
                let logs = if logs.is_empty() { vec![None] } else { logs.into_iter().map(Some).collect() };
                for log in logs {
                    let wanted = Wanted { id: id.clone(), log, attempt: None };
                    named.extend(self.changes(api, act, wanted).await?.log);
                }
                Ok(named)
            }
            // Whatever namespace what it selects is in.
            Covers::Selector(_) => {
                for log in &logs {
                    self.whole(api, act, Some(log)).await?;
                }
                let seen = self.whole(api, act, None).await?;
                let all = seen.reach.iter().flat_map(|reach| reach.logs().map(|(log, _)| log.to_owned()));
                Ok(if logs.is_empty() { all.collect() } else { logs })
            }
        }
    }

    /// Checks that they may release a hold. One that they may not is not there.
    pub(super) async fn releases(&self, api: &Api, log: &str, index: u64) -> Result<(), Problem> {
        let act = (Verb::Delete, Resource::Holds);
        let hidden =
            || query::EntriesError::NoSuchEntry { log: log.to_owned(), index, kind: EntryKind::Hold };
        let Err(problem) = self.whole(api, act, Some(log)).await else { return Ok(()) };
        if problem.kind() != Kind::Forbidden {
            return Err(problem);
        }
        let hold = query::entry(api.store.as_ref(), query::Listing::Holds, log, index).await;
        let of_one = match hold {
            Ok(query::ListedEntry { hold: Some(hold), .. }) => match hold.covers {
                Covers::ExecutionId(id) => Some(id),
                Covers::Selector(_) => None,
            },
            _ => None,
        };
        let Some(id) = of_one else {
            let _ = self.hiding.set(Hidden { act: Act::in_log(act.0, act.1, log), id: None });
            return Err(hidden().into());
        };
        let wanted = Wanted { id, log: Some(log.to_owned()), attempt: None };
        let seen = self.one(api, act, &wanted).await?;
        match query::detail(seen.store.as_ref(), &wanted).await {
            Ok(_) => Ok(()),
            Err(GetError::Store(error)) => Err(error.into()),
            Err(_) => Err(hidden().into()),
        }
    }

    /// Checks that they may add records to a log, or amend them.
    pub(super) async fn records(&self, verb: Verb, log: &str) -> Result<(), Problem> {
        let Some((guard, user)) = &self.known else { return Ok(()) };
        let resource = Resource::ExecutionRecords;
        let act = Act::in_log(verb, resource, log);
        let is_allowed = guard.allows(user, Act::anywhere(verb, resource)).await?
            || guard.allows(user, act.clone()).await?;
        if is_allowed { Ok(()) } else { Err(forbidden(user, act)) }
    }

    /// Checks that they may read a path that is about the server itself.
    pub(super) async fn path(&self, path: &str) -> Result<(), Problem> {
        let Some((guard, user)) = &self.known else { return Ok(()) };
        if guard.allows_path(user, path).await? {
            return Ok(());
        }
        let problem = Problem::new(Kind::Forbidden, format!("{} may not get {path}.", user.name));
        Err(problem.refusing(Refused::Path(path.to_owned())))
    }

    /// Whether they may read objects of a log: those in quarantine, and the last states of gaps. These are of all namespaces.
    pub(super) async fn reads_objects(&self, log: &str) -> Result<bool, Problem> {
        let Some((guard, user)) = &self.known else { return Ok(true) };
        let (verb, resource) = (Verb::Get, Resource::Source);
        Ok(guard.allows(user, Act::anywhere(verb, resource)).await?
            || guard.allows(user, Act::in_log(verb, resource, log)).await?)
    }

    /// Ends when they are no longer who they were, or `still` says that they may no longer read what they could, or either
    /// cannot be told.
    pub(super) fn until_otherwise<S>(
        self,
        still: impl Fn(Self) -> S + Send + Sync + 'static,
    ) -> BoxFuture<'static, ()>
    where
        S: Future<Output = Result<bool, Problem>> + Send,
    {
        let Some((guard, user)) = self.known.clone() else { return std::future::pending().boxed() };
        let (pace, still) = (guard.pace(), Arc::new(still));
        let caller = Self { is_lasting: true, ..self };
        lasting::until_not(pace, move || {
            let (guard, user, caller, still) =
                (Arc::clone(&guard), Arc::clone(&user), caller.clone(), Arc::clone(&still));
            async move {
                let is_known = matches!(guard.user(&caller.token, None).await, Ok(Some(it)) if it == user);
                is_known && still(caller).await.unwrap_or(false)
            }
        })
    }
}
