//! How what is served is encrypted: the flags, and what comes of them.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;

use crate::{http::Tls, metrics::Metrics, publish::keys::warn_of_readers};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsArgs {
    /// The certificate that the API shows, with those between it and its authority: PEM, as in tls.crt of a Secret. A
    /// renewed one is taken up within seconds
    #[arg(long, env = "DUALAUDIT_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// Its private key: PEM, without a passphrase, as in tls.key of a Secret
    #[arg(long, env = "DUALAUDIT_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate, where the API is served with one.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(super) fn open(&self, metrics: Arc<Metrics>) -> anyhow::Result<Option<Tls>> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else { return Ok(None) };
        warn_of_readers(key);
        let tls = Tls::open(certificate.clone(), key.clone(), metrics);
        Ok(Some(tls.context("--tls-certificate and --tls-key")?))
    }
}
