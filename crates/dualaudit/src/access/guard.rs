//! Asks the API server, and remembers its answers for a while.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use dualaudit_record::Time;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{
        NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    },
    core::v1::Namespace,
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
    core::PartialObjectMeta,
};
use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::{
    Act, GROUP, User,
    answers::Answers,
    reach::{self, Reaches},
};
use crate::store::StoreError;

/// How long it is remembered at most which namespaces there are: one may go, and another come in its place.
const NAMESPACES_REMEMBERED: Duration = Duration::from_secs(5);
/// How long the API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions that are asked at once.
const AT_ONCE: usize = 64;
/// How long it is remembered that a token was somebody's.
const FAMILIAR: Duration = Duration::from_secs(3600);
/// Tokens that are remembered, and acts.
const TOKENS: u64 = 10_000;
const ACTS: u64 = 100_000;
/// The longest token that is asked about. The API server takes no longer headers than a MiB, and tokens have a few KiB.
const TOKEN_BYTES: usize = 16 << 10;
/// Namespaces that are read at once.
const PAGE: u32 = 500;

/// Why it is not known who somebody is, or what they may do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    /// The API server did not answer, or not what was asked.
    #[error("the API server did not say who this is, or what they may do: {0}")]
    Silent(String),
    /// It was not asked, as too many tokens that came the same way are nobody's.
    #[error("too many tokens are nobody's")]
    Strangers,
}

/// Says how often may be asked about tokens that turn out to be nobody's.
pub trait Asks: Send + Sync + 'static {
    /// Whether it may be once more.
    fn take(&self) -> bool;

    /// It was somebody's.
    fn give_back(&self);
}

impl From<Unanswered> for StoreError {
    fn from(error: Unanswered) -> Self {
        Self::Unchecked(error.to_string())
    }
}

/// Knows who may do what in one cluster.
pub struct Guard {
    questions: Arc<Questions>,
    /// The uid of its `kube-system` namespace, by which logs know it.
    cluster: String,
    remembered: Duration,
    /// By digests of tokens: whoever reads this memory learns none.
    users: Answers<[u8; 32], Option<Arc<User>>>,
    /// Those that were somebody's: these are asked about however many are not.
    familiar: Cache<[u8; 32], ()>,
    acts: Answers<(Arc<User>, Act), bool>,
    /// When each was created.
    namespaces: Answers<(), Arc<BTreeMap<String, Time>>>,
    pub(super) reaches: Reaches,
    dice: RandomState,
}

impl Guard {
    /// Of the cluster that `client` leads to, whose `kube-system` namespace has this uid.
    pub fn new(client: Client, cluster: String, audiences: Vec<String>, remembered: Duration) -> Self {
        Self {
            questions: Arc::new(Questions { client, audiences, at_once: Semaphore::new(AT_ONCE) }),
            cluster,
            remembered,
            users: Answers::new(TOKENS, remembered),
            familiar: Cache::builder().max_capacity(TOKENS).time_to_live(FAMILIAR).build(),
            acts: Answers::new(ACTS, remembered),
            namespaces: Answers::new(1, remembered.min(NAMESPACES_REMEMBERED)),
            reaches: reach::remembered(pace(remembered)),
            dice: RandomState::new(),
        }
    }

    /// How long answers are remembered.
    pub fn remembered(&self) -> Duration {
        self.remembered
    }

    /// How often it is looked at whether somebody who goes on reading still may: answers that are looked at so often count for
    /// hardly longer than they are remembered.
    pub fn pace(&self) -> Duration {
        pace(self.remembered)
    }

    /// The uid of the cluster's `kube-system` namespace.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// One of these for each id, the same each time, and not to be guessed.
    pub(super) fn any_of<'a>(&self, names: &[&'a String], id: &str) -> Option<&'a String> {
        let place = self.dice.hash_one(id).checked_rem(names.len() as u64)?;
        names.get(usize::try_from(place).ok()?).copied()
    }

    /// Whose token this is; `None` where it is nobody's, any more, or not meant for us. Where that is not remembered, and it was
    /// nobody's lately, `asks` says whether the API server may be asked.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn user(
        &self,
        token: &str,
        asks: Option<Arc<dyn Asks>>,
    ) -> Result<Option<Arc<User>>, Unanswered> {
        if !(1..=TOKEN_BYTES).contains(&token.len()) {
            return Ok(None);
        }
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let ask = || {
            let (questions, familiar) = (Arc::clone(&self.questions), self.familiar.clone());
            let (token, asks) = (token.to_owned(), asks.clone());
            async move {
                let asks = asks.filter(|_| !familiar.contains_key(&key));
                if asks.as_ref().is_some_and(|asks| !asks.take()) {
                    return Err(Unanswered::Strangers);
                }
                let user = questions.review(token).await?;
                if user.is_some() {
                    familiar.insert(key, ()).await;
                    asks.inspect(|asks| asks.give_back());
                }
                Ok(user)
            }
        };
        self.users.get(key, ask).await
    }

    /// Whether somebody may do this.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn allows(&self, user: &Arc<User>, act: Act) -> Result<bool, Unanswered> {
        let key = (Arc::clone(user), act);
        let ask = || {
            let (questions, (user, act)) = (Arc::clone(&self.questions), key.clone());
            async move { questions.access(&user, &act).await }
        };
        self.acts.get(key.clone(), ask).await
    }

    /// Whether somebody may read this path of ours that is no resource.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn allows_path(&self, user: &User, path: &str) -> Result<bool, Unanswered> {
        self.questions.path_access(user, path).await
    }

    /// The namespaces that there are, and when each was created.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn namespaces(&self) -> Result<Arc<BTreeMap<String, Time>>, Unanswered> {
        let ask = || {
            let questions = Arc::clone(&self.questions);
            async move { questions.namespaces().await }
        };
        self.namespaces.get((), ask).await
    }
}

/// What is looked at is as old as that, too ([`Guard::reach_lately`]): an eighth of the time in all, or a second.
fn pace(remembered: Duration) -> Duration {
    (remembered / 16).max(Duration::from_millis(500))
}

/// Asks the API server.
struct Questions {
    client: Client,
    /// Whom tokens must be meant for; the API server itself where none is named.
    audiences: Vec<String>,
    at_once: Semaphore,
}

impl Questions {
    async fn review(&self, token: String) -> Result<Option<Arc<User>>, Unanswered> {
        let audiences = Some(self.audiences.clone()).filter(|named| !named.is_empty());
        let spec = TokenReviewSpec { token, audiences };
        let review = self.ask(TokenReview { spec, ..TokenReview::default() }).await?;
        let status =
            review.status.ok_or_else(|| Unanswered::Silent("a token review without a status".into()))?;
        // An authenticator that knows nothing of audiences names none, and then it is the API server's own.
        let is_meant = self.audiences.is_empty()
            || status.audiences.iter().flatten().any(|audience| self.audiences.contains(audience));
        let user = status.user.filter(|_| status.authenticated == Some(true) && is_meant);
        Ok(user.and_then(|user| {
            let name = user.username.filter(|name| !name.is_empty())?;
            let (groups, extra) = (user.groups.unwrap_or_default(), user.extra.unwrap_or_default());
            Some(Arc::new(User { name, uid: user.uid, groups, extra: extra.into_iter().collect() }))
        }))
    }

    async fn access(&self, user: &User, act: &Act) -> Result<bool, Unanswered> {
        let (resource, subresource) = act.resource.parts();
        let attributes = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            version: Some("*".to_owned()),
            verb: Some(act.verb.as_str().to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(str::to_owned),
            namespace: act.namespace.clone(),
            name: act.log.clone(),
            ..ResourceAttributes::default()
        };
        self.allowed(SubjectAccessReviewSpec { resource_attributes: Some(attributes), ..of(user) }).await
    }

    async fn path_access(&self, user: &User, path: &str) -> Result<bool, Unanswered> {
        let attributes = NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
        self.allowed(SubjectAccessReviewSpec { non_resource_attributes: Some(attributes), ..of(user) }).await
    }

    async fn allowed(&self, spec: SubjectAccessReviewSpec) -> Result<bool, Unanswered> {
        let review = self.ask(SubjectAccessReview { spec, ..SubjectAccessReview::default() }).await?;
        let status =
            review.status.ok_or_else(|| Unanswered::Silent("an access review without a status".into()))?;
        Ok(status.allowed && status.denied != Some(true))
    }

    async fn namespaces(&self) -> Result<Arc<BTreeMap<String, Time>>, Unanswered> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let (mut found, mut params) = (BTreeMap::new(), ListParams::default().limit(PAGE));
        loop {
            let page = self.answered(api.list_metadata(&params)).await?;
            found.extend(page.items.into_iter().filter_map(created));
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => return Ok(Arc::new(found)),
            }
        }
    }

    async fn ask<K>(&self, question: K) -> Result<K, Unanswered>
    where
        K: kube::Resource<DynamicType = ()>
            + Clone
            + serde::Serialize
            + serde::de::DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        self.answered(api.create(&PostParams::default(), &question)).await
    }

    async fn answered<T>(&self, asking: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
        let asking = async {
            let _turn =
                self.at_once.acquire().await.map_err(|error| Unanswered::Silent(error.to_string()))?;
            asking.await.map_err(|error| Unanswered::Silent(error.to_string()))
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        asked.unwrap_or_else(|_| Err(Unanswered::Silent(format!("nothing within {PATIENCE:?}"))))
    }
}

/// An access review about this user, and nothing yet that they do.
fn of(user: &User) -> SubjectAccessReviewSpec {
    let extra: BTreeMap<_, _> = user.extra.clone();
    SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: user.uid.clone(),
        groups: Some(user.groups.clone()),
        extra: Some(extra),
        ..SubjectAccessReviewSpec::default()
    }
}

fn created(namespace: PartialObjectMeta<Namespace>) -> Option<(String, Time)> {
    let name = namespace.metadata.name?;
    let created = namespace.metadata.creation_timestamp?.0;
    Some((name, Time::from_micros(created.as_microsecond())?))
}
