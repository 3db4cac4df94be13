//! TLS of the listener: rustls on the one crypto provider.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::telemetry;

/// When the first certificate of a PEM file ends; `None` where that cannot be read.
pub fn certificate_expires(certificate: &Path) -> Option<Timestamp> {
    let first = CertificateDer::pem_file_iter(certificate).ok()?.next()?.ok()?;
    telemetry::expires(&first)
}

/// Reads certificate chain and key, both PEM.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls.certificate_file: {} cannot be read as PEM", certificate.display()))?;
    if chain.is_empty() {
        bail!("tls.certificate_file: {} holds no certificate", certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("tls.key_file: {} holds no private key in PEM", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("tls: the protocol versions are not supported")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("tls: certificate and key do not belong together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
