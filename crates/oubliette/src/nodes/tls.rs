//! Mutual TLS, between nodes and with escrow agents: both sides show a certificate of an authority of their own. rustls on the
//! one crypto provider.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::NodeFiles;

/// Both sides of a node's TLS.
pub struct NodeTls {
    /// As it is reached.
    pub server: Arc<ServerConfig>,
    /// As it reaches others.
    pub client: Arc<ClientConfig>,
}

impl NodeTls {
    /// Reads the files; certificate and key must belong together.
    pub fn read(files: &NodeFiles) -> Result<Self> {
        Self::read_for("node", files)
    }

    /// The same for the files that another section names.
    pub fn read_for(section: &str, files: &NodeFiles) -> Result<Self> {
        Self::read_files(files).map_err(|error| error.context(format!("[{section}]")))
    }

    fn read_files(files: &NodeFiles) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = Arc::new(roots(files)?);
        Ok(Self {
            server: Arc::new(server(files, &roots, &provider)?),
            client: Arc::new(client(files, roots, provider)?),
        })
    }
}

fn server(files: &NodeFiles, roots: &Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Result<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .with_context(|| format!("{}.ca_file: no certificate of an authority", files.section))?;
    let (chain, key) = identity(files)?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("TLS 1.3 is not supported")?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .with_context(|| format!("{}.key_file: certificate and key do not belong together", files.section))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn client(files: &NodeFiles, roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<ClientConfig> {
    let (chain, key) = identity(files)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("TLS 1.3 is not supported")?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .with_context(|| format!("{}.key_file: certificate and key do not belong together", files.section))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(files: &NodeFiles) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (path, section) = (files.ca.display(), files.section);
    let certificates = CertificateDer::pem_file_iter(&files.ca)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{section}.ca_file: {path} cannot be read as PEM"))?;
    for certificate in certificates {
        roots
            .add(certificate)
            .with_context(|| format!("{section}.ca_file: {path} holds no certificate of an authority"))?;
    }
    if roots.is_empty() {
        bail!("{section}.ca_file: {path} holds no certificate");
    }
    Ok(roots)
}

fn identity(files: &NodeFiles) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let (path, section) = (files.certificate.display(), files.section);
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{section}.certificate_file: {path} cannot be read as PEM"))?;
    if chain.is_empty() {
        bail!("{section}.certificate_file: {path} holds no certificate");
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("{section}.key_file: {} holds no private key in PEM", files.key.display()))?;
    Ok((chain, key))
}
