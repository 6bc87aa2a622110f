//! How far somebody's grants go in what is recorded.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dualaudit_record::{Time, WorkflowExecutionAudit};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use moka::future::Cache;

use super::{Act, Guard, Resource, Unanswered, User, Verb};
use crate::store::{Owner, Permits, Reach, Receipt, SharedStore, StoreError, Within};

/// Namespaces that are looked through for one question: each is asked about.
const NAMESPACES: usize = 2000;
/// Of how many at once.
const AT_ONCE: usize = 32;

/// Why it is not known how far somebody's grants go.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccessError {
    /// The API server did not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are more namespaces than are looked through.
    #[error(
        "there are more namespaces than the {NAMESPACES} that are looked through for one question: name a namespace"
    )]
    TooManyNamespaces,
}

/// What a question names that its answer is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The log.
    pub log: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
}

/// What somebody may do this to, of what a question is about, by those.
pub(super) type Reaches = Cache<(Arc<User>, (Verb, Resource), Asked), Arc<Reach>>;

/// Those of many who go on reading, for so long.
const REACHES: u64 = 10_000;

pub(super) fn remembered(pace: Duration) -> Reaches {
    Cache::builder().max_capacity(REACHES).time_to_live(pace).build()
}

impl Guard {
    /// What somebody may do this to as it was within [`Guard::pace`]: for those who go on reading, so that they cost the
    /// database nothing each.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn reach_lately(
        &self,
        store: &SharedStore,
        user: &Arc<User>,
        act: (Verb, Resource),
        asked: &Asked,
    ) -> Result<Arc<Reach>, AccessError> {
        let key = (Arc::clone(user), act, asked.clone());
        let asking = async { Ok::<_, AccessError>(Arc::new(self.reach(store, user, act, asked).await?)) };
        // Boxed, as it is a part of every call that asks how far somebody's grants go.
        let reach = Box::pin(self.reaches.try_get_with(key, asking)).await;
        reach.map_err(|error: Arc<AccessError>| (*error).clone())
    }

    /// What somebody may do this to, of what a question is about.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn reach(
        &self,
        store: &SharedStore,
        user: &Arc<User>,
        (verb, resource): (Verb, Resource),
        asked: &Asked,
    ) -> Result<Reach, AccessError> {
        let heads = store.read_logs().await?.into_iter().flatten();
        let heads: Vec<_> =
            heads.filter(|head| asked.log.as_ref().is_none_or(|log| *log == head.log)).collect();
        if self.allows(user, Act::anywhere(verb, resource)).await? {
            return Ok(Reach::of(heads.into_iter().map(|head| (head.log, Within::Whole))));
        }
        let mut reach = BTreeMap::new();
        let mut namespaces = None;
        for head in heads {
            if self.allows(user, Act::in_log(verb, resource, &head.log)).await? {
                reach.insert(head.log, Within::Whole);
            } else if self.is_ours(&head.owner) {
                let within = match &namespaces {
                    Some(within) => Within::clone(within),
                    None => self.in_namespaces(user, (verb, resource), asked).await?,
                };
                namespaces = Some(within.clone());
                reach.insert(head.log, within);
            }
        }
        Ok(Reach::of(reach))
    }

    async fn in_namespaces(
        &self,
        user: &Arc<User>,
        (verb, resource): (Verb, Resource),
        asked: &Asked,
    ) -> Result<Within, AccessError> {
        let all = self.namespaces().await?;
        let in_question: Vec<(String, Time)> = match &asked.namespace {
            Some(name) => all.get_key_value(name).map(|(name, at)| (name.clone(), *at)).into_iter().collect(),
            None if all.len() > NAMESPACES => return Err(AccessError::TooManyNamespaces),
            None => all.iter().map(|(name, at)| (name.clone(), *at)).collect(),
        };
        let answers = in_question.into_iter().map(async |(name, created)| {
            let is_allowed = self.allows(user, Act::in_namespace(verb, resource, &name)).await?;
            Ok::<_, Unanswered>(is_allowed.then_some((name, created)))
        });
        let allowed = stream::iter(answers).buffer_unordered(AT_ONCE);
        let allowed: Vec<_> = allowed.try_collect().await?;
        Ok(Within::Namespaces(allowed.into_iter().flatten().collect()))
    }

    /// Whether SubjectAccessReview speaks for what is of this owner.
    fn is_ours(&self, owner: &Owner) -> bool {
        *owner == Owner::Cluster(self.cluster().to_owned())
    }
}

/// Asks of single executions whether somebody may do this to them.
pub struct Asking {
    /// Who knows.
    pub guard: Arc<Guard>,
    /// Where it is told whose logs are.
    pub store: SharedStore,
    /// Who.
    pub user: Arc<User>,
    /// What they do.
    pub verb: Verb,
    /// To what of an execution.
    pub resource: Resource,
    /// The first that they may not, if there is one.
    pub hidden: Arc<OnceLock<Hidden>>,
    /// Whether it was asked of the namespace of an execution.
    pub has_asked: AtomicBool,
}

/// Something that somebody may not do to an execution, of which they are not told that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// What.
    pub act: Act,
    /// Which, where it is one.
    pub id: Option<String>,
}

impl Asking {
    async fn allows(&self, act: Act) -> Result<bool, StoreError> {
        Ok(self.guard.allows(&self.user, act).await?)
    }

    fn hide(&self, log: &str, namespace: Option<&str>, id: &str) {
        let (verb, resource) = (self.verb, self.resource);
        let act = Act { verb, resource, namespace: namespace.map(str::to_owned), log: Some(log.to_owned()) };
        let _ = self.hidden.set(Hidden { act, id: Some(id.to_owned()) });
    }

    async fn sees_in_namespace(
        &self,
        log: &str,
        record: &WorkflowExecutionAudit,
    ) -> Result<bool, StoreError> {
        let Some(namespace) = &record.namespace else { return Ok(false) };
        let heads = self.store.read_logs().await?;
        let mut heads = heads.into_iter().flatten();
        if !heads.any(|head| head.log == log && self.guard.is_ours(&head.owner)) {
            return Ok(false);
        }
        let namespaces = self.guard.namespaces().await?;
        let is_of_it = namespaces.get(namespace).is_some_and(|created| *created <= record.created_at);
        self.has_asked.fetch_or(is_of_it, Ordering::Relaxed);
        Ok(is_of_it && self.allows(Act::in_namespace(self.verb, self.resource, namespace)).await?)
    }
}

#[async_trait]
impl Permits for Asking {
    /// Asks what is asked of any execution: where the API server is slow or silent, it is so about each.
    async fn not_seen(&self, id: &str) -> Result<(), StoreError> {
        let mut depends_on_namespace = false;
        for head in self.store.read_logs().await?.into_iter().flatten() {
            let is_whole = self.sees_whole(&head.log).await?;
            depends_on_namespace |= !is_whole && self.guard.is_ours(&head.owner);
        }
        if depends_on_namespace && !self.has_asked.load(Ordering::Relaxed) {
            let namespaces = self.guard.namespaces().await?;
            let namespaces: Vec<_> = namespaces.keys().collect();
            if let Some(namespace) = self.guard.any_of(&namespaces, id) {
                self.allows(Act::in_namespace(self.verb, self.resource, namespace)).await?;
            }
        }
        Ok(())
    }

    async fn sees(&self, log: &str, record: &WorkflowExecutionAudit) -> Result<bool, StoreError> {
        let is_seen = self.sees_whole(log).await? || self.sees_in_namespace(log, record).await?;
        if !is_seen {
            self.hide(log, record.namespace.as_deref(), &record.id);
        }
        Ok(is_seen)
    }

    async fn sees_purged(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        let is_seen = self.sees_whole(&receipt.log).await?;
        if !is_seen {
            self.hide(&receipt.log, None, &receipt.id);
        }
        Ok(is_seen)
    }

    async fn sees_whole(&self, log: &str) -> Result<bool, StoreError> {
        let (verb, resource) = (self.verb, self.resource);
        Ok(self.allows(Act::anywhere(verb, resource)).await?
            || self.allows(Act::in_log(verb, resource, log)).await?)
    }
}
