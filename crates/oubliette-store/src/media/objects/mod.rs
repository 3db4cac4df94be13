//! Files as objects: one for every flushed extent.
//!
//! An object is durable when its PUT is answered and never changes; a listing says what there is. There is no fence in a
//! bucket, and none is needed in a second place: who lost the first place may still write here, but under a lower
//! generation, which counts for less where a later process has written.

mod map;
mod name;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use keyforest::media::{Medium, not_done};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::timeout;

use self::map::{Extents, Piece};
use self::name::{Kind, Name};
use super::pending::{Pending, lay, within};
use super::place::Place;
use super::plain;
use super::postgres::is_unbelievable;
use super::worker::Worker;

/// Largest object.
const OBJECT: usize = 16 << 20;
/// Requests under way at once.
const AT_ONCE: usize = 8;
/// Objects shorter than this are joined when there are many.
const SHORT: u64 = 1 << 20;
/// How many.
const MANY: usize = 256;

/// How a bucket is used.
#[derive(Clone, Debug)]
pub struct ObjectsOptions {
    /// Below which all objects lie; nothing else may.
    pub prefix: String,
    /// For one request, with its repetitions.
    pub limit: Duration,
}

/// Key pages and journal in an object store.
pub struct Objects {
    worker: Worker,
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    generation: u64,
    limit: Duration,
    serial: AtomicU64,
    files: Mutex<BTreeMap<String, File>>,
}

#[derive(Default)]
struct File {
    len: u64,
    pending: Pending,
    extents: Extents,
    /// Held by a flush, so that nothing is written while short objects are joined.
    busy: Arc<tokio::sync::Mutex<()>>,
    /// Everything that lies below the file's name.
    objects: BTreeSet<Arc<Path>>,
}

impl Objects {
    /// Lists what there is. `store` must not be used by anybody else: its connections live on this medium's thread.
    ///
    /// `generation` is told the highest generation found and gives one above it that no other process was or will be given:
    /// [`KeyDatabase::number_above`](super::postgres::KeyDatabase::number_above) of the first place.
    pub fn open(
        store: Arc<dyn ObjectStore>,
        options: &ObjectsOptions,
        generation: impl FnOnce(u64) -> io::Result<u64>,
    ) -> io::Result<Self> {
        let worker = Worker::start("key-objects")?;
        let prefix = Path::parse(&options.prefix).map_err(io::Error::other)?;
        let (listed, below, limit) = (Arc::clone(&store), prefix.clone(), options.limit);
        let (found, newest) = worker.run(async move { list(&*listed, &below, limit).await })?;
        let generation = generation(newest).map_err(|error| match is_unbelievable(&error) {
            true => io::Error::other(format!(
                "an object below {prefix} has a name that begins with {newest:016x}, a generation that no process of this vault ever \
                 had: remove it"
            )),
            false => error,
        })?;
        if generation <= newest {
            return Err(io::Error::other("a later process has written to this bucket"));
        }
        let files = found.into_iter().map(|(file, objects)| (file, File::of(objects))).collect();
        let serial = AtomicU64::new(1);
        let shared = Shared { store, prefix, generation, limit, serial, files: Mutex::new(files) };
        Ok(Self { worker, shared: Arc::new(shared) })
    }

    fn run<T: Send + 'static, F: Future<Output = io::Result<T>> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Shared>) -> F,
    ) -> io::Result<T> {
        self.worker.run(work(Arc::clone(&self.shared)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, kind: Kind, offset: u64, len: u64) -> io::Result<Name> {
        Name::new(self.generation, self.serial.fetch_add(1, Ordering::Relaxed), kind, offset, len)
    }

    fn path(&self, file: &str, name: &Name) -> Arc<Path> {
        Arc::new(self.prefix.clone().join(file).join(name.encode()))
    }

    async fn put(&self, path: Arc<Path>, bytes: Bytes) -> io::Result<()> {
        let put = timeout(self.limit, self.store.put(&path, bytes.into())).await;
        // A late arrival does no harm: what is written again has a name and a serial of its own.
        put.map_err(|_| not_done("the object store does not answer"))?.map_err(not_done)?;
        Ok(())
    }

    async fn read(&self, pieces: Vec<(u64, Piece)>, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut parts = stream::iter(pieces.into_iter().map(|(at, piece)| {
            let (from, to) = (at.max(range.start), (at + piece.len).min(range.end));
            let within = piece.skip + (from - at)..piece.skip + (to - at);
            async move {
                let get = timeout(self.limit, self.store.get_range(&piece.object, within)).await;
                // That an object is gone must not look like a file that is: it was there when the place was opened.
                Ok::<_, io::Error>((from, get.map_err(slow)?.map_err(io::Error::other)?))
            }
        }))
        .buffer_unordered(AT_ONCE);
        while let Some((at, part)) = parts.try_next().await? {
            lay(&mut bytes, range.start, at, &part);
        }
        Ok(bytes)
    }

    async fn flush(&self, file: &str) -> io::Result<()> {
        let (batch, len) = {
            let files = self.lock();
            let held = files.get(file).ok_or_else(missing)?;
            (held.pending.batch(), held.len)
        };
        let mut puts = Vec::new();
        if let Some(cut) = batch.cut {
            puts.push((self.name(Kind::Cut, cut, 0)?, Bytes::from_static(b"cut")));
        }
        for (at, bytes) in extents_of(&batch.pieces) {
            puts.push((self.name(Kind::Extent, at, bytes.len() as u64)?, bytes));
        }
        let puts: Vec<(Name, Arc<Path>, Bytes)> =
            puts.into_iter().map(|(name, bytes)| (name.clone(), self.path(file, &name), bytes)).collect();
        let mut requests = Vec::with_capacity(puts.len());
        for (_, path, bytes) in &puts {
            requests.push(self.put(Arc::clone(path), bytes.clone()));
        }
        stream::iter(requests).buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await?;
        let covered = {
            let mut files = self.lock();
            let held = files.get_mut(file).ok_or_else(missing)?;
            let covered = puts.into_iter().flat_map(|(name, path, _)| held.apply(&name, path)).collect();
            held.pending.done(&batch);
            held.len = held.len.max(len);
            covered
        };
        self.forget(file, covered).await;
        Ok(())
    }

    /// Removes those objects of which nothing counts any more. One that stays does no harm and goes with its file. Marks of
    /// cuts stay as well: they hold older extents down.
    async fn forget(&self, file: &str, covered: Vec<Arc<Path>>) {
        let objects: Vec<Arc<Path>> = match self.lock().get(file) {
            Some(held) => covered.into_iter().filter(|object| !held.extents.names(object)).collect(),
            None => return,
        };
        if objects.is_empty() || self.delete(&objects).await.is_err() {
            return;
        }
        if let Some(held) = self.lock().get_mut(file) {
            objects.iter().for_each(|object| {
                held.objects.remove(object);
            });
        }
    }

    async fn delete(&self, objects: &[Arc<Path>]) -> io::Result<()> {
        let paths: Vec<object_store::Result<Path>> = objects.iter().map(|path| Ok(Path::clone(path))).collect();
        let deleting = self.store.delete_stream(stream::iter(paths).boxed()).try_for_each(|_| async { Ok(()) });
        timeout(self.limit, deleting).await.map_err(slow)?.map_err(io::Error::other)
    }

    /// Joins the short objects at a file's end into one. Many seals would otherwise leave as many objects.
    async fn join(&self, file: &str) -> io::Result<()> {
        let (pieces, range) = {
            let files = self.lock();
            let Some(held) = files.get(file) else { return Ok(()) };
            let count = held.extents.short_tail(SHORT);
            if count < MANY {
                return Ok(());
            }
            let all = held.extents.over(0..u64::MAX);
            let tail: Vec<(u64, Piece)> = all[all.len() - count..].to_vec();
            let in_a_row = tail.windows(2).all(|two| two[0].0 + two[0].1.len == two[1].0);
            let (Some(first), Some(last)) = (tail.first(), tail.last()) else { return Ok(()) };
            let range = first.0..last.0 + last.1.len;
            if !in_a_row || range.end - range.start > OBJECT as u64 {
                return Ok(());
            }
            (tail, range)
        };
        let bytes = Bytes::from(self.read(pieces, range.clone()).await?);
        let name = self.name(Kind::Extent, range.start, range.end - range.start)?;
        let path = self.path(file, &name);
        self.put(Arc::clone(&path), bytes).await?;
        let covered = {
            let mut files = self.lock();
            let Some(held) = files.get_mut(file) else { return Ok(()) };
            held.apply(&name, path)
        };
        self.forget(file, covered).await;
        Ok(())
    }
}

/// The objects of each file.
type Found = BTreeMap<String, Vec<(Name, Arc<Path>)>>;

/// What lies below the prefix, and the highest generation there.
async fn list(store: &dyn ObjectStore, prefix: &Path, limit: Duration) -> io::Result<(Found, u64)> {
    let (mut found, mut newest) = (Found::new(), 0);
    let mut listing = store.list(Some(prefix));
    while let Some(object) = timeout(limit, listing.try_next()).await.map_err(slow)?.map_err(io::Error::other)? {
        let parts: Vec<String> = {
            let below = object.location.prefix_match(prefix).into_iter().flatten();
            below.map(|part| part.as_ref().to_owned()).collect()
        };
        let [file, name] = parts.as_slice() else { continue };
        let Some(name) = Name::decode(name) else { continue };
        if name.kind == Kind::Extent && object.size != name.len {
            return Err(io::Error::other("an object of the key pages has another length than its name says"));
        }
        newest = newest.max(name.generation);
        found.entry(file.clone()).or_default().push((name, Arc::new(object.location)));
    }
    Ok((found, newest))
}

impl File {
    /// What the objects below a name amount to.
    fn of(mut objects: Vec<(Name, Arc<Path>)>) -> Self {
        objects.sort_by_key(|(name, _)| (name.generation, name.serial));
        let mut file = Self::default();
        for (name, path) in objects {
            file.apply(&name, path);
        }
        file.len = file.extents.end();
        file
    }

    /// Puts an object in its place; the objects that count for less from now on.
    fn apply(&mut self, name: &Name, path: Arc<Path>) -> Vec<Arc<Path>> {
        self.objects.insert(Arc::clone(&path));
        match name.kind {
            Kind::Made => Vec::new(),
            Kind::Cut => self.extents.cut(name.offset),
            Kind::Extent => self.extents.put(name.offset, name.len, path),
        }
    }
}

/// Joins what follows each other, up to the largest object.
fn extents_of(pieces: &[(u64, Bytes)]) -> Vec<(u64, Bytes)> {
    let mut out: Vec<(u64, BytesMut)> = Vec::new();
    for (at, piece) in pieces {
        for (number, part) in piece.chunks(OBJECT).enumerate() {
            let at = at + (number * OBJECT) as u64;
            match out.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u64 == at && bytes.len() + part.len() <= OBJECT => {
                    bytes.extend_from_slice(part);
                }
                _ => out.push((at, BytesMut::from(part))),
            }
        }
    }
    out.into_iter().map(|(at, bytes)| (at, bytes.freeze())).collect()
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn slow(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the object store does not answer")
}

fn no_random() -> io::Error {
    io::Error::other("the system gives no random bytes")
}

impl Medium for Objects {
    /// `reserve` is the store's affair.
    fn create(&self, name: &str, _reserve: u64) -> io::Result<()> {
        plain(name)?;
        if self.shared.lock().contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = name.to_owned();
        self.run(|shared| async move {
            let made = shared.name(Kind::Made, 0, 0)?;
            let path = shared.path(&file, &made);
            shared.put(Arc::clone(&path), Bytes::from_static(b"made")).await?;
            shared.lock().entry(file).or_default().apply(&made, path);
            Ok(())
        })
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let ahead = {
            let mut files = self.shared.lock();
            let file = files.get_mut(name).ok_or_else(missing)?;
            file.pending.write(offset, bytes);
            file.len = file.len.max(offset + bytes.len() as u64);
            file.pending.bytes() >= OBJECT
        };
        if ahead { self.flush(name) } else { Ok(()) }
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        let file = name.to_owned();
        let busy = Arc::clone(&self.shared.lock().get(name).ok_or_else(missing)?.busy);
        self.run(|shared| async move {
            let _busy = busy.lock().await;
            shared.flush(&file).await?;
            // What was flushed is durable, whatever becomes of this.
            if let Err(error) = shared.join(&file).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "short objects of the key pages were not joined"
                );
            }
            Ok(())
        })
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let range = offset..offset.saturating_add(len as u64);
        let pieces = {
            let files = self.shared.lock();
            let file = files.get(name).ok_or_else(missing)?;
            within(offset, len, file.len)?;
            file.extents.over(range.clone())
        };
        let mut bytes = self.run(|shared| async move { shared.read(pieces, range).await })?;
        if let Some(file) = self.shared.lock().get(name) {
            file.pending.overlay(offset, &mut bytes);
        }
        Ok(bytes)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let range = offset..offset.saturating_add(len as u64);
        let pieces = {
            let files = self.shared.lock();
            let file = files.get(name).ok_or_else(missing)?;
            within(offset, len, file.extents.end())?;
            file.extents.over(range.clone())
        };
        self.run(|shared| async move { shared.read(pieces, range).await })
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut files = self.shared.lock();
        let file = files.get_mut(name).ok_or_else(missing)?;
        file.pending.truncate(len);
        file.len = len;
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.shared.lock().iter().map(|(name, file)| (name.clone(), file.len)).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let file = name.to_owned();
        self.run(|shared| async move {
            let objects: Vec<Arc<Path>> = {
                let files = shared.lock();
                files.get(&file).ok_or_else(missing)?.objects.iter().cloned().collect()
            };
            shared.delete(&objects).await?;
            shared.lock().remove(&file);
            Ok(())
        })
    }
}

impl Place for Objects {
    fn held(&self, name: &str) -> io::Result<Vec<Range<u64>>> {
        Ok(self.shared.lock().get(name).map(|file| file.extents.held()).unwrap_or_default())
    }
}
