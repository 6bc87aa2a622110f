//! Copies of checkpoints where the database's owner cannot rewrite them: a file that is only appended to,
//! or a ConfigMap.

use std::{fmt, path::PathBuf, str::FromStr};

use dualaudit_record::{Time, checkpoint::SignedCheckpoint};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams},
};

mod file;

pub use file::{append as keep_in, kept, newest as newest_in};

/// Where copies are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of JSON lines, which is only appended to.
    File(PathBuf),
    /// A ConfigMap, in which each log has a key for its newest checkpoint.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: must be file:PATH or configmap:NAMESPACE/NAME");
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("configmap", name)) => match name.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                    Ok(Self::ConfigMap { namespace: namespace.to_owned(), name: name.to_owned() })
                }
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::ConfigMap { namespace, name } => write!(f, "configmap:{namespace}/{name}"),
        }
    }
}

/// A copy cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the copy of checkpoints {place}: {reason}")]
pub struct CopyError {
    place: String,
    reason: String,
}

impl CopyError {
    fn new(place: &Place, reason: impl fmt::Display) -> Self {
        Self { place: place.to_string(), reason: reason.to_string() }
    }
}

/// Every checkpoint in these ConfigMaps, of whatever log; files among the places are passed over.
///
/// # Errors
/// When one cannot be read, or holds something else under such a key.
pub async fn in_config_maps(
    client: &Client,
    places: &[Place],
) -> Result<Vec<(Place, SignedCheckpoint)>, CopyError> {
    let mut found = Vec::new();
    for place in places {
        let Place::ConfigMap { namespace, name } = place else { continue };
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let map = maps.get(name).await.map_err(|error| CopyError::new(place, error))?;
        for (key, note) in map.data.unwrap_or_default() {
            if key.ends_with(KEY_END) {
                let read = note.parse();
                let read = read.map_err(|error| CopyError::new(place, format_args!("{key}: {error}")))?;
                found.push((place.clone(), read));
            }
        }
    }
    Ok(found)
}

/// What the keys of ConfigMaps end in.
const KEY_END: &str = ".checkpoint";

/// All the places where the checkpoints of a log are kept.
#[derive(Clone)]
pub struct Copies {
    places: Vec<Place>,
    log: String,
    /// For ConfigMaps.
    client: Option<Client>,
}

impl Copies {
    /// Of the log of that name. ConfigMaps need a client.
    pub fn new(places: Vec<Place>, log: &str, client: Option<Client>) -> Self {
        Self { places, log: log.to_owned(), client }
    }

    /// Whether nothing is kept anywhere.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The newest checkpoint with this origin in each place that has one.
    ///
    /// # Errors
    /// When one of them cannot be read: what it holds might be newer than all others.
    pub async fn newest(&self, origin: &str) -> Result<Vec<SignedCheckpoint>, CopyError> {
        let mut found = Vec::new();
        for place in &self.places {
            found.extend(match place {
                Place::File(path) => {
                    let (path, origin) = (path.clone(), origin.to_owned());
                    let read = tokio::task::spawn_blocking(move || file::newest(&path, &origin)).await;
                    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                    read.map_err(|error| CopyError::new(place, error))?
                }
                Place::ConfigMap { namespace, name } => {
                    self.read_config_map(place, namespace, name, origin).await?
                }
            });
        }
        Ok(found)
    }

    /// Keeps a checkpoint in every place.
    ///
    /// # Errors
    /// When one could not be written; the others were all the same.
    pub async fn keep(&self, checkpoint: &SignedCheckpoint, now: Time) -> Result<(), CopyError> {
        let mut failed = None;
        for place in &self.places {
            let kept = match place {
                Place::File(path) => {
                    let (path, checkpoint) = (path.clone(), checkpoint.clone());
                    let write =
                        tokio::task::spawn_blocking(move || file::append(&path, &checkpoint, now)).await;
                    let written = write.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                    written.map_err(|error| CopyError::new(place, error))
                }
                Place::ConfigMap { namespace, name } => {
                    self.write_config_map(place, namespace, name, checkpoint).await
                }
            };
            failed = kept.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    fn config_maps(&self, place: &Place, namespace: &str) -> Result<Api<ConfigMap>, CopyError> {
        let client = self.client.clone().ok_or_else(|| CopyError::new(place, "it needs a cluster"))?;
        Ok(Api::namespaced(client, namespace))
    }

    fn key(&self) -> String {
        format!("{}{KEY_END}", self.log)
    }

    async fn read_config_map(
        &self,
        place: &Place,
        namespace: &str,
        name: &str,
        origin: &str,
    ) -> Result<Option<SignedCheckpoint>, CopyError> {
        let wrong = |reason: &dyn fmt::Display| CopyError::new(place, reason);
        let found = self.config_maps(place, namespace)?.get_opt(name).await.map_err(|error| wrong(&error))?;
        let Some(note) = found.and_then(|map| map.data?.remove(&self.key())) else { return Ok(None) };
        let checkpoint: SignedCheckpoint = note.parse().map_err(|error| wrong(&error))?;
        if checkpoint.head().origin != origin {
            return Err(wrong(&format_args!(
                "{} is of the log {}, and not of {origin}: name another ConfigMap, or delete that key if the log is \
                 given up",
                self.key(),
                checkpoint.head().origin
            )));
        }
        Ok(Some(checkpoint))
    }

    async fn write_config_map(
        &self,
        place: &Place,
        namespace: &str,
        name: &str,
        checkpoint: &SignedCheckpoint,
    ) -> Result<(), CopyError> {
        let map = ConfigMap {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            data: Some([(self.key(), checkpoint.as_str().to_owned())].into()),
            ..ConfigMap::default()
        };
        // Each log's key is applied by a manager of its own, so that none takes the others' away.
        let manager = format!("dualaudit-checkpoint-{}", self.log);
        let applied = self
            .config_maps(place, namespace)?
            .patch(name, &PatchParams::apply(&manager).force(), &Patch::Apply(map))
            .await;
        applied.map(drop).map_err(|error| CopyError::new(place, error))
    }
}
