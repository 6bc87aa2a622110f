//! Who is trusted to be the server.

use std::{error::Error, io, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, InvalidMessage, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// TLS with the authorities in a file, or those of the platform.
///
/// # Errors
/// That no authority can be read, and why.
pub(super) fn config(authorities: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let (named, found) = match authorities {
        None => ("the platform".to_owned(), rustls_native_certs::load_native_certs().certs),
        Some(file) => {
            let named = file.display().to_string();
            let certificates: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
            (named.clone(), certificates.map_err(|error| format!("{named}: {error}"))?)
        }
    };
    roots.add_parsable_certificates(found);
    if roots.is_empty() {
        return Err(format!("{named} has no certificate of an authority (PEM) to trust"));
    }
    Ok(with(roots))
}

/// TLS for nobody, where none is spoken.
pub(super) fn none() -> ClientConfig {
    with(RootCertStore::empty())
}

fn with(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// What is wrong with the certificate that a server showed, and what to do; nothing where it was something else.
pub(super) fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return said(tls);
        }
        // An I/O error does not tell what it is made of as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn said(error: &rustls::Error) -> Option<String> {
    use CertificateError as Wrong;
    let certificate = match error {
        rustls::Error::InvalidCertificate(certificate) => certificate,
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            return Some("speaks no TLS: ask with http:// in place of https://".to_owned());
        }
        _ => return None,
    };
    Some(match certificate {
        Wrong::UnknownIssuer | Wrong::BadSignature => {
            "shows a certificate that no trusted authority vouches for: name its authority by --server-ca"
                .to_owned()
        }
        Wrong::Expired | Wrong::ExpiredContext { .. } => {
            format!("shows a certificate whose time is over ({certificate}): it has to be renewed there")
        }
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
            format!("shows a certificate whose time has not come ({certificate}): compare the clocks")
        }
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            format!("shows a certificate for another name ({certificate}): ask it by a name that is in it")
        }
        _ => format!("shows a certificate that cannot be trusted: {certificate}"),
    })
}
