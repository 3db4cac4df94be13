//! Certificates of the nodes, for each other.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::rig::Workspace;

/// Where nodes listen for each other.
const PORT: u16 = 8443;

/// Whose signature makes a node.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, in `nodes.pem` of the workspace.
    pub fn new(workspace: &Workspace) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(workspace.path("nodes.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key) }
    }

    /// Makes the certificate of a node; the section of its configuration.
    pub fn node(&self, workspace: &Workspace, node: usize, address: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![address.to_owned()]).unwrap().signed_by(&key, &self.issuer);
        let (certificate_file, key_file) =
            (workspace.path(&format!("node{node}.pem")), workspace.path(&format!("node{node}.key")));
        std::fs::write(&certificate_file, certificate.unwrap().pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        format!(
            "[node]\nlisten = \"{address}:{PORT}\"\nname = \"n{node}\"\nca_file = \"{}\"\ncertificate_file = \"{}\"\n\
             key_file = \"{}\"\n",
            text(&workspace.path("nodes.pem")),
            text(&certificate_file),
            text(&key_file),
        )
    }
}
