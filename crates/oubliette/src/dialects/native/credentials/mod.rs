//! Credentials of the caller's tenant, of every protocol: make, list, revoke.

pub mod create;
pub mod list;
pub mod revoke;

use jiff::Timestamp;
use oubliette_core::model::Credential;
use serde::Serialize;
use utoipa::ToSchema;

/// A credential as shown. Its secret was shown once, when it was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialView {
    /// Its id; for protocols with client ids also that.
    id: String,
    /// Its protocol.
    kind: &'static str,
    /// What it may do.
    scopes: Vec<&'static str>,
    /// A label for people.
    label: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it stops working by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

impl From<&Credential> for CredentialView {
    fn from(credential: &Credential) -> Self {
        Self {
            id: credential.id.to_string(),
            kind: credential.kind.name(),
            scopes: credential.scopes.iter().map(|scope| scope.name()).collect(),
            label: credential.label.clone(),
            created_at: credential.created_at,
            expires_at: credential.expires_at,
            revoked_at: credential.revoked_at,
        }
    }
}
