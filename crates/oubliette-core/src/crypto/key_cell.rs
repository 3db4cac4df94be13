//! The key of one leaf, held where it can be taken away.
//!
//! Everything that seals or opens under a leaf does so through one cell: one read lock per chunk, a few microseconds.
//! [`KeyCell::revoke`] takes the write lock, so it waits for the chunks just being worked on, wipes the leaf key and every key
//! derived from it, and **after it returned no thread can seal or open another chunk**, whatever a client does or does not
//! do. Nobody else holds a copy: the derived AES keys live inside the cell, handles only name them.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use keyforest::LeafKey;
use thiserror::Error;
use tokio::sync::watch;

use crate::ports::Lease;

use super::chunked::{self, COMMITMENT, ChunkError, Counter, HEADER, MessageKey, SALT};

/// The leaf's key was taken away: what it sealed is erased.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the key was revoked")]
pub struct Revoked;

/// Why a chunk was not sealed or opened.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CellError {
    /// The key was taken away.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// The bytes or their lengths are wrong.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

/// One leaf's key and everything derived from it.
pub struct KeyCell {
    keys: RwLock<Option<Keys>>,
    revoked: watch::Sender<bool>,
    lease: Arc<dyn Lease>,
}

/// Dropped, and so wiped, as a whole.
struct Keys {
    leaf: Box<LeafKey>,
    /// Derived keys by handle; free places are `None`.
    messages: Vec<Option<MessageKey>>,
}

impl KeyCell {
    /// Takes the key in; it works while the lease holds.
    pub fn new(key: LeafKey, lease: Arc<dyn Lease>) -> Arc<Self> {
        let keys = Keys { leaf: Box::new(key), messages: Vec::new() };
        Arc::new(Self { keys: RwLock::new(Some(keys)), revoked: watch::Sender::new(false), lease })
    }

    /// Asked after each use: what was done under a lease that lapsed meanwhile does not count, and the key goes.
    fn still_leased(&self) -> Result<(), Revoked> {
        if self.lease.holds() { Ok(()) } else { Err(Revoked) }
    }

    /// Wipes the key and all keys derived from it. After it returned nothing can be sealed or opened under the leaf by this
    /// cell's handles. Repeating it does nothing. Waits only for chunks being worked on.
    pub fn revoke(&self) {
        let keys = self.write().take();
        drop(keys);
        self.revoked.send_replace(true);
    }

    /// Whether the key was taken away.
    pub fn is_revoked(&self) -> bool {
        self.read().is_none()
    }

    /// Waits until the key is taken away; for ending what waits on a stalled client.
    pub async fn revoked(&self) {
        let mut watch = self.revoked.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = watch.wait_for(|revoked| *revoked).await;
    }

    /// Lends the leaf key to `work`, which must not keep it or anything derived from it: for records that are sealed and
    /// opened in one go.
    pub fn with_key<T>(&self, work: impl FnOnce(&[u8; 32]) -> T) -> Result<T, Revoked> {
        let guard = self.read();
        let keys = guard.as_ref().ok_or(Revoked)?;
        let done = work(keys.leaf.expose());
        self.still_leased()?;
        Ok(done)
    }

    /// Begins sealing a message; see [`chunked::Sealer::new`].
    pub fn sealer(
        self: &Arc<Self>,
        context: &[u8],
        salt: [u8; SALT],
    ) -> Result<(CellSealer, [u8; HEADER], [u8; COMMITMENT]), Revoked> {
        let mut guard = self.write();
        let keys = guard.as_mut().ok_or(Revoked)?;
        let (message, commitment) = MessageKey::derive(keys.leaf.expose(), context, &salt);
        let handle = Handle { cell: Arc::clone(self), place: keys.put(message) };
        let sealer = CellSealer { handle, counter: Counter::default() };
        Ok((sealer, chunked::header(&salt, &commitment), commitment))
    }

    /// Begins opening a message; see [`chunked::Opener::new`].
    pub fn opener(
        self: &Arc<Self>,
        context: &[u8],
        header: &[u8; HEADER],
        expected: &[u8; COMMITMENT],
    ) -> Result<CellOpener, CellError> {
        let mut guard = self.write();
        let keys = guard.as_mut().ok_or(Revoked)?;
        let message = chunked::key_for_header(keys.leaf.expose(), context, header, expected)?;
        Ok(CellOpener { handle: Handle { cell: Arc::clone(self), place: keys.put(message) } })
    }

    // A panic while the lock was held leaves the keys as they were: they are replaced or removed whole.
    fn read(&self) -> RwLockReadGuard<'_, Option<Keys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Keys>> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn put(&mut self, message: MessageKey) -> usize {
        match self.messages.iter().position(Option::is_none) {
            Some(free) => {
                self.messages[free] = Some(message);
                free
            }
            None => {
                self.messages.push(Some(message));
                self.messages.len() - 1
            }
        }
    }
}

/// Names a derived key inside its cell; dropping it drops the key.
struct Handle {
    cell: Arc<KeyCell>,
    place: usize,
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&MessageKey) -> Result<T, ChunkError>) -> Result<T, CellError> {
        let guard = self.cell.read();
        let message = guard.as_ref().and_then(|keys| keys.messages.get(self.place)?.as_ref()).ok_or(Revoked)?;
        let done = work(message)?;
        self.cell.still_leased()?;
        Ok(done)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(place) = self.cell.write().as_mut().and_then(|keys| keys.messages.get_mut(self.place)) {
            *place = None;
        }
    }
}

/// Seals one message, chunk by chunk, under a key that can be taken away.
pub struct CellSealer {
    handle: Handle,
    counter: Counter,
}

impl CellSealer {
    /// Seals the next chunk in place and gives its tag. A full chunk is a middle one, a shorter one the last.
    pub fn chunk(&mut self, chunk: &mut [u8]) -> Result<[u8; chunked::TAG], CellError> {
        let Self { handle, counter } = self;
        handle.with(|message| message.seal_chunk(counter.take(chunk.len())?, chunk))
    }
}

/// Opens chunks of one message under a key that can be taken away.
pub struct CellOpener {
    handle: Handle,
}

impl CellOpener {
    /// Opens chunk `index` into `plain`, whose length must be that of `sealed` less the tag.
    pub fn open_chunk(&self, index: u64, sealed: &[u8], plain: &mut [u8]) -> Result<(), CellError> {
        self.handle.with(|message| message.open_chunk(index, sealed, plain))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;
    use crate::ports::Unbounded;

    fn cell() -> Arc<KeyCell> {
        KeyCell::new(LeafKey::new([3; 32]), Arc::new(Unbounded))
    }

    #[derive(Default)]
    struct Lapses(AtomicBool);

    impl Lease for Lapses {
        fn holds(&self) -> bool {
            !self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn nothing_opened_under_a_lease_that_lapsed_meanwhile_is_given_out() {
        let lease = Arc::new(Lapses::default());
        let cell = KeyCell::new(LeafKey::new([3; 32]), Arc::clone(&lease) as Arc<dyn Lease>);
        let (mut sealer, header, commitment) = cell.sealer(b"c", [1; SALT]).unwrap();
        let opener = cell.opener(b"c", &header, &commitment).unwrap();
        let mut sealed = b"hello".to_vec();
        let tag = sealer.chunk(&mut sealed).unwrap();
        sealed.extend_from_slice(&tag);
        opener.open_chunk(0, &sealed, &mut [0; 5]).unwrap();
        // It lapses while the work is being done.
        assert_eq!(cell.with_key(|_| lease.0.store(true, Ordering::SeqCst)), Err(Revoked));
        assert_eq!(opener.open_chunk(0, &sealed, &mut [0; 5]), Err(CellError::Revoked(Revoked)));
        assert!(cell.sealer(b"c", [2; SALT]).unwrap().0.chunk(&mut [0; 4]).is_err());
    }

    #[test]
    fn a_cell_seals_what_the_plain_format_opens_and_the_other_way_round() {
        let cell = cell();
        let (mut sealer, header, commitment) = cell.sealer(b"c", [1; SALT]).unwrap();
        let mut chunk = b"hello".to_vec();
        let tag = sealer.chunk(&mut chunk).unwrap();
        chunk.extend_from_slice(&tag);
        assert_eq!(sealer.chunk(&mut []), Err(CellError::Chunk(ChunkError::Complete)));
        let opener = chunked::Opener::new(&[3; 32], b"c", &header, &commitment).unwrap();
        assert_eq!(opener.open_chunk(0, &chunk).unwrap().as_ref(), b"hello");
        let opener = cell.opener(b"c", &header, &commitment).unwrap();
        let mut plain = [0; 5];
        opener.open_chunk(0, &chunk, &mut plain).unwrap();
        assert_eq!(&plain, b"hello");
    }

    #[test]
    fn after_revoking_every_handle_and_every_new_use_fails() {
        let cell = cell();
        let (mut sealer, header, commitment) = cell.sealer(b"c", [1; SALT]).unwrap();
        let opener = cell.opener(b"c", &header, &commitment).unwrap();
        cell.revoke();
        cell.revoke();
        assert!(cell.is_revoked());
        assert_eq!(sealer.chunk(&mut [0; 4]), Err(CellError::Revoked(Revoked)));
        assert_eq!(opener.open_chunk(0, &[0; 20], &mut [0; 4]), Err(CellError::Revoked(Revoked)));
        assert_eq!(cell.with_key(|_| ()), Err(Revoked));
        assert!(cell.sealer(b"c", [2; SALT]).is_err());
        assert_eq!(cell.opener(b"c", &header, &commitment).err(), Some(CellError::Revoked(Revoked)));
    }

    #[test]
    fn no_thread_seals_a_chunk_after_revoke_returned() {
        for _ in 0..50 {
            let cell = cell();
            let revoked = AtomicBool::new(false);
            let (sealed, late) = (AtomicU64::new(0), AtomicU64::new(0));
            std::thread::scope(|scope| {
                for thread in 0..3_u8 {
                    let (revoked, sealed, late) = (&revoked, &sealed, &late);
                    let (mut sealer, ..) = cell.sealer(&[thread], [thread; SALT]).unwrap();
                    scope.spawn(move || {
                        let mut chunk = vec![0; chunked::CHUNK];
                        loop {
                            let before = revoked.load(Ordering::SeqCst);
                            if sealer.chunk(&mut chunk).is_err() {
                                break;
                            }
                            sealed.fetch_add(1, Ordering::SeqCst);
                            late.fetch_add(u64::from(before), Ordering::SeqCst);
                        }
                    });
                }
                while sealed.load(Ordering::SeqCst) < 20 {
                    std::thread::yield_now();
                }
                cell.revoke();
                revoked.store(true, Ordering::SeqCst);
            });
            assert_eq!(late.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn a_dropped_handle_frees_its_place() {
        let cell = cell();
        for salt in 0..100 {
            let handles = [cell.sealer(b"c", [salt; SALT]).unwrap(), cell.sealer(b"c", [salt; SALT]).unwrap()];
            drop(handles);
        }
        assert_eq!(cell.read().as_ref().unwrap().messages.len(), 2);
    }

    #[tokio::test]
    async fn who_waits_for_the_revocation_is_woken() {
        let cell = cell();
        let waiting = tokio::spawn({
            let cell = Arc::clone(&cell);
            async move { cell.revoked().await }
        });
        tokio::task::yield_now().await;
        cell.revoke();
        waiting.await.unwrap();
        cell.revoked().await;
    }
}
