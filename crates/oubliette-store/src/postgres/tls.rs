//! TLS to the server: certificate and name are always checked.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresError;

/// Who may vouch for the server.
#[derive(Clone, Copy)]
pub(super) enum Roots<'a> {
    /// Nobody: no TLS will be spoken.
    None,
    /// Those the system trusts.
    System,
    /// Those in a file.
    File(&'a Path),
}

/// Makes the TLS side of connections.
pub(super) fn connector(roots: Roots<'_>) -> Result<MakeRustlsConnect, PostgresError> {
    let told = |error: &dyn std::fmt::Display| PostgresError::Tls(error.to_string());
    let mut store = RootCertStore::empty();
    match roots {
        Roots::None => {}
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                return Err(PostgresError::Tls("the system trusts nobody; name a CA file".to_owned()));
            }
        }
        Roots::File(path) => {
            let read = |source| PostgresError::File { what: "the CA file", path: path.to_owned(), source };
            let pem = std::fs::read(path).map_err(read)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| told(&error))?;
                store.add(certificate).map_err(|error| told(&error))?;
            }
            if store.is_empty() {
                return Err(PostgresError::Tls("the CA file holds no certificate".to_owned()));
            }
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| told(&error))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
