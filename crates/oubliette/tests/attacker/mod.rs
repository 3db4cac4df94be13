//! The attacker of `docs/threat-model.md`, built on our own formats.
//!
//! He owns every archived state of the data folder and one register, and opens whatever these open: he follows the key
//! pages from the register's root through all packs that ever existed, derives every leaf he can, and tries every sealed
//! record and every blob of every archived state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use futures::StreamExt as _;
use keyforest::{Forest, ForestConfig, Leaf, LeafKey, NoProbe, Stores};
use oubliette_core::crypto::record::{self, Place};
use oubliette_core::crypto::{BlobContext, BlobRead, KeyCell, open_range};
use oubliette_core::model::ContentMeta;
use oubliette_core::ports::{Blobs, ContentRow, InteractionRow, Metadata, Unbounded};
use oubliette_store::blobs::{LocalBlobs, LocalOptions};
use oubliette_store::media::Folder;
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::remnants::{Marker, Scanner};
use oubliette_store::roots::FileRegister;

/// One state of the data folder.
#[derive(Clone)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, Arc<Vec<u8>>>,
}

/// Every state of the data folder ever taken; equal contents are kept once.
#[derive(Clone, Default)]
pub struct Archive {
    contents: HashMap<[u8; 32], Arc<Vec<u8>>>,
    /// The states, oldest first.
    pub snapshots: Vec<Snapshot>,
}

impl Archive {
    /// Copies the data folder as it is, file by file, as a backup tool would that knows nothing of it.
    pub fn take(&mut self, data: &Path) {
        let mut files = BTreeMap::new();
        let mut folders = vec![data.to_owned()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    let mut hash = [0; 32];
                    hash.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
                    let bytes = self.contents.entry(hash).or_insert_with(|| Arc::new(bytes));
                    files.insert(path.strip_prefix(data).unwrap().to_owned(), Arc::clone(bytes));
                }
            }
        }
        self.snapshots.push(Snapshot { files });
    }

    /// Numbers of the markers that any archived file holds in clear, in whatever common form.
    pub fn remnants(&self, markers: &[Marker]) -> BTreeSet<usize> {
        let scanner = Scanner::new(markers).unwrap();
        let mut found = BTreeSet::new();
        let mut buffer = Vec::new();
        for bytes in self.contents.values() {
            let told = |_, marker, _| {
                found.insert(marker);
            };
            scanner.scan_reader(&bytes[..], &mut buffer, told, |_| ()).unwrap();
        }
        found
    }
}

/// What the attacker opened.
#[derive(Default)]
pub struct Loot {
    /// Plaintexts: metadata, descriptions, directory blocks, orders, contents.
    pub opened: Vec<String>,
    /// Leaves of sealed things he could not open.
    pub closed: BTreeSet<u64>,
}

impl Loot {
    /// Whether a marker stands in anything he opened.
    pub fn has(&self, marker: &str) -> bool {
        self.opened.iter().any(|text| text.contains(marker))
    }
}

/// Attacks all archived states with the register in `register` (a copy; opening it changes it).
pub async fn attack(archive: &Archive, register: &Path) -> Loot {
    // Hundreds of states are put back and thrown away: in memory where the system has a place for that.
    let memory = Path::new("/dev/shm");
    let room = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let forest = all_keys(archive, register, room.path());
    let mut attack = Attack { forest, seen: HashSet::new(), loot: Loot::default() };
    let mut databases = HashSet::new();
    for (number, snapshot) in archive.snapshots.iter().enumerate() {
        let state: Vec<_> = snapshot
            .files
            .iter()
            .filter(|(path, _)| !path.starts_with("packs") && !path.starts_with("blobs"))
            .map(|(path, bytes)| (path.clone(), Arc::as_ptr(bytes) as usize))
            .collect();
        if state.is_empty() || !databases.insert(state) {
            continue;
        }
        let folder = room.path().join(format!("state-{number}"));
        restore(snapshot, &folder);
        attack.state(&folder).await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
    attack.loot
}

/// The key forest over the union of all packs that ever were.
fn all_keys(archive: &Archive, register: &Path, room: &Path) -> Forest {
    let packs = room.join("all/packs");
    std::fs::create_dir_all(&packs).unwrap();
    let mut longest: BTreeMap<&Path, &Arc<Vec<u8>>> = BTreeMap::new();
    for (path, bytes) in archive.snapshots.iter().flat_map(|snapshot| &snapshot.files) {
        if path.starts_with("packs") {
            // Packs only grow, so the longest state of one holds all others.
            let known = longest.entry(path).or_insert(bytes);
            if bytes.len() >= known.len() {
                *known = bytes;
            }
        }
    }
    for (path, bytes) in longest {
        std::fs::write(room.join("all").join(path), &**bytes).unwrap();
    }
    let copy = room.join("register");
    copy_folder(register, &copy);
    let stores = Stores {
        packs: Arc::new(Folder::open(&packs).unwrap()),
        register: Arc::new(FileRegister::open(&copy, &packs).unwrap()),
        probe: Arc::new(NoProbe),
    };
    Forest::open(stores, ForestConfig::default()).unwrap().0
}

/// Copies a folder's files.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Puts a state back, but for the key pages: those are read from all states together.
fn restore(snapshot: &Snapshot, folder: &Path) {
    std::fs::create_dir_all(folder.join("blobs")).unwrap();
    for (path, bytes) in &snapshot.files {
        if !path.starts_with("packs") {
            let target = folder.join(path);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, &**bytes).unwrap();
        }
    }
}

struct Attack {
    forest: Forest,
    seen: HashSet<(u64, Vec<u8>)>,
    loot: Loot,
}

impl Attack {
    /// Everything sealed in one state.
    async fn state(&mut self, folder: &Path) {
        let database =
            ["db/oubliette.sqlite", "vault.db"].map(|name| folder.join(name)).into_iter().find(|at| at.exists());
        let Some(database) = database else { return };
        let Ok(metadata) = SqliteMetadata::open(&database, SqliteOptions::default()) else { return };
        let blobs: Arc<dyn Blobs> = Arc::new(LocalBlobs::open(&folder.join("blobs"), LocalOptions::default()).unwrap());
        for (tenant, _) in metadata.tenants().await.unwrap() {
            let mut hour = i64::MIN / 2;
            while let Some(found) = metadata.next_hour(tenant, hour, i64::MAX / 2).await.unwrap() {
                for row in metadata.interactions_in_hour(tenant, found).await.unwrap() {
                    self.interaction(&row);
                    for content in metadata.contents(&[row.group]).await.unwrap() {
                        self.content(&row, &content, &blobs).await;
                    }
                }
                hour = found + 1;
            }
            for purge in metadata.purges(tenant, None, 1_000).await.unwrap() {
                if let Some(leaf) = purge.order_leaf {
                    self.record(leaf, Place::Order(*purge.id.as_bytes()), &purge.sealed_order);
                }
            }
        }
        let mut from = 0;
        loop {
            let rows = metadata.directory(from, 100).await.unwrap();
            let Some(last) = rows.last() else { break };
            from = last.block + 1;
            for row in rows {
                self.record(row.leaf, Place::Directory(row.block, row.leaf.0), &row.sealed);
            }
        }
        metadata.close().await;
    }

    fn interaction(&mut self, row: &InteractionRow) {
        self.record(row.group.leaf(0), Place::Interaction(row.tenant.0, row.group.0), &row.sealed_meta);
    }

    async fn content(&mut self, owner: &InteractionRow, row: &ContentRow, blobs: &Arc<dyn Blobs>) {
        let place = Place::Content(owner.tenant.0, row.interaction.0, row.leaf.0);
        if !self.record(row.leaf, place, &row.sealed_meta) {
            return;
        }
        let Some(key) = self.key(row.leaf) else { return };
        let meta = record::open(&key, place, &row.sealed_meta).unwrap();
        let meta: ContentMeta = serde_json::from_slice(&meta).unwrap();
        let read = BlobRead {
            blobs: Arc::clone(blobs),
            blob: row.blob.clone(),
            context: BlobContext { tenant: owner.tenant, interaction: row.interaction, leaf: row.leaf, part: 0 },
            commitment: row.commitment,
            length: meta.length,
        };
        let Ok(mut stream) = open_range(&KeyCell::new(key, Arc::new(Unbounded)), read, 0..meta.length).await else {
            return;
        };
        let mut whole = Vec::new();
        while let Some(piece) = stream.next().await {
            let Ok(piece) = piece else { return };
            whole.extend_from_slice(&piece);
        }
        self.loot.opened.push(String::from_utf8_lossy(&whole).into_owned());
    }

    /// Tries one sealed record; `false` when he could not open it or has tried it before.
    fn record(&mut self, leaf: Leaf, place: Place, sealed: &[u8]) -> bool {
        if !self.seen.insert((leaf.0, sealed.to_vec())) {
            return false;
        }
        let opened = self.key(leaf).and_then(|key| record::open(&key, place, sealed).ok());
        match opened {
            Some(text) => {
                self.loot.opened.push(String::from_utf8_lossy(&text).into_owned());
                true
            }
            None => {
                self.loot.closed.insert(leaf.0);
                false
            }
        }
    }

    fn key(&self, leaf: Leaf) -> Option<LeafKey> {
        self.forest.key(leaf).ok()
    }
}
