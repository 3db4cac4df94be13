//! Why a vault cannot be opened.

use std::path::PathBuf;

use keyforest::ForestError;
use oubliette_core::ports::PortError;
use oubliette_core::service::{Mismatch, VaultError};
use oubliette_store::media::{MirrorError, TwinError};
use oubliette_store::roots::{RegisterError, RootsError};
use thiserror::Error;

use crate::config::ConfigError;

/// Why a vault cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The configuration is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process has it open.
    #[error("{} is open in another process", .0.display())]
    InUse(PathBuf),
    /// There is no vault and none was to be made.
    #[error("there is no vault in {}", .0.display())]
    Absent(PathBuf),
    /// Another process has claimed the key state.
    #[error("another process has the vault open, here or on another machine")]
    Elsewhere,
    /// It was moved: nothing is served from here any more.
    #[error(
        "the vault has moved to {0}: serve it with the configuration of the new place. If the move was cut short, the same \
         `oubliette migrate` finishes it"
    )]
    Moved(String),
    /// A move that brings it here is not finished.
    #[error("a move brings a vault here and is not finished: run the same `oubliette migrate` again, at the old place")]
    NotArrived,
    /// The register's filesystem is not known to overwrite in place.
    #[error(
        "the register's class is {class}, not verified: {reason}; mend that (a register file lies well on ext4 \
         and xfs), or set storage.accept_unverified_register = true and know that deletions rest on it as it is"
    )]
    Unverified {
        /// What it is.
        class: String,
        /// Why.
        reason: String,
    },
    /// Database there, keys not, or the other way round.
    #[error("{0}")]
    Torn(&'static str),
    /// A file or folder.
    #[error("{operation}: {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The register.
    #[error("the register cannot be opened")]
    Register(#[from] RegisterError),
    /// Another root store.
    #[error("the root store cannot be opened")]
    Roots(#[from] RootsError),
    /// The claim to the key state, or its pages.
    #[error("the key state's database cannot be used")]
    KeyDatabase(#[source] std::io::Error),
    /// The two places of the key pages.
    #[error("the key pages cannot be opened")]
    Twin(#[from] TwinError),
    /// A mirror of the key state.
    #[error("the key state's mirrors cannot be used")]
    Mirror(#[from] MirrorError),
    /// A root without pages. Whoever is told so has lost nothing by the start.
    #[error(
        "the register holds a root, and the key state has no page, neither in its own place nor at a mirror that answers: \
         start again when they are back. No key page was written"
    )]
    NoPages,
    /// The key state's own place, while its mirrors were joined to it.
    #[error("the key state cannot be read or written")]
    KeyPages(#[source] std::io::Error),
    /// A mirror or an agent is not in the configuration any more.
    #[error(
        "the {kind} {name} takes part in every seal and is not in the configuration: name it there again, or drop it with \
         `oubliette party drop {name} --kind {kind} --reason WHY`"
    )]
    PartyMissing {
        /// `mirror` or `agent`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A party that is to be let go takes no part.
    #[error("no {kind} {name} takes part in seals")]
    NoSuchParty {
        /// `mirror` or `agent`.
        kind: &'static str,
        /// The name given.
        name: String,
    },
    /// The register holds a root that was destroyed: it was restored from a copy.
    #[error(
        "old keys came back: the register holds the root of epoch {found}, but the mirror {mirror} knows that epoch {known} \
         was in force. Nothing was changed. Was the register restored from an image? Then it must not be served again"
    )]
    KeysCameBack {
        /// Who knows.
        mirror: String,
        /// The newest epoch known to have been in force.
        known: u64,
        /// The register's.
        found: u64,
    },
    /// An escrow agent's address, or the certificates for it.
    #[error("the escrow agent {name} cannot be reached as it is configured")]
    Agent {
        /// Its name.
        name: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The escrow as a whole.
    #[error("the escrow cannot be set up")]
    Escrow(#[source] std::io::Error),
    /// The keys.
    #[error("the key state cannot be opened")]
    Forest(#[from] ForestError),
    /// The database or the blobs.
    #[error("the store cannot be opened")]
    Store(#[from] PortError),
    /// Database, key state and log do not belong together.
    #[error("the vault cannot be opened")]
    Mismatch(#[source] Mismatch),
    /// The vault.
    #[error("the vault cannot be opened")]
    Vault(#[source] VaultError),
}

impl From<VaultError> for OpenError {
    fn from(error: VaultError) -> Self {
        match error {
            // Nothing internal: an operator put them together.
            VaultError::Internal(Some(cause)) => match cause.downcast::<Mismatch>() {
                Ok(mismatch) => Self::Mismatch(*mismatch),
                Err(cause) => Self::Vault(VaultError::Internal(Some(cause))),
            },
            error => Self::Vault(error),
        }
    }
}
