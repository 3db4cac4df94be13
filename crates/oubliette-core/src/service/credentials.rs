//! Tenants, credentials and access tokens.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::vault::{Inner, Vault};
use super::{AuthError, NewCredential, Secret, VaultError};
use crate::model::{Actor, Credential, CredentialKind, Scopes, TenantId};
use crate::ports::{Applied, Check, CredentialRow, Transaction, Write};

/// All credentials, in memory: they are few and every request needs one.
#[derive(Default)]
pub struct CredentialCache {
    by_id: HashMap<Uuid, CredentialRow>,
    by_hash: HashMap<[u8; 32], Uuid>,
}

impl CredentialCache {
    /// From the stored rows.
    pub fn load(rows: Vec<CredentialRow>) -> Self {
        let mut cache = Self::default();
        rows.into_iter().for_each(|row| cache.insert(row));
        cache
    }

    fn insert(&mut self, row: CredentialRow) {
        self.by_hash.insert(row.secret_hash, row.id);
        self.by_id.insert(row.id, row);
    }
}

impl CredentialRow {
    fn public(&self) -> Credential {
        Credential {
            id: self.id,
            tenant: self.tenant,
            kind: self.kind,
            scopes: self.scopes,
            label: self.label.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        }
    }
}

/// Access token layout: version 1 ‖ kind ‖ credential 16 ‖ scopes u32 ‖ expiry u64 (seconds) ‖ random 8 ‖ HMAC-SHA-256 32.
const TOKEN_BODY: usize = 38;

impl Vault {
    /// Makes a tenant; seals its id secret into the key state.
    pub async fn create_tenant(&self, name: &str) -> Result<TenantId, VaultError> {
        if name.is_empty() || name.len() > 200 {
            return Err(VaultError::Invalid("a tenant's name has 1 to 200 bytes"));
        }
        let inner = &self.inner;
        inner.changeable()?;
        let _one_at_a_time = inner.tenant_lock.lock().await;
        let mut secrets = inner.secrets.read().unwrap_or_else(PoisonError::into_inner).clone();
        let tenant = secrets.add_tenant().map_err(VaultError::internal)?;
        inner.sealer.attach(secrets.encode()).await?;
        inner.install_secrets(secrets)?;
        let write = Write::InsertTenant(tenant, name.to_owned());
        inner.apply_unchecked("tenant.create", vec![write]).await?;
        Ok(tenant)
    }

    /// All tenants.
    pub async fn tenants(&self) -> Result<Vec<(TenantId, String)>, VaultError> {
        self.inner.metadata.tenants().await.map_err(|error| self.inner.port(error))
    }

    /// Makes a credential; the secret is shown this once. No actor: used by `token` and `demo` on the machine itself.
    pub async fn create_credential(&self, new: NewCredential) -> Result<(Credential, Secret), VaultError> {
        if new.label.len() > 200 {
            return Err(VaultError::Invalid("a credential's label has at most 200 bytes"));
        }
        self.inner.changeable()?;
        if self.inner.id_cipher(new.tenant).is_none() {
            return Err(VaultError::NotFound);
        }
        let secret = draw_secret(new.kind)?;
        let row = CredentialRow {
            id: Uuid::new_v4(),
            tenant: new.tenant,
            kind: new.kind,
            scopes: new.scopes,
            label: new.label,
            secret_hash: hash(&secret),
            created_at: self.inner.clock.now(),
            expires_at: new.expires_at,
            revoked_at: None,
        };
        let credential = row.public();
        self.inner.apply_unchecked("credential.create", vec![Write::InsertCredential(row.clone())]).await?;
        self.inner.credentials.write().unwrap_or_else(PoisonError::into_inner).insert(row);
        Ok((credential, Secret(secret)))
    }

    /// A tenant's credentials, oldest first.
    pub async fn credentials(&self, tenant: TenantId) -> Result<Vec<Credential>, VaultError> {
        let cache = self.inner.credentials.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> =
            cache.by_id.values().filter(|row| row.tenant == tenant).map(|row| row.public()).collect();
        list.sort_by_key(|credential| (credential.created_at, credential.id));
        Ok(list)
    }

    /// Revokes a credential for good; `NotFound` for another tenant's. In force at once; answered once no older copy of the
    /// database can take it back.
    ///
    /// # Errors
    /// `Unavailable` when the key state does not hear of it in time: it is in force, and is told to the key state later.
    pub async fn revoke_credential(&self, tenant: TenantId, id: Uuid) -> Result<(), VaultError> {
        let inner = &self.inner;
        let now = inner.clock.now();
        {
            let cache = inner.credentials.read().unwrap_or_else(PoisonError::into_inner);
            match cache.by_id.get(&id) {
                Some(row) if row.tenant == tenant => {}
                _ => return Err(VaultError::NotFound),
            }
        }
        inner.changeable()?;
        inner.apply_unchecked("credential.revoke", vec![Write::RevokeCredential(id, now)]).await?;
        {
            let mut cache = inner.credentials.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(row) = cache.by_id.get_mut(&id) {
                row.revoked_at.get_or_insert(now);
            }
        }
        // On its own: a seal that stalls is made in the end, and what it sealed must be in use then.
        let work = Arc::clone(inner);
        let noting = tokio::spawn(async move { work.note_revoked(std::iter::once(id)).await });
        match tokio::time::timeout(inner.settings.seal_timeout, noting).await {
            Ok(noted) => noted.map_err(VaultError::internal)?,
            Err(_) => Err(VaultError::Unavailable(None)),
        }
    }

    /// Authenticates a static token (native API, ElevateAI dialect).
    pub fn authenticate_token(&self, kind: CredentialKind, token: &str) -> Result<Actor, AuthError> {
        let cache = self.inner.credentials.read().unwrap_or_else(PoisonError::into_inner);
        let row = cache.by_hash.get(&hash(token)).and_then(|id| cache.by_id.get(id));
        let row = row.filter(|row| row.kind == kind && self.usable(row)).ok_or(AuthError::Unauthenticated)?;
        Ok(Actor { tenant: row.tenant, credential: row.id, scopes: row.scopes })
    }

    /// Authenticates a client id and secret (token end points).
    pub fn authenticate_client(&self, kind: CredentialKind, id: &str, secret: &str) -> Result<Credential, AuthError> {
        let given = hash(secret);
        let id = Uuid::try_parse(id).map_err(|_| AuthError::Unauthenticated)?;
        let cache = self.inner.credentials.read().unwrap_or_else(PoisonError::into_inner);
        let row = cache.by_id.get(&id).ok_or(AuthError::Unauthenticated)?;
        let same = constant_time::verify_slices_are_equal(&given, &row.secret_hash).is_ok();
        if same && row.kind == kind && self.usable(row) { Ok(row.public()) } else { Err(AuthError::Unauthenticated) }
    }

    /// Issues an access token for some of the credential's scopes. Earlier tokens stay valid.
    pub fn issue_access_token(&self, credential: &Credential, scopes: Scopes, lifetime: Duration) -> String {
        let scopes = scopes.intersection(credential.scopes);
        let now = u64::try_from(self.inner.clock.now().as_second()).unwrap_or(0);
        let mut body = Vec::with_capacity(TOKEN_BODY + 32);
        body.push(1);
        body.push(credential.kind as u8);
        body.extend_from_slice(credential.id.as_bytes());
        body.extend_from_slice(&scopes.to_bits().to_be_bytes());
        body.extend_from_slice(&(now + lifetime.as_secs()).to_be_bytes());
        // Random bytes only make tokens differ; their source failing is no reason to refuse one.
        body.extend_from_slice(&Uuid::new_v4().as_bytes()[..8]);
        let tag = hmac::sign(&self.inner.token_key, &body);
        body.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(body)
    }

    /// Authenticates an access token; expired, revoked or foreign ones are all the same.
    pub fn authenticate_access_token(&self, kind: CredentialKind, token: &str) -> Result<Actor, AuthError> {
        let refused = AuthError::Unauthenticated;
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused)?;
        let (body, tag) = bytes.split_at_checked(TOKEN_BODY).ok_or(refused)?;
        hmac::verify(&self.inner.token_key, body, tag).map_err(|_| refused)?;
        let field = |from: usize, to: usize| body[from..to].iter().fold(0_u64, |v, b| (v << 8) | u64::from(*b));
        let id = Uuid::from_slice(&body[2..18]).map_err(|_| refused)?;
        let expiry = i64::try_from(field(22, 30)).map_err(|_| refused)?;
        let now = self.inner.clock.now().as_second();
        if body[0] != 1 || body[1] != kind as u8 || expiry <= now {
            return Err(refused);
        }
        let cache = self.inner.credentials.read().unwrap_or_else(PoisonError::into_inner);
        let row = cache.by_id.get(&id).filter(|row| row.kind == kind && self.usable(row)).ok_or(refused)?;
        let scopes = Scopes::from_bits(field(18, 22) as u32).intersection(row.scopes);
        Ok(Actor { tenant: row.tenant, credential: id, scopes })
    }

    /// Authenticates bytes a dialect hands out and wants back unchanged (cursors, links). Not encrypted.
    pub fn stamp(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.inner.token_key);
        context.update(b"stamp\0");
        context.update(purpose.as_bytes());
        context.update(b"\0");
        context.update(bytes);
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    fn usable(&self, row: &CredentialRow) -> bool {
        row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > self.inner.clock.now())
    }
}

impl Inner {
    /// Notes in the key state which credentials are revoked; durable on return.
    async fn note_revoked(&self, ids: impl Iterator<Item = Uuid> + Send) -> Result<(), VaultError> {
        let _one_at_a_time = self.tenant_lock.lock().await;
        let mut secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone();
        if ids.fold(false, |new, id| secrets.revoke(id) | new) {
            self.sealer.attach(secrets.encode()).await?;
            self.install_secrets(secrets)?;
        }
        Ok(())
    }

    /// Brings the rows of credentials and the key state into line: what one of them knows to be revoked is revoked. Over an older
    /// copy of the database it is so in memory. The key state hears of it with a seal that nobody waits for.
    pub async fn settle_revoked(self: &Arc<Self>) -> Result<(), VaultError> {
        let known = self.secrets.read().unwrap_or_else(PoisonError::into_inner).revoked().clone();
        let now = self.clock.now();
        let (mut taken_back, mut unknown) = (Vec::new(), Vec::new());
        {
            let mut cache = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
            for row in cache.by_id.values_mut() {
                match (row.revoked_at, known.contains(&row.id)) {
                    (None, true) => {
                        row.revoked_at = Some(now);
                        taken_back.push(Write::RevokeCredential(row.id, now));
                    }
                    (Some(_), false) => unknown.push(row.id),
                    _ => {}
                }
            }
        }
        if self.attached.is_some() {
            return Ok(());
        }
        if !taken_back.is_empty() {
            tracing::warn!(
                credentials = taken_back.len(),
                "the database took revoked credentials back; they stay revoked"
            );
            self.apply_unchecked("credential.revoke", taken_back).await?;
        }
        if !unknown.is_empty() {
            let work = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = work.note_revoked(unknown.into_iter()).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the key state was not told of revoked credentials; the next start will");
                }
            });
        }
        Ok(())
    }

    /// Writes that have nothing to check.
    pub async fn apply_unchecked(&self, name: &'static str, writes: Vec<Write>) -> Result<u64, VaultError> {
        self.apply(name, Vec::new(), writes).await?.map_err(|_| VaultError::Internal(None))
    }

    /// Applies a transaction; the inner error is the position of the check that failed.
    pub async fn apply(
        &self,
        name: &'static str,
        checks: Vec<Check>,
        writes: Vec<Write>,
    ) -> Result<Result<u64, usize>, VaultError> {
        let applied = self.transact(Transaction { name, checks, writes }).await?;
        if let Ok(counter) = applied
            && self.attached.is_none()
        {
            self.shared.note_change(counter + self.commit_offset);
        }
        Ok(applied)
    }

    /// Applies what the next start finds out by itself where the rows lack it: a stop makes no seal for that.
    pub async fn note(&self, name: &'static str, writes: Vec<Write>) -> Result<(), VaultError> {
        let noted = self.transact(Transaction { name, checks: Vec::new(), writes }).await?;
        noted.map(|_| ()).map_err(|_| VaultError::Internal(None))
    }

    async fn transact(&self, transaction: Transaction) -> Result<Result<u64, usize>, VaultError> {
        match self.metadata.apply(transaction).await {
            Ok(Applied::Done(counter)) => {
                // What an older copy counts by itself is not pinned: see `attached`.
                if self.attached.is_none() {
                    self.shared.note_commit(counter + self.commit_offset);
                }
                Ok(Ok(counter))
            }
            Ok(Applied::Failed(check)) => Ok(Err(check)),
            Err(error) => Err(self.port(error)),
        }
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    out
}

/// 256 random bits, or for the protocol whose tokens are GUIDs a random UUID (122 bits).
fn draw_secret(kind: CredentialKind) -> Result<Zeroizing<String>, VaultError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(&mut *bytes).map_err(|_| VaultError::Internal(None))?;
    Ok(Zeroizing::new(match kind {
        CredentialKind::ElevateAi => {
            let mut half = [0; 16];
            half.copy_from_slice(&bytes[..16]);
            uuid::Builder::from_random_bytes(half).into_uuid().to_string()
        }
        CredentialKind::Native => format!("obl_{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())),
        CredentialKind::Vonage | CredentialKind::Creovai => URL_SAFE_NO_PAD.encode(bytes.as_slice()),
    }))
}
