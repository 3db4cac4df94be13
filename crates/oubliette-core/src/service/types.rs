//! Parameters and results of the services.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use keyforest::media::Medium;
use keyforest::{Forest, Group, Leaf, Probe};
use oubliette_proof::Token;
use uuid::Uuid;

use super::{BulkLimits, ContentStream, LogSettings};
use crate::model::{
    ContentKey, ContentKind, ContentMeta, CredentialKind, InteractionKind, InteractionMeta, Scopes, Selector, State,
    TenantId,
};
use crate::ports::{Blobs, Clock, Lease, Lenders, Metadata, PurgeState};

/// What a vault stands on.
pub struct VaultParts {
    /// Rows.
    pub metadata: Arc<dyn Metadata>,
    /// Bytes.
    pub blobs: Arc<dyn Blobs>,
    /// Keys.
    pub forest: Arc<Forest>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The right to use keys.
    pub lease: Arc<dyn Lease>,
    /// Who reads with keys lent from here.
    pub lenders: Arc<dyn Lenders>,
    /// Where the log lies: beside the key pages.
    pub log: Arc<dyn Medium>,
    /// Told of named moments; tests crash or copy there.
    pub probe: Arc<dyn Probe>,
    /// Rules and limits.
    pub settings: VaultSettings,
}

/// Who makes an interaction `processed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IngestMode {
    /// Nobody: it is processed as soon as its bytes are stored.
    #[default]
    Direct,
    /// An external processor fetches it, puts results and sets the state through the native API.
    External,
}

/// Rules and limits of a vault.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// Region for phone numbers without `+` (ISO 3166 alpha-2), if any.
    pub default_region: Option<String>,
    /// Participant types that are not customers, compared without case.
    pub internal_roles: Vec<String>,
    /// Who processes.
    pub ingest: IngestMode,
    /// How long a delete waits for its seal before it answers *still due*.
    pub seal_timeout: Duration,
    /// How long after a seal a retry of an unanswered delete is answered as success.
    pub retry_grace: Duration,
    /// Largest content in bytes.
    pub max_content_bytes: u64,
    /// Interactions one order may erase.
    pub max_order_interactions: usize,
    /// Whether rows and blobs of sealed erasures are removed in the background. Off only in benchmarks.
    pub sweeping: bool,
    /// Whether the log is told of seals and arrivals. Off only in benchmarks, to see what it costs: nothing is certified then, and
    /// nothing swept.
    pub telling: bool,
    /// How long after an order's acceptance sealed copies may still lie in backups, if that is told in certificates.
    pub backup_horizon: Option<Duration>,
    /// What lowers the register's class, in words for the log; empty for a register that is trusted.
    pub register_findings: Vec<Token>,
    /// Mirrors of the key state: each of them holds a state before the root before it is destroyed.
    pub mirrors: u8,
    /// Agents that hold the root's envelope.
    pub agents: u8,
    /// How many of them have confirmed that they destroyed the old one before a seal counts.
    pub agents_confirm: u8,
    /// How long each step of a stop may take.
    pub stop_patience: Duration,
    /// How the log is opened.
    pub log: LogSettings,
    /// Bounds of the files of all receipts of an order.
    pub bulk: BulkLimits,
}

impl Default for VaultSettings {
    fn default() -> Self {
        Self {
            default_region: None,
            internal_roles: ["agent", "ivr", "system", "bot"].map(str::to_owned).to_vec(),
            ingest: IngestMode::Direct,
            seal_timeout: Duration::from_secs(30),
            retry_grace: Duration::from_secs(300),
            max_content_bytes: 8 << 30,
            max_order_interactions: 1_000_000,
            sweeping: true,
            telling: true,
            backup_horizon: None,
            register_findings: Vec::new(),
            mirrors: 0,
            agents: 0,
            agents_confirm: 0,
            stop_patience: Duration::from_secs(10),
            log: LogSettings::default(),
            bulk: BulkLimits::default(),
        }
    }
}

/// The one id every dialect shows: a UUIDv8 that decodes to a leaf group under the tenant's secret (design §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicId(pub Uuid);

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_hyphenated())
    }
}

/// A secret that is shown once. `Display` gives it; there is no `Debug`.
pub struct Secret(pub(crate) zeroize::Zeroizing<String>);

impl Secret {
    /// The text to show.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A credential to be made.
pub struct NewCredential {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its protocol.
    pub kind: CredentialKind,
    /// What it may do.
    pub scopes: Scopes,
    /// Label for people.
    pub label: String,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// A live interaction with its opened metadata. Personal: no `Debug`.
#[derive(Clone)]
pub struct Interaction {
    /// Its public id.
    pub id: PublicId,
    /// Its primary group.
    pub group: Group,
    /// Channel.
    pub kind: InteractionKind,
    /// Where it stands.
    pub state: State,
    /// Counts changes; for ETags.
    pub version: u64,
    /// Everything personal.
    pub meta: InteractionMeta,
}

/// A live content with its opened description.
#[derive(Clone)]
pub struct Content {
    /// Its interaction.
    pub interaction: Group,
    /// Its leaf: names it inside the vault.
    pub leaf: Leaf,
    /// Its description.
    pub meta: ContentMeta,
}

/// An interaction to be made.
pub struct NewInteraction {
    /// Channel.
    pub kind: InteractionKind,
    /// First state.
    pub state: State,
    /// Everything personal.
    pub meta: InteractionMeta,
    /// Refuse ([`VaultError::Conflict`]) when a live interaction of the tenant has the same session id.
    pub unique_session: bool,
}

/// A content to be stored.
pub struct NewContent {
    /// Its name; `None` draws a unique id.
    pub key: Option<ContentKey>,
    /// What it is.
    pub kind: ContentKind,
    /// Media type.
    pub media_type: String,
    /// File name as given; only its last component is kept.
    pub file_name: Option<String>,
    /// The agent a voicemail is for.
    pub owning_agent: Option<String>,
    /// The plan of an IVR recording.
    pub owning_plan: Option<String>,
    /// Free properties.
    pub properties: serde_json::Map<String, serde_json::Value>,
    /// The length if known beforehand: a hint.
    pub length_hint: Option<u64>,
    /// When it was last modified; now if `None`.
    pub last_modified: Option<Timestamp>,
}

impl NewContent {
    /// A content of a kind whose name is the kind's own (`callRecording`).
    pub fn fixed(kind: ContentKind, media_type: &str) -> Self {
        let mut content = Self::unique(kind, media_type);
        content.key = ContentKey::new(kind.name()).ok();
        content
    }

    /// A content that gets a unique id as its name.
    pub fn unique(kind: ContentKind, media_type: &str) -> Self {
        Self {
            key: None,
            kind,
            media_type: media_type.to_owned(),
            file_name: None,
            owning_agent: None,
            owning_plan: None,
            properties: serde_json::Map::new(),
            length_hint: None,
            last_modified: None,
        }
    }
}

/// A request's body. An error ends the upload as [`VaultError::Interrupted`].
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// A requested byte range, as HTTP has it (RFC 9110 §14.1.2): `first` and inclusive `last`, or the last `n` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From `first` to `last` inclusive, or to the end.
    From(u64, Option<u64>),
    /// The last `n` bytes.
    Suffix(u64),
}

/// A content being read. The stream ends with an error when the content is erased meanwhile.
pub struct ContentReader {
    /// Its description.
    pub meta: ContentMeta,
    /// The bytes given: start (inclusive) and end (exclusive).
    pub range: std::ops::Range<u64>,
    /// The bytes.
    pub stream: ContentStream,
}

/// A personal key to look up.
#[derive(Clone)]
pub enum Lookup {
    /// Session id, exact.
    Session(String),
    /// External id, exact.
    External(String),
    /// Phone number of an external participant, in any spelling.
    Phone(String),
    /// E-mail of an external participant.
    Email(String),
    /// Master call.
    Master(String),
    /// Case reference.
    Case(String),
    /// Collection.
    Collection(String),
}

/// A stretch of time to list.
#[derive(Clone)]
pub struct ListQuery {
    /// Inclusive.
    pub from: Timestamp,
    /// Inclusive.
    pub to: Timestamp,
    /// Only what comes after this position, in the order of the listing.
    pub after: Option<(Timestamp, PublicId)>,
    /// Most items wanted.
    pub limit: usize,
}

/// A page of a listing.
pub struct Page {
    /// In the order of the listing.
    pub items: Vec<Interaction>,
    /// Where the next page begins, if there is more.
    pub next: Option<(Timestamp, PublicId)>,
}

/// What a selector came to. Personal: no `Debug`.
#[derive(Clone)]
pub struct Plan {
    /// One item per interaction found; requested ids that were not found are in `missing`.
    pub items: Vec<PlanItem>,
    /// Requested ids and sessions that name nothing live.
    pub missing: Vec<String>,
    /// Contents in all.
    pub contents: u64,
    /// SHA-256 over what would be erased; a later order can demand that it is still the same.
    pub hash: [u8; 32],
}

/// One interaction of a plan.
#[derive(Clone)]
pub struct PlanItem {
    /// Its id.
    pub id: PublicId,
    /// Its primary group.
    pub group: Group,
    /// Its session id.
    pub session_id: Option<String>,
    /// Its contents; counted in bulk, so zero in plans of more than 1,000 items.
    pub contents: u64,
}

/// An order to erase.
pub struct Order {
    /// What.
    pub selector: Selector,
    /// The orderer's own reference, sealed with the order.
    pub reference: Option<String>,
    /// Why, sealed with the order.
    pub reason: Option<String>,
    /// On which ground, as a code of the operator's such as `gdpr:17-1-b`; in clear, and in the certificate.
    pub legal_basis: Option<Token>,
    /// Refuse unless the plan still hashes to this.
    pub plan_hash: Option<[u8; 32]>,
}

/// An erasure as shown to its tenant. `Debug` leaves out the orderer's words.
#[derive(Clone)]
pub struct ErasureView {
    /// Its id.
    pub id: Uuid,
    /// How far it is.
    pub state: PurgeState,
    /// Interactions erased wholly.
    pub interactions: u64,
    /// Contents erased.
    pub contents: u64,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it was sealed.
    pub sealed_at: Option<Timestamp>,
    /// The epoch that sealed it.
    pub sealed_epoch: Option<u64>,
    /// Whether a certificate can be had.
    pub certified: bool,
    /// When rows and blobs were removed.
    pub removed_at: Option<Timestamp>,
    /// The key is destroyed, but the blob store keeps ciphertext until then.
    pub retained_until: Option<Timestamp>,
    /// Reference and reason while the order is not sealed; they die with it.
    pub reference: Option<String>,
    /// See `reference`.
    pub reason: Option<String>,
}

impl fmt::Debug for ErasureView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasureView").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// One item of an erasure.
#[derive(Clone, Debug)]
pub struct ErasureItem {
    /// The interaction's id.
    pub id: PublicId,
    /// How far it is.
    pub state: ErasureItemState,
}

/// How far one item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasureItemState {
    /// Hidden: every read answers *gone*; the key still exists.
    Hidden,
    /// Its key is destroyed and the old root with it.
    Sealed,
}

/// Whether requests can be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// This process may use keys; always, unless it shares its stores with others.
    pub leased: bool,
    /// The look-up map is complete.
    pub lookups: bool,
    /// Seals are being made (false while they stall).
    pub sealing: bool,
    /// The process must end (a flush failed).
    pub poisoned: bool,
    /// It stands on an older copy of its database: requests are served, changes are not.
    pub attached: bool,
}

/// Figures for `status`, `/metrics` and operators. Nothing personal.
#[derive(Clone, Debug)]
pub struct Status {
    /// The vault's id.
    pub instance: Uuid,
    /// Key epoch in force.
    pub epoch: u64,
    /// Register class.
    pub register_class: String,
    /// Interactions that have a row: live ones, and erased ones until their rows are removed.
    pub interactions: u64,
    /// Erasures not sealed yet.
    pub unsealed: u64,
    /// Age in seconds of the oldest of them: the deletion lag.
    pub oldest_unsealed_seconds: u64,
    /// Erasures sealed that the log does not tell of yet; counted up to 1,000.
    pub uncertified: u64,
    /// Erasures sealed whose rows or blobs are not yet removed.
    pub unswept: u64,
    /// Seconds since the seal of the oldest of them that nothing retains: the removal lag.
    pub oldest_unswept_seconds: u64,
    /// Seals made by this process.
    pub seals: u64,
    /// Leaves punctured by this process.
    pub punctured: u64,
    /// Time spent in seals, in microseconds.
    pub seal_micros: u64,
    /// Readiness.
    pub readiness: Readiness,
    /// Bytes of the look-up map.
    pub lookup_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orderers_words_do_not_reach_a_log_through_debug() {
        let view = ErasureView {
            id: Uuid::nil(),
            state: PurgeState::Planned,
            interactions: 1,
            contents: 1,
            accepted_at: Timestamp::UNIX_EPOCH,
            sealed_at: None,
            sealed_epoch: None,
            certified: false,
            removed_at: None,
            retained_until: None,
            reference: Some("ticket of Ada".to_owned()),
            reason: Some("Ada asked".to_owned()),
        };
        assert!(!format!("{view:?}").contains("Ada"));
    }
}
