//! A log without a vault, for tests and benches of what it stands on.

use std::sync::{Arc, Mutex, OnceLock};

use keyforest::NoProbe;
use keyforest::media::Medium;
use oubliette_proof::note::{KeyKind, SigningKey};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::files::{Files, Writer};
use super::kept::Kept;
use super::load::load;
use super::signer::Signer;
use super::{LogError, TransparencyLog};

impl TransparencyLog {
    /// Opens the log that lies on a medium, signed with a key from this seed; entries below `sure` are taken for durable.
    /// Nothing is appended by that, not even a first entry.
    pub fn alone(medium: Arc<dyn Medium>, origin: &str, seed: [u8; 32], sure: u64) -> Result<Self, LogError> {
        let loaded = load(&*medium, 0, sure)?;
        let files = Files { medium, probe: Arc::new(NoProbe), ordinal: 0 };
        let kept = Kept::new(files, loaded.places)?;
        for number in &loaded.unindexed {
            if let Some(segment) = kept.segment(*number) {
                kept.files.index(*number, &segment)?;
            }
        }
        let (key, head) = (SigningKey::from_seed(origin, KeyKind::Note, Zeroizing::new(seed))?, kept.head());
        let signer = Signer::new(key, Vec::new(), None, head)?;
        Ok(Self {
            kept: Arc::new(kept),
            writing: Mutex::new(Writer::new(loaded.next_file)),
            signer: Mutex::new(signer),
            sizes: watch::Sender::new(head.size),
            poisoned: watch::Sender::new(false),
            held_off: false.into(),
            earlier: OnceLock::new(),
            witnesses: Vec::new(),
        })
    }

    /// Appends bytes that are no entry, with one flush.
    pub fn append_bytes(&self, entries: &[Vec<u8>]) -> Result<u64, LogError> {
        self.append_with(entries, |_, _| Ok(()))
    }
}
