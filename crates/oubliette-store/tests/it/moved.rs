//! Copies of the data folder that another tool makes while contents are moved out of a segment: rows first, then files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyforest::{Forest, ForestConfig, NoProbe};
use oubliette_core::model::{Actor, ContentKind};
use oubliette_core::ports::{
    BlobRef, Blobs, LiveBlobs, Metadata, NoLenders, PortError, SweepReport, SystemClock, Unbounded,
};
use oubliette_core::service::{NewContent, Vault, VaultParts, VaultSettings, body_of, genesis};
use oubliette_store::blobs::{LocalBlobs, LocalOptions};
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions, copy_database};
use oubliette_store::roots::{FileRegister, RegisterError};
use tempfile::TempDir;

use crate::vault::{Setup, call, of, stores};

/// Contents, and how many of them are erased so that their segment is mostly dead.
const MADE: usize = 12;
const ERASED: usize = 8;
const LONG: Duration = Duration::from_secs(3_600);

/// What the rows say of contents.
struct Rows(Arc<SqliteMetadata>);

#[async_trait]
impl LiveBlobs for Rows {
    async fn live(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        self.0.live_blobs(blobs).await
    }
    async fn switch(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        self.0.switch_blob(from, to).await
    }
    async fn with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        self.0.blobs_with_prefix(prefix).await
    }
}

/// An open vault on local blobs.
struct Open {
    vault: Vault,
    metadata: Arc<SqliteMetadata>,
    blobs: LocalBlobs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Own,
    Copy,
}

async fn open(root: &Path, grace: Duration, how: As) -> Open {
    // A task of the vault that was closed may hold it a moment longer.
    for _ in 0..500 {
        let register = root.join("register");
        if !register.exists() || !matches!(FileRegister::open(&register, &root.join("data")), Err(RegisterError::Held))
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let stores = stores(root);
    let path = root.join("data/vault.db");
    let fresh = !path.exists();
    let log = Arc::clone(&stores.packs);
    let metadata = Arc::new(SqliteMetadata::open(&path, SqliteOptions::default()).unwrap());
    let forest = if fresh {
        let (attachment, pins) = genesis(metadata.instance().await.unwrap().instance).unwrap();
        Forest::create(stores, ForestConfig::default(), &attachment, pins).unwrap()
    } else {
        Forest::open(stores, ForestConfig::default()).unwrap().0
    };
    let options = LocalOptions { moved_grace: grace, ..LocalOptions::default() };
    let blobs = LocalBlobs::open(&root.join("data/blobs"), options).unwrap();
    let parts = VaultParts {
        metadata: Arc::clone(&metadata) as Arc<dyn Metadata>,
        blobs: Arc::new(blobs.clone()),
        forest: Arc::new(forest),
        clock: Arc::new(SystemClock),
        lease: Arc::new(Unbounded),
        lenders: Arc::new(NoLenders),
        log,
        probe: Arc::new(NoProbe),
        settings: VaultSettings::default(),
    };
    let vault = match how {
        As::Own => Vault::open(parts).await.unwrap(),
        As::Copy => Vault::attach(parts).await.unwrap(),
    };
    vault.wait_ready().await;
    Open { vault, metadata, blobs }
}

impl Open {
    async fn compact(&self) -> SweepReport {
        self.blobs.compact(&Rows(Arc::clone(&self.metadata))).await.unwrap()
    }

    async fn close(self) {
        self.vault.close().await;
    }
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(data.join("blobs/s")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Whose bytes are what, by interaction.
type Known = BTreeMap<String, Vec<u8>>;

async fn capture(setup: &Setup, number: usize) -> (String, Vec<u8>) {
    let bytes = format!("zq{number:03}vx-content ").repeat(250).into_bytes();
    let mut draft = setup.vault.draft(&setup.actor).await.unwrap();
    let new = NewContent::fixed(ContentKind::Transcript, "text/plain");
    draft.add(new, body_of(bytes.clone())).await.unwrap();
    let new = call(&format!("S-{number}"), "+15125550100", setup.vault.now());
    (draft.commit(new).await.unwrap().id.to_string(), bytes)
}

async fn is_served(vault: &Vault, actor: &Actor, known: &Known) {
    for (id, bytes) in known {
        let interaction = vault.interaction(actor, id).await.unwrap();
        let contents = vault.contents(actor, &interaction).await.unwrap();
        assert!(vault.read_all(actor, &contents[0], 1 << 20).await.unwrap() == *bytes, "{id}");
    }
}

/// A vault in its second life, the first one's segment mostly dead, and a copy of its rows.
struct Scene {
    root: TempDir,
    copy: TempDir,
    open: Open,
    actor: Actor,
    known: Known,
    /// The segment that is about to be emptied.
    emptied: PathBuf,
}

impl Scene {
    async fn make(grace: Duration) -> Self {
        let (root, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = open(root.path(), grace, As::Own).await;
        let setup = of((first.vault.clone(), Arc::clone(&first.metadata))).await;
        let mut known = Known::new();
        for number in 0..MADE {
            let (id, bytes) = capture(&setup, number).await;
            if number < ERASED {
                setup.vault.erase_interaction(&setup.actor, &id).await.unwrap();
            } else {
                known.insert(id, bytes);
            }
        }
        let actor = setup.actor.clone();
        drop(setup);
        first.close().await;

        let data = root.path().join("data");
        let emptied = segments(&data).pop().unwrap();
        let second = open(root.path(), grace, As::Own).await;
        // What is moved goes where this went.
        let setup =
            Setup { vault: second.vault.clone(), metadata: Arc::clone(&second.metadata), actor, token: String::new() };
        known.extend([capture(&setup, MADE).await]);
        assert_eq!(segments(&data).len(), 2);
        let scene = Self { root, copy, open: second, actor: setup.actor, known, emptied };
        // What was erased is swept, or the segment is left alone.
        for _ in 0..600 {
            if scene.referred().await == MADE - ERASED {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let copy = scene.copy.path();
        fs::create_dir_all(copy.join("data/blobs/s")).unwrap();
        copy_database(&data.join("vault.db"), &copy.join("data/vault.db")).unwrap();
        scene
    }

    /// Rows that name the segment that is about to be emptied.
    async fn referred(&self) -> usize {
        let name = self.emptied.file_name().unwrap().to_str().unwrap();
        self.open.metadata.blobs_with_prefix(&format!("s/{name}/")).await.unwrap().len()
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn copies(&self, segment: &Path) {
        let to = self.copy.path().join("data/blobs/s").join(segment.file_name().unwrap());
        // As tools do, a file that is gone is passed over.
        let _ = fs::copy(segment, to);
    }

    /// Contents are moved out of the one segment.
    async fn compact(&self) {
        let before = segments(&self.data()).len();
        let report = self.open.compact().await;
        let kept = self.emptied.exists();
        assert_eq!(self.referred().await, 0, "nothing was moved: {report:?}");
        assert_eq!((segments(&self.data()).len() == before, report.segments == 0), (kept, kept), "{report:?}");
        is_served(&self.open.vault, &self.actor, &self.known).await;
    }

    /// The copy beside the key state as it is now: attached, how many contents it lacks.
    async fn attached(self) -> (Open, u64, Restoring) {
        let Self { root, copy, open: vault, actor, known, .. } = self;
        vault.close().await;
        copy_tree(&root.path().join("data/packs"), &copy.path().join("data/packs"));
        copy_tree(&root.path().join("register"), &copy.path().join("register"));
        let attached = open(copy.path(), LONG, As::Copy).await;
        let view = attached.vault.restore_view().await.unwrap().unwrap();
        assert_eq!(view.contents, known.len() as u64);
        (attached, view.missing_contents, Restoring { copy, actor, known })
    }
}

/// What is known of an attached copy.
struct Restoring {
    copy: TempDir,
    actor: Actor,
    known: Known,
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_moved_while_files_are_copied_are_in_the_copy_because_their_segment_is_kept() {
    let scene = Scene::make(LONG).await;
    let target = segments(&scene.data()).into_iter().find(|path| *path != scene.emptied).unwrap();
    scene.copies(&target);
    scene.compact().await;
    assert!(scene.emptied.exists());
    scene.copies(&scene.emptied);

    let (attached, missing, rest) = scene.attached().await;
    assert_eq!(missing, 0);
    is_served(&attached.vault, &rest.actor, &rest.known).await;
    attached.vault.commit_restore().await.unwrap();
    attached.close().await;
    // As the vault's own they are moved like any others, and may be erased.
    let restored = open(rest.copy.path(), Duration::ZERO, As::Own).await;
    restored.compact().await;
    is_served(&restored.vault, &rest.actor, &rest.known).await;
    let doomed = rest.known.keys().next().unwrap();
    restored.vault.erase_interaction(&rest.actor, doomed).await.unwrap();
    assert!(restored.vault.interaction(&rest.actor, doomed).await.is_err());
    restored.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_grace_such_a_copy_lacks_them_and_says_so() {
    let scene = Scene::make(Duration::ZERO).await;
    let target = segments(&scene.data()).into_iter().find(|path| *path != scene.emptied).unwrap();
    scene.copies(&target);
    scene.compact().await;
    assert!(!scene.emptied.exists());
    scene.copies(&scene.emptied);
    let (attached, missing, _rest) = scene.attached().await;
    assert_eq!(missing, (MADE - ERASED) as u64);
    attached.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_moved_between_the_rows_copy_and_that_of_the_files_are_found_where_they_went() {
    let scene = Scene::make(Duration::ZERO).await;
    scene.compact().await;
    for segment in segments(&scene.data()) {
        scene.copies(&segment);
    }
    let (attached, missing, rest) = scene.attached().await;
    assert_eq!(missing, 0);
    is_served(&attached.vault, &rest.actor, &rest.known).await;
    attached.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_segment_goes_once_its_time_is_over_also_after_a_restart() {
    let grace = Duration::from_secs(2);
    let scene = Scene::make(grace).await;
    scene.compact().await;
    assert!(scene.emptied.exists());
    let Scene { root, open: vault, emptied, .. } = scene;
    vault.close().await;
    // Its leftovers are looked for at the start: too early.
    let again = open(root.path(), LONG, As::Own).await;
    tokio::time::sleep(grace).await;
    assert!(emptied.exists());
    again.close().await;
    let again = open(root.path(), grace, As::Own).await;
    for _ in 0..100 {
        if !emptied.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!emptied.exists());
    again.close().await;
}
