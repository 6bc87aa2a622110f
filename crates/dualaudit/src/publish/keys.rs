//! Keys of logs: a text of lines, each a private key of C2SP `signed-note`, in a file or a Secret.

use std::{
    fmt,
    fs::{self, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use dualaudit_record::checkpoint::{SigningKey, VerifierKey};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

/// The key in a Secret where none is named.
const SECRET_KEY: &str = "log.key";

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file, which nobody else may read.
    File(PathBuf),
    /// A key of a Secret.
    Secret {
        /// The Secret's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key in it.
        key: String,
    },
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(secret) = text.strip_prefix("secret:") else { return Ok(Self::File(text.into())) };
        let parts: Vec<&str> = secret.split('/').collect();
        let (namespace, name, key) = match parts[..] {
            [namespace, name] => (namespace, name, SECRET_KEY),
            [namespace, name, key] => (namespace, name, key),
            _ => return Err(format!("{text:?}: must be a file, or secret:NAMESPACE/NAME[/KEY]")),
        };
        Ok(Self::Secret { namespace: namespace.to_owned(), name: name.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Secret { namespace, name, key } => write!(f, "secret:{namespace}/{name}/{key}"),
        }
    }
}

/// Keys cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct KeyError {
    place: String,
    reason: String,
}

/// The keys in a file or a Secret. Of a file that others than its owner may read, the log is told.
///
/// # Errors
/// When it cannot be read, or holds something else; no part of a key is shown.
pub async fn read(source: &KeySource, client: Option<&Client>) -> Result<Vec<SigningKey>, KeyError> {
    let wrong =
        |reason: &dyn fmt::Display| KeyError { place: source.to_string(), reason: reason.to_string() };
    let text = match source {
        KeySource::File(path) => {
            let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
            warn_of_readers(path);
            text
        }
        KeySource::Secret { namespace, name, key } => {
            let client = client.ok_or_else(|| wrong(&"a Secret needs a cluster"))?;
            let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
            let mut secret = secrets.get(name).await.map_err(|error| wrong(&error))?;
            let found = secret.data.as_mut().and_then(|data| data.remove(key));
            let bytes = found.ok_or_else(|| wrong(&format_args!("it has no key {key}")))?.0;
            String::from_utf8(bytes).map_err(|_| wrong(&"it is not text"))?
        }
    };
    parse(&text).map_err(|reason| wrong(&reason))
}

/// Tells the log of a file of private keys that others than its owner may read or change. It is used all the same: where
/// Kubernetes mounts a Secret, its mode is not always one's own to choose.
pub fn warn_of_readers(path: &Path) {
    // A pipe has no mode that says anything, and what cannot be asked could be read all the same.
    let mode = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.permissions().mode());
    if let Some(mode) = mode.filter(|mode| is_open_to_others(*mode)) {
        let (file, mode) = (path.display(), mode & 0o777);
        tracing::warn!(
            "others than its owner have access to the private keys in {file} (mode {mode:03o}): chmod 600 {file}"
        );
    }
}

/// Whether anybody but its owner may read or change a file of this mode.
fn is_open_to_others(mode: u32) -> bool {
    mode & 0o066 != 0
}

/// The keys in a text, one to a line; empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// Which line is no key, which is not shown.
fn parse(text: &str) -> Result<Vec<SigningKey>, String> {
    let lines = text.lines().map(str::trim).enumerate();
    let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let key =
        |(number, line): (usize, &str)| line.parse().map_err(|error| format!("line {}: {error}", number + 1));
    keys.map(key).collect()
}

/// Those of the keys that sign for a log with this origin.
pub fn of_origin(keys: Vec<SigningKey>, origin: &str) -> Vec<SigningKey> {
    keys.into_iter().filter(|key| key.public().name() == origin).collect()
}

/// Makes a new key for the log with this origin out of 32 random bytes, and adds it to a file, which only its
/// owner may read. Answers what it is checked by.
///
/// # Errors
/// A name that cannot be an origin's; a file that cannot be written.
pub fn generate(path: &Path, origin: &str, random: [u8; 32]) -> Result<VerifierKey, KeyError> {
    let wrong = |reason: &dyn fmt::Display| KeyError {
        place: path.display().to_string(),
        reason: reason.to_string(),
    };
    let text = SigningKey::secret_text(origin, random).map_err(|error| wrong(&error))?;
    let key: SigningKey = text.parse().map_err(|error| wrong(&error))?;
    let there = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|error| wrong(&error))?,
    };
    parse(&there)
        .map_err(|error| wrong(&format_args!("it is no file of keys, and was left as it is: {error}")))?;
    let before = if there.is_empty() || there.ends_with('\n') { "" } else { "\n" };
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        // One that was there already may have been anybody's to read.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(format!("{before}{text}\n").as_bytes())?;
        file.sync_all()
    };
    written().map_err(|error| wrong(&error))?;
    Ok(key.public().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_come_back_from_the_file_they_were_added_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.key");
        fs::write(&path, "# of our audit\n\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let made: Vec<VerifierKey> = [("a.example", 1), ("b.example", 2), ("a.example", 3)]
            .map(|(origin, random)| generate(&path, origin, [random; 32]).unwrap())
            .into();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let keys = read(&KeySource::File(path.clone()), None).await.unwrap();
        assert_eq!(keys.iter().map(|key| key.public().clone()).collect::<Vec<_>>(), made);
        let of_a = of_origin(keys, "a.example");
        assert_eq!(of_a.len(), 2);

        let text = fs::read_to_string(&path).unwrap();
        let secret = text.lines().last().unwrap();
        fs::write(&path, format!("# x\n{}\n", &secret[..secret.len() - 2])).unwrap();
        let error = read(&KeySource::File(path), None).await.unwrap_err().to_string();
        assert!(error.contains("log.key: line 2: not a private key"), "{error}");
        assert!(!error.contains(&secret[30..60]), "{error}");
    }

    #[test]
    fn only_its_owner_may_have_a_file_of_keys() {
        for (mode, is_open) in
            [(0o600, false), (0o400, false), (0o700, false), (0o640, true), (0o604, true), (0o620, true)]
        {
            assert_eq!(is_open_to_others(0o100_000 | mode), is_open, "{mode:o}");
        }
    }

    #[test]
    fn keys_are_in_a_file_or_a_secret() {
        let secret = |key: &str| KeySource::Secret {
            namespace: "audit".to_owned(),
            name: "keys".to_owned(),
            key: key.to_owned(),
        };
        assert_eq!("secret:audit/keys".parse(), Ok(secret("log.key")));
        assert_eq!("secret:audit/keys/other".parse(), Ok(secret("other")));
        assert_eq!("/etc/log.key".parse(), Ok(KeySource::File("/etc/log.key".into())));
        assert!("secret:audit".parse::<KeySource>().is_err());
    }
}
