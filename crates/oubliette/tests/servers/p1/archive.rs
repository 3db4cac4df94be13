//! Every state of every server's folder, block by block, each block kept once; and a look for markers at whatever is new.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use oubliette_store::remnants::{Marker, Scanner};

/// What is kept once.
const BLOCK: usize = 8192;
/// Most of some files.
const HOLE: [u8; BLOCK] = [0; BLOCK];
/// So much of the block before is looked at again with each block, so that a marker across two is seen.
const MARGIN: usize = 512;
/// Stands between what is looked at together and does not belong together.
const GAP: [u8; 16] = [0xff; 16];
/// A file that was last written so long before it was read is the same for as long as its time is: clocks of file systems
/// tick slowly.
const SETTLED: Duration = Duration::from_millis(100);

/// A file as it was.
#[derive(Clone)]
struct File {
    modified: SystemTime,
    settled: bool,
    size: usize,
    blocks: Arc<[u32]>,
}

/// All folders at one moment.
pub struct State {
    files: BTreeMap<PathBuf, File>,
    folders: BTreeSet<PathBuf>,
}

impl State {
    /// Names of the files below `folder`.
    pub fn names(&self, folder: &str) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path).filter(move |path| path.starts_with(folder))
    }
}

/// All states, oldest first.
pub struct Archive {
    known: HashMap<[u8; 32], u32>,
    blocks: Vec<Box<[u8]>>,
    /// The states so far.
    pub states: Vec<State>,
    scanner: Scanner,
    /// Pairs of blocks that were looked at, one behind the other.
    seen: HashSet<(u32, u32)>,
    /// Markers found.
    pub found: BTreeSet<usize>,
    /// Bytes looked at.
    pub scanned: usize,
}

impl Archive {
    /// One that looks for these.
    pub fn new(markers: &[Marker]) -> Self {
        Self {
            known: HashMap::new(),
            blocks: vec![HOLE.into()],
            states: Vec::new(),
            scanner: Scanner::new(markers).unwrap(),
            seen: HashSet::new(),
            found: BTreeSet::new(),
            scanned: 0,
        }
    }

    /// Takes everything below `home` as it is, and looks at what no state before had.
    pub fn take(&mut self, home: &Path) {
        // The clock of this file system.
        let stamp = home.join("stamp");
        std::fs::write(&stamp, "").unwrap();
        let now = std::fs::metadata(&stamp).unwrap().modified().unwrap();
        let mut state = State { files: BTreeMap::new(), folders: BTreeSet::new() };
        let mut fresh = Vec::new();
        let mut folders = vec![home.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
                let name = path.strip_prefix(home).unwrap().to_owned();
                if metadata.is_dir() {
                    state.folders.insert(name);
                    folders.push(path);
                    continue;
                }
                let modified = metadata.modified().unwrap();
                let before = self.states.last().and_then(|state| state.files.get(&name));
                if let Some(before) = before
                    && before.settled
                    && before.modified == modified
                    && before.size as u64 == metadata.len()
                {
                    state.files.insert(name, before.clone());
                } else if let Ok(bytes) = std::fs::read(&path) {
                    let settled = now.duration_since(modified).is_ok_and(|age| age > SETTLED);
                    let blocks = self.keep(&bytes, &mut fresh);
                    state.files.insert(name, File { modified, settled, size: bytes.len(), blocks });
                }
            }
        }
        self.look(&fresh);
        self.states.push(state);
    }

    /// Numbers of a file's blocks; what is new goes to `fresh`.
    fn keep(&mut self, bytes: &[u8], fresh: &mut Vec<u8>) -> Arc<[u32]> {
        let mut numbers = Vec::with_capacity(bytes.len() / BLOCK + 1);
        for (at, block) in bytes.chunks(BLOCK).enumerate() {
            if block == HOLE {
                numbers.push(0);
                continue;
            }
            let mut hash = [0; 32];
            hash.copy_from_slice(digest::digest(&digest::SHA256, block).as_ref());
            let next = u32::try_from(self.blocks.len()).unwrap();
            let number = *self.known.entry(hash).or_insert(next);
            if number == next {
                self.blocks.push(block.into());
            }
            if self.seen.insert((numbers.last().copied().unwrap_or(u32::MAX), number)) {
                let from = (at * BLOCK).saturating_sub(MARGIN);
                fresh.extend_from_slice(&bytes[from..at * BLOCK + block.len()]);
                fresh.extend_from_slice(&GAP);
            }
            numbers.push(number);
        }
        numbers.into()
    }

    fn look(&mut self, fresh: &[u8]) {
        // Nothing personal was there before the first state: it is what the servers bring with them.
        if self.states.is_empty() {
            return;
        }
        let found = &mut self.found;
        let told = |_, marker, _| {
            found.insert(marker);
        };
        self.scanner.scan_reader(fresh, &mut Vec::new(), told, |_| ()).unwrap();
        self.scanned += fresh.len();
    }

    /// A file of a state.
    pub fn read(&self, state: usize, name: &Path) -> Vec<u8> {
        self.states[state].files[name].blocks.iter().flat_map(|block| &self.blocks[*block as usize]).copied().collect()
    }

    /// Puts a folder back as it was, with its holes.
    pub fn restore(&self, state: usize, folder: &str, to: &Path) {
        std::fs::create_dir(to).unwrap();
        // Folders come before what is in them.
        for below in self.states[state].folders.iter().filter(|path| path.starts_with(folder)).skip(1) {
            std::fs::create_dir(to.join(below.strip_prefix(folder).unwrap())).unwrap();
        }
        for name in self.states[state].names(folder) {
            let file = std::fs::File::create(to.join(name.strip_prefix(folder).unwrap())).unwrap();
            let was = &self.states[state].files[name];
            file.set_len(was.size as u64).unwrap();
            for (at, block) in was.blocks.iter().enumerate().filter(|(_, block)| **block != 0) {
                file.write_all_at(&self.blocks[*block as usize], (at * BLOCK) as u64).unwrap();
            }
        }
    }
}
