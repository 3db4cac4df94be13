//! The demo's credentials: made anew at every start, those of earlier starts revoked. Secrets are stored hashed, so they
//! could not be shown again.

use anyhow::Result;
use oubliette_core::model::{CredentialKind, TenantId};
use oubliette_core::service::{NewCredential, Vault};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::cli::usual_scopes;

const LABEL: &str = "demo";

/// One of each protocol. Secrets: no `Debug`.
pub struct Credentials {
    /// Header token.
    pub elevateai: Zeroizing<String>,
    /// Client id and secret.
    pub vonage: (Uuid, Zeroizing<String>),
    /// Client id and secret.
    pub creovai: (Uuid, Zeroizing<String>),
    /// Bearer token.
    pub native: Zeroizing<String>,
}

/// Makes one credential of each protocol and revokes the demo's earlier ones.
pub async fn make_credentials(vault: &Vault, tenant: TenantId) -> Result<Credentials> {
    for earlier in vault.credentials(tenant).await? {
        if earlier.label == LABEL && earlier.revoked_at.is_none() {
            vault.revoke_credential(tenant, earlier.id).await?;
        }
    }
    Ok(Credentials {
        elevateai: make(vault, tenant, CredentialKind::ElevateAi).await?.1,
        vonage: make(vault, tenant, CredentialKind::Vonage).await?,
        creovai: make(vault, tenant, CredentialKind::Creovai).await?,
        native: make(vault, tenant, CredentialKind::Native).await?.1,
    })
}

async fn make(vault: &Vault, tenant: TenantId, kind: CredentialKind) -> Result<(Uuid, Zeroizing<String>)> {
    let scopes = usual_scopes(kind).into_iter().collect();
    let new = NewCredential { tenant, kind, scopes, label: LABEL.to_owned(), expires_at: None };
    let (credential, secret) = vault.create_credential(new).await?;
    Ok((credential.id, Zeroizing::new(secret.expose().to_owned())))
}
