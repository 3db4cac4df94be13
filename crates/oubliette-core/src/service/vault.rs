//! The vault.

use jiff::Timestamp;
use keyforest::Leaf;
use std::time::Duration;
use uuid::Uuid;

use super::*;
use crate::model::{Actor, Credential, CredentialKind, InteractionMeta, Scopes, Selector, State, TenantId};

/// The vault: cheap to clone, shared by all fronts. Every method checks the actor's scopes itself.
#[derive(Clone)]
pub struct Vault {}

/// An interaction being captured whose contents arrive before its metadata is known.
pub struct Draft {}

#[expect(unused_variables, reason = "signatures first")]
impl Vault {
    /// Opens a vault: checks that database and register belong together, finishes what a crash left, rebuilds the look-up
    /// map in the background, starts the sealer and the sweeper.
    pub async fn open(parts: VaultParts) -> Result<Self, VaultError> {
        todo!()
    }
    /// Stops taking orders, seals what is planned, ends the workers.
    pub async fn close(&self) {
        todo!()
    }
    /// Whether requests can be served.
    pub fn readiness(&self) -> Readiness {
        todo!()
    }
    /// Waits until the look-up map is complete.
    pub async fn wait_ready(&self) {
        todo!()
    }
    /// Figures for operators.
    pub async fn status(&self) -> Result<Status, VaultError> {
        todo!()
    }
    /// The settings it was opened with.
    pub fn settings(&self) -> &VaultSettings {
        todo!()
    }
    /// The clock it was opened with.
    pub fn now(&self) -> Timestamp {
        todo!()
    }

    // Tenants and credentials.

    /// Makes a tenant; seals its id secret into the key state.
    pub async fn create_tenant(&self, name: &str) -> Result<TenantId, VaultError> {
        todo!()
    }
    /// All tenants.
    pub async fn tenants(&self) -> Result<Vec<(TenantId, String)>, VaultError> {
        todo!()
    }
    /// Makes a credential; the secret is shown this once. No actor: used by `token` and `demo` on the machine itself.
    pub async fn create_credential(&self, new: NewCredential) -> Result<(Credential, Secret), VaultError> {
        todo!()
    }
    /// A tenant's credentials.
    pub async fn credentials(&self, tenant: TenantId) -> Result<Vec<Credential>, VaultError> {
        todo!()
    }
    /// Revokes a credential for good; `NotFound` for another tenant's.
    pub async fn revoke_credential(&self, tenant: TenantId, id: Uuid) -> Result<(), VaultError> {
        todo!()
    }
    /// Authenticates a static token (native API, ElevateAI dialect).
    pub fn authenticate_token(&self, kind: CredentialKind, token: &str) -> Result<Actor, AuthError> {
        todo!()
    }
    /// Authenticates a client id and secret (token end points).
    pub fn authenticate_client(&self, kind: CredentialKind, id: &str, secret: &str) -> Result<Credential, AuthError> {
        todo!()
    }
    /// Issues an access token for some of the credential's scopes. Earlier tokens stay valid.
    pub fn issue_access_token(&self, credential: &Credential, scopes: Scopes, lifetime: Duration) -> String {
        todo!()
    }
    /// Authenticates an access token; expired, revoked or foreign ones are all the same.
    pub fn authenticate_access_token(&self, kind: CredentialKind, token: &str) -> Result<Actor, AuthError> {
        todo!()
    }

    // Ingest. Scope: InteractionWrite.

    /// Makes an interaction without contents.
    pub async fn create(&self, actor: &Actor, new: NewInteraction) -> Result<Interaction, VaultError> {
        todo!()
    }
    /// Begins a capture whose contents come first.
    pub fn draft(&self, actor: &Actor) -> Result<Draft, VaultError> {
        todo!()
    }
    /// Stores a content on a live interaction; with the same key an earlier one is replaced and erased.
    pub async fn put_content(
        &self,
        actor: &Actor,
        id: &str,
        new: NewContent,
        body: BodyStream,
    ) -> Result<Content, VaultError> {
        todo!()
    }
    /// Stores the recording an interaction waits for (`AwaitingUpload`, `UploadFailed`; else `Conflict`): state
    /// `Uploading` while it runs, then `Processed` or `Pending`.
    pub async fn upload(
        &self,
        actor: &Actor,
        id: &str,
        new: NewContent,
        body: BodyStream,
    ) -> Result<Content, VaultError> {
        todo!()
    }
    /// Changes metadata, and the state when given: read, change, write, again on a conflict. Look-up keys follow.
    /// Scope: InteractionWrite or MetadataWrite.
    pub async fn amend(
        &self,
        actor: &Actor,
        id: &str,
        state: Option<State>,
        change: &(dyn Fn(&mut InteractionMeta) + Send + Sync),
    ) -> Result<Interaction, VaultError> {
        todo!()
    }

    // Reading. Scope: InteractionRead.

    /// One interaction by public id, else by external id. `Gone` when erased, `NotFound` otherwise.
    pub async fn interaction(&self, actor: &Actor, id: &str) -> Result<Interaction, VaultError> {
        todo!()
    }
    /// Live interactions that a personal key names, in order of arrival. Scope: InteractionRead, MetadataWrite or
    /// InteractionPurge.
    pub async fn lookup(&self, actor: &Actor, key: &Lookup) -> Result<Vec<Interaction>, VaultError> {
        todo!()
    }
    /// A page in (start, id) order of those that `filter` lets through.
    pub async fn list(
        &self,
        actor: &Actor,
        query: &ListQuery,
        filter: &(dyn Fn(&Interaction, &[Content]) -> bool + Send + Sync),
    ) -> Result<(Page, Vec<Vec<Content>>), VaultError> {
        todo!()
    }
    /// The contents of a live interaction, by leaf.
    pub async fn contents(&self, actor: &Actor, interaction: &Interaction) -> Result<Vec<Content>, VaultError> {
        todo!()
    }
    /// Opens a content for streaming.
    pub async fn read(
        &self,
        actor: &Actor,
        content: &Content,
        range: Option<ByteRange>,
    ) -> Result<ContentReader, VaultError> {
        todo!()
    }
    /// Reads a small content whole; `TooLarge` above `limit` bytes.
    pub async fn read_all(&self, actor: &Actor, content: &Content, limit: u64) -> Result<Vec<u8>, VaultError> {
        todo!()
    }

    // Erasing.

    /// Erases a whole interaction; returns only after *sealed*. Scope: InteractionDelete.
    pub async fn erase_interaction(&self, actor: &Actor, id: &str) -> Result<(), VaultError> {
        todo!()
    }
    /// Erases one content; returns only after *sealed*. Scope: InteractionDelete.
    pub async fn erase_content(&self, actor: &Actor, id: &str, leaf: Leaf) -> Result<(), VaultError> {
        todo!()
    }
    /// Erases many interactions in one go; unknown and already erased ids are passed over; returns how many were erased,
    /// only after *sealed*. Scope: InteractionDelete.
    pub async fn erase_interactions(&self, actor: &Actor, ids: &[String]) -> Result<usize, VaultError> {
        todo!()
    }
    /// What an order would erase; changes nothing. Scope: InteractionPurge.
    pub async fn plan(&self, actor: &Actor, selector: &Selector) -> Result<Plan, VaultError> {
        todo!()
    }
    /// Accepts an order: returns once everything it names is *hidden* and the order is in the journal; the seal follows.
    /// `None` when it names nothing live. Scope: InteractionPurge.
    pub async fn order(&self, actor: &Actor, order: Order) -> Result<(Option<Uuid>, Plan), VaultError> {
        todo!()
    }
    /// One erasure of the tenant. Scope: InteractionPurge or InteractionDelete.
    pub async fn erasure(&self, actor: &Actor, id: Uuid) -> Result<ErasureView, VaultError> {
        todo!()
    }
    /// Its items from position `from` on, at most `limit`. Scope as [`Vault::erasure`].
    pub async fn erasure_items(
        &self,
        actor: &Actor,
        id: Uuid,
        from: usize,
        limit: usize,
    ) -> Result<Vec<ErasureItem>, VaultError> {
        todo!()
    }
    /// Erasures of the tenant, newest first. Scope as [`Vault::erasure`].
    pub async fn erasures(
        &self,
        actor: &Actor,
        before: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<ErasureView>, VaultError> {
        todo!()
    }
    /// Waits until an erasure is sealed; `StillDue` when `limit` runs out.
    pub async fn wait_sealed(&self, id: Uuid, limit: Duration) -> Result<(), VaultError> {
        todo!()
    }
    /// Whether this session id names an interaction that is hidden but not yet sealed (a purge under way), for dialects
    /// whose status keeps its value until then: its id, the state it had, its play time in milliseconds.
    pub fn session_being_erased(&self, actor: &Actor, session: &str) -> Option<(PublicId, State, Option<u64>)> {
        todo!()
    }
}

#[expect(unused_variables, reason = "signatures first")]
impl Draft {
    /// The id the interaction will have.
    pub fn id(&self) -> PublicId {
        todo!()
    }
    /// Stores a content's bytes; nothing can be seen before [`Draft::commit`]. Dropping the draft discards them.
    pub async fn add(&mut self, new: NewContent, body: BodyStream) -> Result<(), VaultError> {
        todo!()
    }
    /// Play time in milliseconds and channels of the contents added so far, where their headers told.
    pub fn audio(&self) -> Option<(u64, u8)> {
        todo!()
    }
    /// Makes the interaction with its contents, durably, at once.
    pub async fn commit(self, new: NewInteraction) -> Result<Interaction, VaultError> {
        todo!()
    }
}
