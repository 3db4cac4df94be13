//! The transparency log (design §7): what it has, what joins it, what it says of itself.
//!
//! It lies beside the key pages, so that it goes where they go: to second places, behind the fence. Entries are durable
//! before a checkpoint over them is signed. Each seal pins the log's head in the key state; a log that is shorter than what
//! was pinned, or another one, is not opened, and so nothing is ever signed that contradicts what was signed before.
//!
//! - `frame`, `index`: the files' bytes. `load`: reading them at a start. `files`: writing them. `places`: what is kept in
//!   memory. `kept`: both together, to be read. `rows`: what the metadata calls its entries. `looked`: before it is opened.
//! - `signer`: keys and checkpoints. `start`: which log is the vault's, and how one begins.
//!
//! Nothing here is on the path of a delete's answer. *Absent:* what entries say (`oubliette-proof`), who appends them.

#[cfg(any(test, feature = "testing"))]
mod alone;
mod copy;
mod files;
mod frame;
mod index;
mod kept;
mod load;
mod looked;
mod places;
mod rows;
mod signer;
mod start;
mod whole;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use keyforest::Probe;
use keyforest::media::Medium;
use oubliette_proof::Hash;
use oubliette_proof::entry::Entry;
use oubliette_proof::note::{Checkpoint, NoteError, TlogProof, TrustedKeys, VerifierKey};
use oubliette_proof::tree::{
    Ranges as _, Tile, TileReader as _, TileTree, TreeHead, leaf_hash, verify_consistency, verify_inclusion,
};
use tokio::sync::watch;

pub use self::copy::copy_log;
use self::files::Writer;
use self::kept::Kept;
pub(in crate::service) use self::looked::{Entries, Looked, look_for};
use self::places::SEGMENT;
use self::signer::Signer;
pub use self::start::LogSettings;
pub(in crate::service) use self::start::{Announced, Beginning, default_origin, start};
pub use self::whole::whole_log_file;

/// Named moments of the log.
pub const CRASH_POINTS: &[&str] = &[files::WRITTEN, files::DURABLE, files::INDEXED, start::OPENED, start::ANNOUNCED];

/// Why the log does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such entry, tile or tree (yet).
    #[error("the log has no such entry")]
    Absent,
    /// Nothing was appended; it may be tried again.
    #[error("nothing was appended to the log")]
    NotDone(#[source] io::Error),
    /// A flush failed, now or earlier: whether something was appended is not known, and the process must end.
    #[error("a flush of the log failed: the process must end and recover")]
    Ended(#[source] Option<io::Error>),
    /// An entry is longer than a bundle can hold.
    #[error("a log entry of {0} bytes is too long")]
    TooLong(usize),
    /// Its files are not what was written.
    #[error("the log is damaged: {0}")]
    Damaged(&'static str),
    /// Its files cannot be read.
    #[error("{operation} failed")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A checkpoint is not one of this log.
    #[error("not a checkpoint of this log")]
    Foreign,
    /// A note was not made.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// The log of a vault. Methods that read or write block; call them off the asynchronous threads.
pub struct TransparencyLog {
    kept: Arc<Kept>,
    /// Held while entries are written.
    writing: Mutex<Writer>,
    signer: Mutex<Signer>,
    sizes: watch::Sender<u64>,
    /// The process must end.
    poisoned: watch::Sender<bool>,
    held_off: AtomicBool,
    earlier: OnceLock<(String, TreeHead)>,
    witnesses: Vec<VerifierKey>,
}

impl TransparencyLog {
    /// Which log this is.
    pub fn origin(&self) -> String {
        self.signer().origin().to_owned()
    }

    /// The key that signs now.
    pub fn key(&self) -> VerifierKey {
        self.signer().key()
    }

    /// All keys that ever signed a checkpoint of this vault, newest first; also those of logs before this one.
    pub fn keys(&self) -> Vec<VerifierKey> {
        self.signer().keys().to_vec()
    }

    /// The keys by which everything that this log hands out can be checked: its own, and those of its witnesses.
    pub fn trusted(&self) -> TrustedKeys {
        TrustedKeys::new(self.keys().into_iter().chain(self.witnesses.iter().cloned()).collect())
    }

    /// The durable head.
    pub fn head(&self) -> TreeHead {
        self.kept.head()
    }

    /// What a seal pins of the log: its size (big-endian) and the first 24 bytes of its root.
    pub fn pin(&self) -> [u8; 32] {
        start::pin_of(&self.head())
    }

    /// The signed checkpoint of the head, with the lines of witnesses that have signed it already.
    pub fn checkpoint(&self) -> String {
        self.signer().note().to_string()
    }

    /// The newest checkpoint that a witness signed, with its lines; `None` since the start while none did. It may be of an
    /// earlier head.
    pub fn cosigned(&self) -> Option<String> {
        self.signer().cosigned().map(ToString::to_string)
    }

    /// The note that ends the log before this one, if there was one: its last known head, signed by its key.
    pub fn closing_note(&self) -> Result<Option<String>, LogError> {
        let Some((_, head)) = self.earlier.get() else { return Ok(None) };
        self.signer().closing_note(*head)
    }

    /// The origin of the log before this one and its last known head.
    pub fn earlier(&self) -> Option<(String, TreeHead)> {
        self.earlier.get().cloned()
    }

    /// The size, each time it has changed.
    pub fn sizes(&self) -> watch::Receiver<u64> {
        self.sizes.subscribe()
    }

    /// From now on nothing is appended: what tries is told *not done*. For a move of the vault.
    pub fn hold_off(&self) {
        let _writing = self.writing();
        self.held_off.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub fn is_held_off(&self) -> bool {
        self.held_off.load(Ordering::Acquire)
    }

    /// Appending goes on.
    pub fn go_on(&self) {
        self.held_off.store(false, Ordering::Release);
    }

    /// Appends entries, all of them or none; durable on return. Gives the number of the first.
    ///
    /// # Errors
    /// After [`LogError::NotDone`] nothing of them is there; call again. After [`LogError::Ended`] the process must end.
    pub fn append(&self, entries: &[Entry]) -> Result<u64, LogError> {
        let entries: Vec<Vec<u8>> = entries.iter().map(Entry::encode).collect();
        self.append_with(&entries, |_, _| Ok(()))
    }

    /// As [`TransparencyLog::append`]; tells the signer of the entries before a checkpoint over them is signed.
    fn append_with(
        &self,
        entries: &[Vec<u8>],
        tell: impl FnOnce(&mut Signer, u64) -> Result<(), LogError>,
    ) -> Result<u64, LogError> {
        let mut writer = self.writing();
        if self.held_off.load(Ordering::Acquire) {
            return Err(LogError::NotDone(io::Error::other("the log is held off")));
        }
        // Nobody else adds to it while the writer is held.
        let (size, sum) = (self.head().size, self.kept.sum());
        if entries.is_empty() {
            return Ok(size);
        }
        let appended = self.kept.files.append(&mut writer, size, sum, entries);
        let placed = appended.inspect_err(|error| self.note(error))?;
        let head = self.kept.push(&placed)?;
        {
            let mut signer = self.signer();
            tell(&mut signer, size)?;
            signer.sign(head)?;
        }
        self.sizes.send_replace(head.size);
        self.index(size)?;
        Ok(size)
    }

    /// Writes the indexes of segments that became whole since there were `before` entries.
    fn index(&self, before: u64) -> Result<(), LogError> {
        for number in before / SEGMENT..self.head().size / SEGMENT {
            let number = number as u32;
            let Some(segment) = self.kept.segment(number) else { continue };
            self.kept.files.index(number, &segment).inspect_err(|error| self.note(error))?;
        }
        Ok(())
    }

    fn note(&self, error: &LogError) {
        if matches!(error, LogError::Ended(_)) {
            self.poisoned.send_replace(true);
        }
    }

    /// The bytes of an entry.
    pub fn entry(&self, number: u64) -> Result<Vec<u8>, LogError> {
        self.kept.entry(number)
    }

    /// The entries from a number on up to the head as it is now, a tile at a time: the number of the first, and their bytes.
    pub(in crate::service) fn tiles_from(
        &self,
        number: u64,
    ) -> impl Iterator<Item = Result<(u64, Vec<Vec<u8>>), LogError>> + '_ {
        self.kept.tiles(number..self.head().size)
    }

    /// The bytes of a file of the log as tlog-tiles has it, exactly as wide as asked for.
    ///
    /// # Errors
    /// [`LogError::Absent`] beyond the head.
    pub fn read(&self, tile: Tile) -> Result<Vec<u8>, LogError> {
        self.kept.read(tile)
    }

    /// The proof that an entry is in the log, under a checkpoint of it (word for word, with all its lines).
    ///
    /// # Errors
    /// [`LogError::Foreign`] when the checkpoint is none of this log; [`LogError::Absent`] when it does not cover the entry.
    pub fn inclusion(&self, number: u64, checkpoint: &str) -> Result<TlogProof, LogError> {
        let text = checkpoint.rsplit_once("\n\n").map_or(checkpoint, |(text, _)| text);
        let said = Checkpoint::parse(&format!("{text}\n")).map_err(|_| LogError::Foreign)?;
        let head = self.head();
        if said.origin != self.signer().origin() || said.head.size > head.size {
            return Err(LogError::Foreign);
        }
        let tree = TileTree::new(&*self.kept, head.size);
        if said.head != head && tree.root_at(said.head.size)? != said.head.root {
            return Err(LogError::Foreign);
        }
        let path = tree.prove_inclusion(number, said.head.size)?.ok_or(LogError::Absent)?;
        if !verify_inclusion(&leaf_hash(&self.entry(number)?), number, &said.head, &path) {
            return Err(LogError::Damaged("a proof does not lead to the root"));
        }
        Ok(TlogProof { extra: None, index: number, path, checkpoint: checkpoint.to_owned() })
    }

    /// The proof that the tree of `new` entries continues the one of `old`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        let tree = TileTree::new(&*self.kept, self.head().size);
        let proof = tree.prove_consistency(old, new)?.ok_or(LogError::Absent)?;
        let head = |size| Ok::<_, LogError>(TreeHead { size, root: tree.root_at(size)? });
        if !verify_consistency(&head(old)?, &head(new)?, &proof) {
            return Err(LogError::Damaged("a proof does not lead to the root"));
        }
        Ok(proof)
    }

    /// Adds what a witness answered to a checkpoint that was handed out; gives how many lines were added. Lines of others
    /// than the given witnesses are passed over, and a given one's line that does not hold is refused.
    pub fn add_cosignatures(&self, checkpoint: &str, answer: &str, witnesses: &TrustedKeys) -> Result<usize, LogError> {
        Ok(self.signer().add_cosignatures(checkpoint, answer, witnesses)?)
    }

    fn writing(&self) -> MutexGuard<'_, Writer> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signer(&self) -> MutexGuard<'_, Signer> {
        self.signer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a log stands on.
#[derive(Clone)]
struct Ground {
    medium: Arc<dyn Medium>,
    probe: Arc<dyn Probe>,
    /// Told when the process must end.
    poisoned: watch::Sender<bool>,
}
