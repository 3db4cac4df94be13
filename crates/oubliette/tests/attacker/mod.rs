//! The attacker of `docs/threat-model.md`, built on our own formats.
//!
//! He owns every archived state of the data folder and one register, and opens whatever these open: he follows the key
//! pages from the register's root through all packs that ever existed, and through every page he found anywhere else;
//! derives every leaf he can, and tries every sealed record and every blob of every archived state.

pub mod planting;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use futures::StreamExt as _;
use keyforest::attack::Closure;
use keyforest::{Forest, ForestConfig, Leaf, LeafKey, NoProbe, Stores};
use oubliette_core::crypto::record::{self, Place};
use oubliette_core::crypto::{BlobContext, BlobRead, KeyCell, open_range};
use oubliette_core::model::{ContentMeta, TenantId};
use oubliette_core::ports::{Blobs, ContentRow, Metadata, Unbounded};
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

    /// The state of this number alone, with the key pages of all states.
    pub fn only(&self, number: usize) -> Self {
        let mut only = self.clone();
        for (other, snapshot) in only.snapshots.iter_mut().enumerate() {
            if other != number {
                snapshot.files.retain(|path, _| path.starts_with("packs"));
            }
        }
        only
    }

    /// Every state of every pack.
    pub fn packs(&self) -> impl Iterator<Item = &[u8]> {
        let files = self.snapshots.iter().flat_map(|snapshot| &snapshot.files);
        let mut seen = HashSet::new();
        files
            .filter(move |(path, bytes)| path.starts_with("packs") && seen.insert(Arc::as_ptr(bytes) as usize))
            .map(|(_, bytes)| bytes.as_slice())
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

/// A plaintext: metadata, a description, a directory block, an order, a content.
pub struct Opened {
    /// The leaf it was sealed under.
    pub leaf: Leaf,
    /// What it says.
    pub text: String,
}

/// What the attacker opened.
#[derive(Default)]
pub struct Loot {
    /// All plaintexts.
    pub opened: Vec<Opened>,
    /// Leaves of sealed things he could not open.
    pub closed: BTreeSet<u64>,
    /// What opened of each state, as numbers of plaintexts; equal databases are looked at once.
    states: Vec<BTreeSet<usize>>,
}

impl Loot {
    /// Whether a marker stands in anything he opened.
    pub fn has(&self, marker: &str) -> bool {
        self.opened.iter().any(|opened| opened.text.contains(marker))
    }

    /// Whether a marker stands in anything he opened of the archived state of this number.
    pub fn state_has(&self, number: usize, marker: &str) -> bool {
        self.states[number].iter().any(|opened| self.opened[*opened].text.contains(marker))
    }

    /// Leaves under which a marker stood.
    pub fn leaves_of(&self, marker: &str) -> BTreeSet<Leaf> {
        self.opened.iter().filter(|opened| opened.text.contains(marker)).map(|opened| opened.leaf).collect()
    }
}

/// Attacks all archived states with the register in `register` (a copy is opened), and with the keys he found elsewhere.
pub async fn attack(archive: &Archive, register: &Path, elsewhere: &Closure) -> Loot {
    // Hundreds of states are put back and thrown away: in memory where the system has a place for that.
    let memory = Path::new("/dev/shm");
    let room = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut attack = Attack { forest: Some(all_keys(archive, register, room.path())), ..Attack::with(elsewhere) };
    let mut databases: HashMap<Vec<_>, usize> = HashMap::new();
    for (number, snapshot) in archive.snapshots.iter().enumerate() {
        let state: Vec<_> = snapshot
            .files
            .iter()
            .filter(|(path, _)| !path.starts_with("packs") && !path.starts_with("blobs"))
            .map(|(path, bytes)| (path.clone(), Arc::as_ptr(bytes) as usize))
            .collect();
        let opened = match databases.get(&state) {
            _ if state.is_empty() => BTreeSet::new(),
            Some(earlier) => attack.loot.states[*earlier].clone(),
            None => {
                databases.insert(state, number);
                let folder = room.path().join(format!("state-{number}"));
                restore(snapshot, &folder);
                attack.state(&folder).await;
                std::fs::remove_dir_all(&folder).unwrap();
                std::mem::take(&mut attack.here)
            }
        };
        attack.loot.states.push(opened);
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

/// An attack under way: tries what it is given, notes what opens.
pub struct Attack<'a> {
    /// Keys by the vault's own reading of its key pages.
    forest: Option<Forest>,
    /// Keys by the attacker's reading of pages found anywhere.
    elsewhere: &'a Closure,
    /// Sealed records and contents that were tried, and the plaintext if they opened.
    known: HashMap<(u64, Vec<u8>), Option<usize>>,
    /// What opened of the state at hand.
    here: BTreeSet<usize>,
    loot: Loot,
}

impl<'a> Attack<'a> {
    /// With nothing but these keys.
    pub fn with(keys: &'a Closure) -> Self {
        let (known, here) = (HashMap::new(), BTreeSet::new());
        Self { forest: None, elsewhere: keys, known, here, loot: Loot::default() }
    }

    /// What opened.
    pub fn done(self) -> Loot {
        self.loot
    }

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
                for row in metadata.interactions_in_hour(tenant, found, None, usize::MAX).await.unwrap() {
                    let place = Place::Interaction(row.tenant.0, row.group.0);
                    self.record(row.group.leaf(0), place, &row.sealed_meta);
                    for content in metadata.contents(&[row.group]).await.unwrap() {
                        self.content(row.tenant, &content, &blobs).await;
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

    /// Tries the description of a content and, when that opens, the content itself.
    pub async fn content(&mut self, tenant: TenantId, row: &ContentRow, blobs: &Arc<dyn Blobs>) {
        let place = Place::Content(tenant.0, row.interaction.0, row.leaf.0);
        if !self.record(row.leaf, place, &row.sealed_meta) {
            return;
        }
        // Read in every state anew: its blob must be there, too.
        let name = (row.leaf.0, [b"content", &row.commitment[..]].concat());
        for key in self.keys(row.leaf) {
            let Ok(meta) = record::open(&key, place, &row.sealed_meta) else { continue };
            let meta: ContentMeta = serde_json::from_slice(&meta).unwrap();
            let read = BlobRead {
                blobs: Arc::clone(blobs),
                blob: row.blob.clone(),
                context: BlobContext { tenant, interaction: row.interaction, leaf: row.leaf, part: 0 },
                commitment: row.commitment,
                length: meta.length,
            };
            if let Some(whole) = read_whole(key, read, meta.length).await {
                match self.known.get(&name) {
                    Some(Some(text)) => drop(self.here.insert(*text)),
                    _ => {
                        let text = self.opened(row.leaf, &whole);
                        self.known.insert(name, Some(text));
                    }
                }
                return;
            }
        }
    }

    /// Tries one sealed record; `false` when he cannot open it.
    pub fn record(&mut self, leaf: Leaf, place: Place, sealed: &[u8]) -> bool {
        let name = (leaf.0, sealed.to_vec());
        let text = match self.known.get(&name) {
            Some(known) => *known,
            None => {
                let plain = self.keys(leaf).iter().find_map(|key| record::open(key, place, sealed).ok());
                let text = plain.map(|plain| self.opened(leaf, &plain));
                if text.is_none() {
                    self.loot.closed.insert(leaf.0);
                }
                self.known.insert(name, text);
                text
            }
        };
        self.here.extend(text);
        text.is_some()
    }

    fn opened(&mut self, leaf: Leaf, plain: &[u8]) -> usize {
        self.loot.opened.push(Opened { leaf, text: String::from_utf8_lossy(plain).into_owned() });
        let text = self.loot.opened.len() - 1;
        self.here.insert(text);
        text
    }

    /// Every key he has for a leaf.
    fn keys(&self, leaf: Leaf) -> Vec<LeafKey> {
        let forest = self.forest.as_ref().and_then(|forest| forest.key(leaf).ok());
        forest.into_iter().chain(self.elsewhere.keys(leaf)).collect()
    }
}

async fn read_whole(key: LeafKey, read: BlobRead, length: u64) -> Option<Vec<u8>> {
    let mut stream = open_range(&KeyCell::new(key, Arc::new(Unbounded)), read, 0..length).await.ok()?;
    let mut whole = Vec::new();
    while let Some(piece) = stream.next().await {
        whole.extend_from_slice(&piece.ok()?);
    }
    Some(whole)
}
