//! The certificate that the server shows, which may be renewed while it runs.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use dualaudit_record::digest::Digest;
use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::Instant;

use crate::metrics::Metrics;

/// How often the files are looked at. A content, not a time of change: what Kubernetes mounts are links to links.
const LOOK: Duration = Duration::from_secs(5);
/// How often the log is told again of files that cannot be used.
const REMIND: Duration = Duration::from_secs(600);
/// The most bytes of one of the files.
const FILE_BYTES: u64 = 1 << 20;

/// What connections are encrypted by: a certificate with its key, looked at again and again.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    used: Digest,
    shown: Arc<Shown>,
    look: Duration,
    metrics: Arc<Metrics>,
}

/// A certificate or a key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct TlsError {
    file: PathBuf,
    why: String,
}

impl Tls {
    /// The certificate in a PEM file, with those that it takes to an authority, and its private key in another.
    ///
    /// # Errors
    /// Which of the files cannot be used, and why; nothing that is in them is said.
    pub fn open(certificate: PathBuf, key: PathBuf, metrics: Arc<Metrics>) -> Result<Self, TlsError> {
        let files = Files { certificate, key };
        let Read { pair, digest } = files.read()?;
        Ok(Self { files, used: digest, shown: Arc::new(Shown(RwLock::new(pair))), look: LOOK, metrics })
    }

    /// What a connection is accepted with. HTTP/2 where the client can.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Shows what the files hold from now on, as long as this is awaited. What cannot be used is told to the log, and
    /// what was shown before stays. Connections that are there stay as they are.
    pub(super) async fn keep_renewed(mut self) {
        let mut refusal: Option<Refusal> = None;
        loop {
            tokio::time::sleep(self.look).await;
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { continue };
            match read {
                Ok(Read { digest, .. }) if digest == self.used => refusal = None,
                Ok(Read { pair, digest }) => {
                    refusal = None;
                    self.used = digest;
                    *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
                    tracing::info!(
                        "the certificate in {} is shown from now on",
                        self.files.certificate.display()
                    );
                }
                Err(why) => {
                    let before = refusal.take().filter(|refusal| refusal.why == why);
                    let now = Instant::now();
                    let is_due = before.as_ref().is_some_and(|before| before.is_due(now));
                    if is_due {
                        self.metrics.tls_renewal_failures.inc();
                        tracing::error!(
                            "the certificate cannot be renewed, and the one from before is shown: {why}"
                        );
                    }
                    let told = before.and_then(|before| before.told);
                    refusal = Some(Refusal { why, told: if is_due { Some(now) } else { told } });
                }
            }
        }
    }
}

/// Files that could not be used when they were looked at last.
#[derive(Debug)]
struct Refusal {
    why: TlsError,
    told: Option<Instant>,
}

impl Refusal {
    /// Whether the log is to be told, where it is still so at the next look: files that are being written are half of
    /// each for a moment.
    fn is_due(&self, now: Instant) -> bool {
        self.told.is_none_or(|told| now.duration_since(told) >= REMIND)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Where the certificate and its key are.
#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What was read of them.
struct Read {
    pair: Arc<CertifiedKey>,
    /// Of both files.
    digest: Digest,
}

impl Files {
    fn read(&self) -> Result<Read, TlsError> {
        let (certificates, key) = (content(&self.certificate)?, content(&self.key)?);
        let pair = self.pair(&certificates, &key)?;
        let both = [Digest::sha256(&certificates).0, Digest::sha256(&key).0].concat();
        Ok(Read { pair: Arc::new(pair), digest: Digest::sha256(&both) })
    }

    fn pair(&self, certificates: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
        let of_certificate = |why: String| TlsError { file: self.certificate.clone(), why };
        let of_key = |why: String| TlsError { file: self.key.clone(), why };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(|error| of_certificate(format!("it is no PEM: {error}")))?;
        if chain.is_empty() {
            return Err(of_certificate(
                "it has no certificate (PEM, -----BEGIN CERTIFICATE-----)".to_owned(),
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            of_key(
                "it has no private key (PEM: PKCS#8, PKCS#1 or SEC1); one under a passphrase cannot be used"
                    .to_owned(),
            )
        })?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                of_key(format!("it is not the key of the certificate in {}", self.certificate.display()))
            }
            Error::InvalidCertificate(error) => of_certificate(format!("the certificate cannot be used: {error}")),
            // Of the key alone, and without anything of it.
            _ => of_key("the private key cannot be used: RSA of 2048 to 8192 bits, ECDSA P-256 or P-384, and Ed25519 can"
                .to_owned()),
        })
    }
}

fn content(file: &Path) -> Result<Vec<u8>, TlsError> {
    let wrong = |why: String| TlsError { file: file.to_owned(), why };
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(wrong(format!("it has more than {FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// What is shown at present.
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Nothing of a key.
impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    /// How often files are looked at here.
    const SOON: Duration = Duration::from_millis(20);

    /// An authority, and what it vouches for.
    pub(crate) struct Authority {
        issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
        directory: tempfile::TempDir,
    }

    impl Authority {
        pub(crate) fn new() -> Self {
            let mut parameters = rcgen::CertificateParams::default();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = parameters.self_signed(&key).unwrap();
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("authority.pem"), certificate.pem()).unwrap();
            Self { issuer: rcgen::Issuer::new(parameters, key), directory }
        }

        pub(crate) fn file(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        /// A certificate and its key, as PEM.
        pub(crate) fn issue(
            &self,
            name: &str,
            change: impl FnOnce(&mut rcgen::CertificateParams),
        ) -> (String, String) {
            let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
            change(&mut parameters);
            let key = rcgen::KeyPair::generate().unwrap();
            (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
        }

        /// Writes a new certificate for a name, and its key, into the files `tls.crt` and `tls.key`.
        pub(crate) fn renew(&self, name: &str) -> String {
            let (certificate, key) = self.issue(name, |_| {});
            fs::write(self.file("tls.crt"), &certificate).unwrap();
            fs::write(self.file("tls.key"), key).unwrap();
            certificate
        }

        pub(crate) fn open(&self) -> Result<Tls, TlsError> {
            let tls = Tls::open(self.file("tls.crt"), self.file("tls.key"), Arc::new(Metrics::new()))?;
            Ok(Tls { look: SOON, ..tls })
        }
    }

    fn pem(certificate: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
    }

    fn shown(tls: &Shown) -> CertificateDer<'static> {
        tls.0.read().unwrap().cert[0].clone()
    }

    #[test]
    fn what_cannot_be_used_is_said_with_its_file() {
        let authority = Authority::new();
        let (certificate, key) = authority.issue("localhost", |_| {});
        let (_, other) = authority.issue("localhost", |_| {});
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (certificate, key, file, why) in [
            ("", key.as_str(), "tls.crt", "it has no certificate"),
            (broken, &key, "tls.crt", "the certificate cannot be used"),
            (&key, &key, "tls.crt", "it has no certificate"),
            (&certificate, "", "tls.key", "it has no private key"),
            (&certificate, no_key, "tls.key", "the private key cannot be used"),
            (&certificate, &certificate, "tls.key", "it has no private key"),
            (&certificate, &other, "tls.key", "it is not the key of the certificate in"),
        ] {
            fs::write(authority.file("tls.crt"), certificate).unwrap();
            fs::write(authority.file("tls.key"), key).unwrap();
            let error = authority.open().unwrap_err();
            assert_eq!(error.file, authority.file(file), "{error}");
            assert!(error.why.starts_with(why), "{error}");
            let secret = other.lines().nth(1).unwrap();
            assert!(!error.to_string().contains(secret), "{error}");
        }
        fs::write(authority.file("tls.crt"), &certificate).unwrap();
        fs::write(authority.file("tls.key"), &key).unwrap();
        let tls = authority.open().unwrap();
        assert!(!format!("{tls:?}").contains(key.lines().nth(1).unwrap()), "{tls:?}");
        fs::write(authority.file("tls.key"), vec![b' '; 2 << 20]).unwrap();
        assert!(authority.open().unwrap_err().why.contains("more than 1048576 bytes"));
        fs::remove_file(authority.file("tls.key")).unwrap();
        assert!(authority.open().unwrap_err().to_string().contains("tls.key: No such file"));
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_shown_and_one_that_cannot_be_used_is_not() {
        let authority = Authority::new();
        let first = authority.renew("localhost");
        let tls = authority.open().unwrap();
        let (now, metrics) = (Arc::clone(&tls.shown), Arc::clone(&tls.metrics));
        assert_eq!(shown(&now), pem(&first));
        let renewing = tokio::spawn(tls.keep_renewed());
        let second = authority.renew("localhost");
        while shown(&now) != pem(&second) {
            tokio::time::sleep(SOON).await;
        }
        // Half of what is new: told once, not at each look.
        let (certificate, key) = authority.issue("localhost", |_| {});
        fs::write(authority.file("tls.crt"), &certificate).unwrap();
        while metrics.tls_renewal_failures.get() == 0 {
            tokio::time::sleep(SOON).await;
        }
        tokio::time::sleep(5 * SOON).await;
        assert_eq!((metrics.tls_renewal_failures.get(), shown(&now)), (1, pem(&second)));
        fs::write(authority.file("tls.key"), key).unwrap();
        while shown(&now) != pem(&certificate) {
            tokio::time::sleep(SOON).await;
        }
        renewing.abort();
    }

    #[tokio::test]
    async fn what_kubernetes_mounts_is_renewed_as_it_swaps_a_link() {
        use std::os::unix::fs::symlink;
        let authority = Authority::new();
        let write = |version: &str| {
            let (certificate, key) = authority.issue("localhost", |_| {});
            fs::create_dir(authority.file(version)).unwrap();
            fs::write(authority.file(version).join("tls.crt"), &certificate).unwrap();
            fs::write(authority.file(version).join("tls.key"), key).unwrap();
            symlink(version, authority.file("..data_tmp")).unwrap();
            fs::rename(authority.file("..data_tmp"), authority.file("..data")).unwrap();
            pem(&certificate)
        };
        let first = write("..1");
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), authority.file(name)).unwrap();
        }
        let tls = authority.open().unwrap();
        let now = Arc::clone(&tls.shown);
        assert_eq!(shown(&now), first);
        let renewing = tokio::spawn(tls.keep_renewed());
        let second = write("..2");
        while shown(&now) != second {
            tokio::time::sleep(SOON).await;
        }
        renewing.abort();
    }
}
