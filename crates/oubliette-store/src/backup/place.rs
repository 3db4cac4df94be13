//! Where copies go: a folder, or a prefix of a bucket. Files are written whole and never changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};
use rustix::fs::Advice;

use crate::blobs::object::S3Options;
use crate::media::folder::make_directory;
use crate::media::worker::Worker;

/// Read and written at once.
const CHUNK: usize = 8 << 20;
/// Put as one object; larger ones go in parts.
const WHOLE: u64 = 16 << 20;

/// Objects of a bucket that are listed at once: as many as one answer holds.
const LISTED: usize = 1000;

/// SHA-256 of a file.
pub type Sum = [u8; 32];

/// Where copies lie.
pub struct Place(At);

enum At {
    Folder(PathBuf),
    Bucket { worker: Worker, store: Arc<dyn ObjectStore>, prefix: ObjectPath },
}

impl Place {
    /// A folder; made when something is put there.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self(At::Folder(path.into()))
    }

    /// A bucket, below the options' prefix.
    ///
    /// # Errors
    /// Options that make no sense.
    pub fn bucket(options: &S3Options) -> io::Result<Self> {
        let prefix = ObjectPath::parse(&options.prefix).map_err(io::Error::other)?;
        let store = options.object_store().map_err(io::Error::other)?;
        Ok(Self(At::Bucket { worker: Worker::start("backup")?, store, prefix }))
    }

    /// The file that a name stands for, where the place is a folder.
    pub(super) fn local(&self, name: &str) -> Option<PathBuf> {
        match &self.0 {
            At::Folder(root) => Some(root.join(name)),
            At::Bucket { .. } => None,
        }
    }

    /// Names and lengths of all files below `folder`, in no order. Unfinished ones are not among them. For few.
    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        self.each(folder, |name, len| {
            found.push((name.to_owned(), len));
            Ok(())
        })?;
        Ok(found)
    }

    /// Hands over the names and lengths of all files below `folder`, in no order, without keeping them.
    pub(super) fn each(&self, folder: &str, mut each: impl FnMut(&str, u64) -> io::Result<()>) -> io::Result<()> {
        match &self.0 {
            At::Folder(root) => walk(&root.join(folder), folder, &mut each),
            At::Bucket { worker, store, prefix } => {
                let below = at(prefix, folder);
                let mut last: Option<ObjectPath> = None;
                loop {
                    let (store, below, after, end) = (Arc::clone(store), below.clone(), last.clone(), last.take());
                    let some: Vec<_> = worker.run(async move {
                        let listed = match &after {
                            Some(last) => store.list_with_offset(Some(&below), last),
                            None => store.list(Some(&below)),
                        };
                        listed.take(LISTED).try_collect().await.map_err(io::Error::other)
                    })?;
                    for object in &some {
                        if let Some(parts) = object.location.prefix_match(prefix) {
                            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
                            each(&parts.join("/"), object.size)?;
                        }
                    }
                    if some.len() < LISTED {
                        return Ok(());
                    }
                    // Buckets list in the order of names. One that does not would be listed for ever, or in part.
                    let newest = some.into_iter().map(|object| object.location).max();
                    if newest <= end {
                        return Err(io::Error::other("the bucket does not list in the order of names"));
                    }
                    last = newest;
                }
            }
        }
    }

    /// Puts a file, whole and durable on return; reads it back and compares. Its SHA-256.
    pub(super) fn put(&self, name: &str, mut from: impl Read, len: u64) -> io::Result<Sum> {
        let mut sum = Context::new(&SHA256);
        match &self.0 {
            At::Folder(root) => {
                let path = root.join(name);
                let folder = path.parent().unwrap_or(root);
                make_directory(folder)?;
                let fresh = folder.join(format!(".new-{}", path.file_name().unwrap_or_default().to_string_lossy()));
                let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).to_owned();
                let mut file = options.open(&fresh)?;
                let mut left = len;
                while left > 0 {
                    let bytes = some(&mut from, left)?;
                    sum.update(&bytes);
                    file.write_all(&bytes)?;
                    left -= bytes.len() as u64;
                }
                file.sync_all()?;
                fs::rename(&fresh, &path)?;
                File::open(folder)?.sync_all()?;
            }
            At::Bucket { worker, store, prefix } => {
                let (store, path) = (Arc::clone(store), at(prefix, name));
                if len <= WHOLE {
                    let mut bytes = Vec::new();
                    from.take(len).read_to_end(&mut bytes)?;
                    if bytes.len() as u64 != len {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    sum.update(&bytes);
                    worker.run(async move { store.put(&path, bytes.into()).await.map_err(io::Error::other) })?;
                } else {
                    let open = async move { store.put_multipart(&path).await.map_err(io::Error::other) };
                    let mut upload = worker.run(open)?;
                    let mut left = len;
                    while left > 0 {
                        let bytes = Bytes::from(some(&mut from, left)?);
                        sum.update(&bytes);
                        left -= bytes.len() as u64;
                        upload = worker.run(async move {
                            upload.put_part(bytes.into()).await.map_err(io::Error::other)?;
                            Ok::<Box<dyn MultipartUpload>, io::Error>(upload)
                        })?;
                    }
                    worker.run(async move { upload.complete().await.map_err(io::Error::other) })?;
                }
            }
        }
        let mut written = [0; 32];
        written.copy_from_slice(sum.finish().as_ref());
        if self.sum(name)? != (len, written) {
            return Err(io::Error::other("what was written gives other bytes back"));
        }
        Ok(written)
    }

    /// All of a small file.
    pub(super) fn whole(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        match &self.0 {
            At::Folder(root) => {
                let mut bytes = Vec::new();
                File::open(root.join(name))?.take(most + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
            }
            At::Bucket { worker, store, prefix } => {
                let (store, path) = (Arc::clone(store), at(prefix, name));
                let bytes = worker.run(async move {
                    let got = store.get(&path).await.map_err(absent)?;
                    if got.meta.size > most {
                        return Err(io::ErrorKind::FileTooLarge.into());
                    }
                    got.bytes().await.map_err(io::Error::other)
                })?;
                Ok(bytes.into())
            }
        }
    }

    /// Hands all bytes of a file over, piece by piece.
    pub(super) fn stream(&self, name: &str, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match &self.0 {
            At::Folder(root) => {
                let mut file = File::open(root.join(name))?;
                // What was just written is to come from the disk, as far as the system can be asked for that.
                let _ = rustix::fs::fadvise(&file, 0, None::<NonZeroU64>, Advice::DontNeed);
                file.seek(SeekFrom::Start(0))?;
                let mut piece = vec![0; CHUNK];
                loop {
                    let len = file.read(&mut piece)?;
                    if len == 0 {
                        return Ok(());
                    }
                    each(&piece[..len])?;
                }
            }
            At::Bucket { worker, store, prefix } => {
                let path = at(prefix, name);
                let (head, asked) = (Arc::clone(store), path.clone());
                let size = worker.run(async move { head.head(&asked).await.map_err(absent) })?.size;
                let mut from = 0;
                while from < size {
                    let (store, path, to) = (Arc::clone(store), path.clone(), (from + CHUNK as u64).min(size));
                    let bytes = worker.run(async move { store.get_range(&path, from..to).await.map_err(absent) })?;
                    each(&bytes)?;
                    from = to;
                }
                Ok(())
            }
        }
    }

    /// Length and SHA-256 of a file, as it is read now.
    pub(super) fn sum(&self, name: &str) -> io::Result<(u64, Sum)> {
        let (mut len, mut sum) = (0, Context::new(&SHA256));
        self.stream(name, |bytes| {
            len += bytes.len() as u64;
            sum.update(bytes);
            Ok(())
        })?;
        let mut out = [0; 32];
        out.copy_from_slice(sum.finish().as_ref());
        Ok((len, out))
    }

    /// Removes files; one that is not there is removed.
    pub(super) fn remove(&self, names: &[String]) -> io::Result<()> {
        match &self.0 {
            At::Folder(root) => {
                for name in names {
                    match fs::remove_file(root.join(name)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    }
                    // Folders that are empty now go as well.
                    let folders = Path::new(name).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
                    for folder in folders {
                        if fs::remove_dir(root.join(folder)).is_err() {
                            break;
                        }
                    }
                }
                Ok(())
            }
            At::Bucket { worker, store, prefix } => {
                let paths: Vec<_> = names.iter().map(|name| Ok(at(prefix, name))).collect();
                let store = Arc::clone(store);
                worker.run(async move {
                    let removing = store.delete_stream(stream::iter(paths).boxed());
                    let gone = removing.filter(|removed| {
                        let absent = matches!(removed, Err(object_store::Error::NotFound { .. }));
                        async move { !absent }
                    });
                    gone.try_for_each(|_| async { Ok(()) }).await.map_err(io::Error::other)
                })
            }
        }
    }
}

fn at(prefix: &ObjectPath, name: &str) -> ObjectPath {
    name.split('/').filter(|part| !part.is_empty()).fold(prefix.clone(), |path, part| path.join(part))
}

fn absent(error: object_store::Error) -> io::Error {
    match error {
        error @ object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        error => io::Error::other(error),
    }
}

/// The next piece of at most `left` bytes; there must be some.
fn some(from: &mut impl Read, left: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(left.min(CHUNK as u64)).read_to_end(&mut bytes)?;
    if bytes.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

fn walk(folder: &Path, name: &str, each: &mut dyn FnMut(&str, u64) -> io::Result<()>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        let (metadata, name) = (entry.metadata()?, format!("{name}/{file}"));
        if metadata.is_dir() {
            walk(&entry.path(), &name, each)?;
        } else if metadata.is_file() && !file.starts_with('.') {
            each(&name, metadata.len())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn a_bucket_with_more_than_one_answer_holds_is_listed_whole() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let place = |prefix: &str| {
            let (worker, prefix) = (Worker::start("test").unwrap(), ObjectPath::parse(prefix).unwrap());
            Place(At::Bucket { worker, store: Arc::clone(&store), prefix })
        };
        let (ours, theirs) = (place("copies/of/one"), place("copies/of/one-more"));
        let names: BTreeSet<String> =
            (0..2 * LISTED + 7).map(|number| format!("blobs/f/{:x}/{number:08}", number % 16)).collect();
        for name in &names {
            ours.put(name, &name.as_bytes()[..7], 7).unwrap();
        }
        ours.put("copies/x/files", &b"no content"[..], 10).unwrap();
        theirs.put("blobs/f/0/other", &b"another's"[..], 9).unwrap();
        let listed = ours.list("blobs").unwrap();
        assert_eq!(listed.len(), names.len(), "each once");
        assert!(listed.iter().all(|(name, len)| names.contains(name) && *len == 7));
        assert_eq!(theirs.list("blobs").unwrap(), [("blobs/f/0/other".to_owned(), 9)]);
    }
}
