//! TLS to the server, as its sslmode asks for.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::location::Trust;
use crate::store::StoreError;

/// What makes connections as `trust` says.
///
/// # Errors
/// [`StoreError::Unavailable`] when no authority to trust can be read.
pub(super) fn connector(trust: &Trust) -> Result<MakeRustlsConnect, StoreError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Unavailable(format!("no TLS: {error}")))?;
    let config = match trust {
        Trust::Verified { roots } => {
            builder.with_root_certificates(authorities(roots.as_deref())?).with_no_client_auth()
        }
        Trust::Plain | Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// The authorities in a file, or those of the system.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, StoreError> {
    let mut store = RootCertStore::empty();
    let (named, found) = match file {
        None => ("the system".to_owned(), rustls_native_certs::load_native_certs().certs),
        Some(file) => {
            let named = file.display().to_string();
            let unreadable = |error: &dyn std::fmt::Display| {
                StoreError::Unavailable(format!("sslrootcert {named}: {error}"))
            };
            let certificates = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?;
            let certificates: Result<Vec<_>, _> = certificates.collect();
            (named.clone(), certificates.map_err(|error| unreadable(&error))?)
        }
    };
    store.add_parsable_certificates(found);
    if store.is_empty() {
        return Err(StoreError::Unavailable(format!("{named} has no certificate of an authority to trust")));
    }
    Ok(store)
}

/// Believes every certificate: what `prefer` and `require` promise is that nobody listens, not who
/// answers.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
