//! Copies of checkpoints where the database's owner cannot rewrite them: a file that is only appended to,
//! or a ConfigMap.

use std::{fmt, io, path::PathBuf, str::FromStr};

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
    is_of_another_log: bool,
}

impl CopyError {
    fn new(place: &Place, reason: impl fmt::Display) -> Self {
        Self { place: place.to_string(), reason: reason.to_string(), is_of_another_log: false }
    }

    fn of_another_log(place: &Place, other: &OtherOrigin) -> Self {
        Self { is_of_another_log: true, ..Self::new(place, other) }
    }

    fn of_file(place: &Place, error: io::Error) -> Self {
        match error.downcast() {
            Ok(other) => Self::of_another_log(place, &other),
            Err(error) => Self::new(place, error),
        }
    }

    /// Whether it can be read, and is of another log of the same name.
    pub fn is_of_another_log(&self) -> bool {
        self.is_of_another_log
    }
}

/// What a place has under the name of a log is of another one: this database is not the one that it was kept of.
#[derive(Debug, thiserror::Error)]
#[error(
    "the newest checkpoint of the log {log} there has the origin {there}, and the log {log} of this database the origin \
     {origin}: it is another log of the same name. Restore the database that had the log {there}; or, if that is given \
     up, {instead}"
)]
pub struct OtherOrigin {
    log: String,
    there: String,
    origin: String,
    instead: String,
}

impl OtherOrigin {
    fn new(log: &str, there: &str, origin: &str, instead: impl Into<String>) -> Self {
        let [log, there, origin] = [log, there, origin].map(str::to_owned);
        Self { log, there, origin, instead: instead.into() }
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
    /// When one of them cannot be read: what it holds might be newer than all others. When the newest under the name of
    /// the log has another origin: see [`CopyError::is_of_another_log`].
    pub async fn newest(&self, origin: &str) -> Result<Vec<SignedCheckpoint>, CopyError> {
        let mut found = Vec::new();
        for place in &self.places {
            found.extend(match place {
                Place::File(path) => {
                    let (path, log, origin) = (path.clone(), self.log.clone(), origin.to_owned());
                    in_file(place, move || file::newest(&path, Some(&log), &origin)).await?
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
                    let (path, log, checkpoint) = (path.clone(), self.log.clone(), checkpoint.clone());
                    in_file(place, move || file::append(&path, Some(&log), &checkpoint, now)).await
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
        let there = &checkpoint.head().origin;
        if there != origin {
            let instead = format!("name another ConfigMap, or delete its key {}", self.key());
            let other = OtherOrigin::new(&self.log, there, origin, instead);
            return Err(CopyError::of_another_log(place, &other));
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

/// Reads or writes a file where it holds up nobody.
async fn in_file<T: Send + 'static>(
    place: &Place,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CopyError> {
    let done = tokio::task::spawn_blocking(act).await;
    let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| CopyError::of_file(place, error))
}
