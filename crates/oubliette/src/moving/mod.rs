//! Moving a vault from its data folder to PostgreSQL and a bucket while it serves (`oubliette migrate`, ADR 0013).
//!
//! The process that has the old vault open does the work, whoever asked for it:
//!
//! 1. *Copy*, while the vault serves: sealed contents as they are, rows in steps of a thousand. What is changed meanwhile is
//!    noted ([`watched`]) and brought into line again, round by round. Everything is compared once more ([`rows`]).
//! 2. *Cut over*: changes are held off (503), reads go on. The rest is copied, the key state is written to the new place
//!    under a fresh root that lies in memory alone, and samples are opened there ([`keys`], [`prove`]).
//! 3. *Hand over*, the point of no return: the old place's marker says so, and from then on it never serves again. The new
//!    root goes to its store, the old register is destroyed and read back, the new place may serve.
//!
//! - *Invariant:* no two places ever accept changes; none does while both roots exist.
//! - *Invariant:* what is erased at the old place before the hand-over never has a key at the new one.
//! - *Invariant:* killed anywhere, the same command goes on; before the hand-over the old vault can be served as before.
//! - *Absent:* other pairs of places; going back.

mod blobs;
mod books;
mod finish;
mod keys;
mod marker;
mod mover;
mod prove;
mod rows;
mod run;
mod target;
mod watched;

pub use finish::finish;
pub use mover::{MoveState, MoveView, Mover, Shown};
pub use prove::Proof;
pub use run::{Figures, Source};
pub use watched::{UntilHandedOver, Watched};

use std::path::PathBuf;
use std::sync::Arc;

use keyforest::ForestError;
use oubliette_core::ports::{Metadata, PortError};
use oubliette_core::service::VaultError;
use oubliette_store::media::Parties;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::{Config, ConfigError};
use crate::opening::OpenError;
use marker::Stage;

/// Named moments of a move at which a crash is tested.
pub mod points {
    /// All of them, in order.
    pub const ALL: &[&str] =
        &[BEGUN, COPIED, HELD_OFF, SETTLED, KEYS_COPIED, PROVEN, HANDED_OVER, ROOT_PLACED, OLD_ROOT_DESTROYED, ARRIVED];
    /// Both places are marked, nothing is copied.
    pub const BEGUN: &str = "move.begun";
    /// Rows and contents are there, changes still come in.
    pub const COPIED: &str = "move.copied";
    /// Changes are held off.
    pub const HELD_OFF: &str = "move.held_off";
    /// Everything accepted is sealed and told.
    pub const SETTLED: &str = "move.settled";
    /// The key state is there, its root in memory.
    pub const KEYS_COPIED: &str = "move.keys_copied";
    /// The new place was opened and compared.
    pub const PROVEN: &str = "move.proven";
    /// The point of no return is durable.
    pub const HANDED_OVER: &str = "move.handed_over";
    /// The new root is in its store; the old one still exists.
    pub const ROOT_PLACED: &str = "move.root_placed";
    /// The old root is gone.
    pub const OLD_ROOT_DESTROYED: &str = "move.old_root_destroyed";
    /// The new place may serve.
    pub const ARRIVED: &str = "move.arrived";
}

/// Why a vault was not moved.
#[derive(Debug, Error)]
pub enum MoveError {
    /// Nothing was changed.
    #[error("{0}")]
    Refused(&'static str),
    /// A configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A place could not be opened.
    #[error("the new place cannot be opened")]
    Open(#[from] OpenError),
    /// Rows or contents.
    #[error("copying is held up")]
    Store(#[from] PortError),
    /// What lies there is not what lies here.
    #[error("the copy differs: {0}")]
    Differs(&'static str),
    /// A sample did not open.
    #[error("a sample does not open")]
    Sample(#[from] VaultError),
    /// The key state.
    #[error("the key state cannot be moved")]
    Keys(#[from] ForestError),
    /// The new key pages.
    #[error("the new place of the key pages cannot be used")]
    Pages(#[source] std::io::Error),
    /// A root store.
    #[error("{what} did not do it")]
    Root {
        /// Which.
        what: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Erasures did not come to their end in time.
    #[error("erasures are not sealed in time: nothing was moved, changes are accepted again")]
    Unsealed,
    /// The log took something at the last moment, and the rows do not know it.
    #[error("the database did not note in time what the log took: nothing was moved, changes are accepted again")]
    Unnoted,
    /// The log.
    #[error("the log cannot be read")]
    Log(#[source] VaultError),
    /// The process stops.
    #[error("the move was cut short; the same command goes on with it")]
    Stopped,
}

/// Whether a vault in a data folder may be opened: one that was handed over never is again.
pub async fn may_open(metadata: &dyn Metadata) -> Result<(), OpenError> {
    match marker::leaving(metadata).await? {
        Some(leaving) if leaving.stage == Stage::HandedOver => Err(OpenError::Moved(leaving.to)),
        _ => Ok(()),
    }
}

/// Whether a vault on servers may be opened: not before a move that brings it there is finished.
pub async fn has_arrived(metadata: &dyn Metadata) -> Result<(), OpenError> {
    match marker::arriving(metadata).await? {
        Some(_) => Err(OpenError::NotArrived),
        None => Ok(()),
    }
}

/// What a move would do, as shown before it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovePlan {
    /// Where to.
    pub to: String,
    /// Interactions that have a row.
    pub interactions: u64,
    /// Tenants.
    pub tenants: u64,
    /// Credentials, revoked ones too.
    pub credentials: u64,
    /// Directory blocks.
    pub directory_blocks: u64,
    /// Bytes of the files that contents lie in, a little more than will be copied.
    pub content_bytes: u64,
    /// Part of it is there already.
    pub goes_on: bool,
}

/// Looks at both places, changes nothing.
pub async fn plan(source: &Source, from: &Config, to: &Config) -> Result<MovePlan, MoveError> {
    target::check(from, to)?;
    nobody_owes(source).await?;
    let rows = source.metadata.inner();
    let found = target::look(to, rows.instance().await?.instance).await?;
    if found == target::Found::Arrived {
        return Err(MoveError::Refused("the new database holds this vault already, and no move is under way"));
    }
    let blobs = from.storage.data.join("blobs");
    Ok(MovePlan {
        to: target::name(to),
        interactions: rows.count_interactions().await?,
        tenants: rows.tenants().await?.len() as u64,
        credentials: rows.credentials().await?.len() as u64,
        directory_blocks: rows.next_directory_block().await?,
        content_bytes: blocking(move || bytes_below(&blobs)).await?,
        goes_on: matches!(found, target::Found::Arriving(_)),
    })
}

/// The new place would not know of agents that were let go and still hold something.
pub(super) async fn nobody_owes(source: &Source) -> Result<(), MoveError> {
    let packs = Arc::clone(&source.packs);
    let parties = blocking(move || Parties::read_settled(&packs)).await?.map_err(MoveError::Pages)?;
    if parties.is_none_or(|parties| parties.owed().is_empty()) {
        return Ok(());
    }
    Err(MoveError::Refused(
        "an escrow agent that was let go has not confirmed that it forgot what it held (`oubliette party list`), and the new place would \
         not ask it: bring it back, or destroy its register and say so (`oubliette party forget`)",
    ))
}

fn bytes_below(folder: &std::path::Path) -> u64 {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => bytes += found.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, MoveError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| MoveError::Stopped)
}
