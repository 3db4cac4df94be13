//! How commands reach the vault: directly when nobody has it open, through the running program otherwise.
//!
//! The program that has a vault open listens on a loopback port of its own for commands of the same machine. Address and a
//! token that lives as long as the process stand in `run/endpoint.json` of the data folder, readable by its owner alone.
//! Nothing of this is reachable from elsewhere or stored in the vault.

mod client;
mod endpoint;
mod handle;
mod receipts;
mod server;

pub use client::Target;
pub use endpoint::Endpoint;
pub use handle::local_actor;
pub use receipts::Pieces;
pub use server::ControlServer;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use oubliette_core::model::Selector;
use oubliette_store::escrow::{AgentReport, Escrowed};
use oubliette_store::media::{MirrorStatus, Mirrored, Standing};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backup::BackupView;
use crate::moving::{MovePlan, MoveView};

/// What a command asks. Personal: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "ask")]
#[expect(missing_docs, reason = "the variants say what they ask")]
pub enum Ask {
    Status,
    Tenants,
    CreateTenant { name: String },
    Credentials { tenant: u32 },
    CreateCredential { tenant: u32, kind: String, scopes: Vec<String>, label: String, expires_at: Option<Timestamp> },
    RevokeCredential { tenant: u32, id: Uuid },
    Plan { tenant: u32, selector: Selector, shown: usize },
    Order(AskOrder),
    Erasure { tenant: u32, id: Uuid },
    Certificate(AskCertificate),
    Log,
    RotateLogKey,
    MovePlan { to: PathBuf },
    Move { to: PathBuf },
    MoveProgress,
    Backup { to: String },
    BackupProgress,
}

/// What it is told. Personal: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "told")]
#[expect(missing_docs, reason = "the variants answer the question of the same name")]
pub enum Told {
    Status(Box<StatusView>),
    Tenants { tenants: Vec<TenantView> },
    Tenant(TenantView),
    Credentials { credentials: Vec<CredentialView> },
    Credential { credential: CredentialView, secret: String },
    Revoked,
    Plan(PlanView),
    Ordered { id: Option<Uuid>, plan: PlanView },
    Erasure(ErasureProgress),
    Certificate { certificate: String, keys: String },
    Log(Box<LogView>),
    Front(FrontView),
    MovePlan(MovePlan),
    MoveProgress(Box<MoveView>),
    Backup(BackupView),
    Refused { failure: Failure },
}

/// What is to be erased.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskOrder {
    /// Whose.
    pub tenant: u32,
    /// What.
    pub selector: Selector,
    /// What the orderer calls it.
    pub reference: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// On which ground, as a code.
    pub legal_basis: Option<String>,
    /// The plan that was seen.
    pub plan_hash: String,
}

/// Which certificate.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskCertificate {
    /// Whose.
    pub tenant: u32,
    /// The order.
    pub erasure: Uuid,
    /// Instead of the order's: that of this interaction.
    pub item: Option<Uuid>,
    /// Of this one content of it.
    pub content: Option<Uuid>,
    /// What the order was called.
    pub reference: Option<String>,
}

/// Why the vault did not do it.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The process's exit code that fits.
    pub exit: u8,
    /// For people.
    pub message: String,
}

/// A tenant.
#[derive(Clone, Serialize, Deserialize)]
pub struct TenantView {
    /// Its number.
    pub id: u32,
    /// Its public name.
    pub name: String,
}

/// A credential without its secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialView {
    /// Its id; the client id where the protocol has one.
    pub id: Uuid,
    /// Its protocol.
    pub kind: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Label for people.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A plan as shown before it is carried out.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// Interactions found.
    pub interactions: u64,
    /// Contents of them.
    pub contents: u64,
    /// The first of them.
    pub first: Vec<PlanLine>,
    /// What was asked for and names nothing live.
    pub missing: Vec<String>,
    /// The plan's hash, hexadecimal.
    pub hash: String,
}

/// One interaction of a plan.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanLine {
    /// Its public id.
    pub id: String,
    /// Its session id.
    pub session: Option<String>,
    /// Its contents.
    pub contents: u64,
}

/// How far an erasure is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErasureProgress {
    /// Its id.
    pub id: Uuid,
    /// `accepted`, `planned` or `sealed`.
    pub state: String,
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
}

/// The transparency log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogView {
    /// Its name.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root over them, hexadecimal.
    pub root: String,
    /// Its public keys in signed-note form, the newest first; also those of logs before it.
    pub keys: Vec<String>,
    /// The signed checkpoint with the lines of witnesses.
    pub checkpoint: String,
    /// The log before this one.
    pub earlier: Option<String>,
}

/// A node that does not hold the vault.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontView {
    /// Its name.
    pub node: String,
    /// The address clients use.
    pub url: String,
    /// It has a lease with the holder.
    pub leased: bool,
    /// The holder's name.
    pub holder: Option<String>,
    /// Where nodes reach the holder.
    pub holder_address: Option<String>,
}

/// A mirror of the key state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorView {
    /// Its name.
    pub name: String,
    /// What kind of place it is.
    pub kind: String,
    /// It holds everything.
    pub holds: bool,
    /// Why it does not.
    pub cause: Option<String>,
    /// For how long it has not.
    pub behind_seconds: u64,
}

impl MirrorView {
    /// All mirrors as they are now.
    pub fn all(mirrored: Option<&Mirrored>) -> Vec<Self> {
        let view = |mirror: MirrorStatus| {
            let (cause, behind) = match mirror.standing {
                Standing::Holding => (None, 0),
                Standing::Behind { cause, since } => (Some(cause), since.elapsed().as_secs()),
            };
            Self {
                name: mirror.name,
                kind: mirror.kind.to_owned(),
                holds: cause.is_none(),
                cause,
                behind_seconds: behind,
            }
        };
        mirrored.map(Mirrored::status).unwrap_or_default().into_iter().map(view).collect()
    }
}

/// An escrow agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// It did what it was last asked.
    pub answers: bool,
    /// The epoch of the root that it last confirmed to hold, and no other.
    pub confirmed: Option<u64>,
}

impl AgentView {
    /// All agents as they are now.
    pub fn all(escrow: Option<&Escrowed>) -> Vec<Self> {
        let view = |agent: AgentReport| Self {
            name: agent.name,
            answers: agent.state.trouble.is_none(),
            confirmed: agent.state.confirmed.map(|label| label.root.epoch),
        };
        escrow.map(Escrowed::agents).unwrap_or_default().into_iter().map(view).collect()
    }
}

/// Figures of the vault.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The vault's id.
    pub instance: Uuid,
    /// Whether a server has it open.
    pub serving: bool,
    /// The server's address.
    pub url: Option<String>,
    /// Key epoch in force.
    pub epoch: u64,
    /// Register class.
    pub register_class: String,
    /// Whether the register's place is known to overwrite in place.
    pub register_verified: bool,
    /// What the operator should know of the register and the machine.
    pub warnings: Vec<String>,
    /// What was seen of the root store and the bucket and is no reason to change anything.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Live interactions.
    pub interactions: u64,
    /// Erasures not sealed yet.
    pub unsealed: u64,
    /// Age of the oldest of them in seconds.
    pub deletion_lag_seconds: u64,
    /// Erasures sealed whose rows or blobs are not yet removed.
    pub unswept: u64,
    /// Seals made by this process.
    pub seals: u64,
    /// Keys destroyed by this process.
    pub punctured: u64,
    /// Entries of the log.
    #[serde(default)]
    pub log_size: u64,
    /// Erasures sealed of which the log does not tell yet.
    #[serde(default)]
    pub uncertified: u64,
    /// Bytes of the look-up map.
    pub lookup_bytes: u64,
    /// Look-ups can be made.
    pub lookups_ready: bool,
    /// Seals are being made.
    pub sealing: bool,
    /// The key state's mirrors.
    #[serde(default)]
    pub mirrors: Vec<MirrorView>,
    /// The agents that hold the root in escrow.
    #[serde(default)]
    pub agents: Vec<AgentView>,
    /// The node that serves it, where several stand side by side.
    #[serde(default)]
    pub node: Option<String>,
    /// The nodes that pass requests on to it.
    #[serde(default)]
    pub fronts: Vec<String>,
}

/// What the program that holds the vault is among other nodes.
#[derive(Clone)]
pub struct AsNode {
    /// Its name.
    pub name: String,
    /// Names of the fronts that have a lease with it.
    pub fronts: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}
