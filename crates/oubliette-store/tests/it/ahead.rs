//! Seals that are made ready while their transaction is being written.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use keyforest::{Forest, ForestConfig, Leaf, NoProbe, Probe, Stores};
use oubliette_core::model::*;
use oubliette_core::ports::{Applied, Clock, Metadata, NoLenders, SystemClock, Transaction, Unbounded, Write};
use oubliette_core::service::*;
use oubliette_core::testing::blobs::JudgeBlobs;
use oubliette_store::media::Folder;
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::roots::FileRegister;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Told by vault and metadata alike.
#[derive(Default)]
struct Watch {
    armed: AtomicBool,
    reached: Mutex<Vec<&'static str>>,
    changed: Condvar,
    at_commit: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Watch {
    fn wait_for(&self, point: &str) -> bool {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |reached: &mut Vec<&'static str>| !reached.contains(&point);
        let (reached, _) = self.changed.wait_timeout_while(reached, PATIENCE, missing).unwrap();
        reached.contains(&point)
    }

    fn arm(&self) {
        self.reached.lock().unwrap().clear();
        self.armed.store(true, Ordering::SeqCst);
    }

    fn disarm(&self) -> Vec<&'static str> {
        self.armed.store(false, Ordering::SeqCst);
        self.reached.lock().unwrap().clone()
    }
}

impl Probe for Watch {
    fn reached(&self, point: &'static str) {
        if !self.armed.load(Ordering::SeqCst) {
            return;
        }
        if point == "commit.before"
            && let Some(first) = self.at_commit.lock().unwrap().take()
        {
            assert!(self.wait_for("sealer.ready"), "no seal is made ready");
            first();
        }
        // The transaction is not durable before the seal is ready.
        if point == "metadata.before_commit" {
            self.wait_for("sealer.ready");
        }
        self.reached.lock().unwrap().push(point);
        self.changed.notify_all();
    }
}

struct Setup {
    vault: Vault,
    metadata: Arc<SqliteMetadata>,
    forest: Arc<Forest>,
    actor: Actor,
    watch: Arc<Watch>,
}

async fn setup(root: &Path) -> Setup {
    let data = root.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let watch = Arc::new(Watch::default());
    let options = SqliteOptions { probe: Arc::clone(&watch) as Arc<dyn Probe>, ..SqliteOptions::default() };
    let metadata = Arc::new(SqliteMetadata::open(&data.join("vault.db"), options).unwrap());
    let (attachment, pins) = genesis(metadata.instance().await.unwrap().instance).unwrap();
    let stores = Stores {
        packs: Arc::new(Folder::open(data.join("packs")).unwrap()),
        register: Arc::new(FileRegister::open(&root.join("register"), &data).unwrap()),
        probe: Arc::new(NoProbe),
    };
    let log = Arc::clone(&stores.packs);
    let forest = Arc::new(Forest::create(stores, ForestConfig::default(), &attachment, pins).unwrap());
    let parts = VaultParts {
        metadata: Arc::clone(&metadata) as Arc<dyn Metadata>,
        blobs: Arc::new(JudgeBlobs::new()),
        forest: Arc::clone(&forest),
        clock: Arc::new(SystemClock),
        lease: Arc::new(Unbounded),
        lenders: Arc::new(NoLenders),
        log,
        probe: Arc::clone(&watch) as Arc<dyn Probe>,
        settings: VaultSettings::default(),
    };
    let vault = Vault::open(parts).await.unwrap();
    vault.wait_ready().await;
    let tenant = vault.create_tenant("first").await.unwrap();
    let actor = Actor { tenant, credential: uuid::Uuid::new_v4(), scopes: Scopes::all() };
    Setup { vault, metadata, forest, actor, watch }
}

async fn captured(setup: &Setup) -> Interaction {
    let meta = InteractionMeta::starting(SystemClock.now());
    let new = NewInteraction { kind: InteractionKind::Call, state: State::Processed, meta, unique_session: false };
    let made = setup.vault.create(&setup.actor, new).await.unwrap();
    // Neither sealer nor committer has anything to do.
    tokio::time::sleep(Duration::from_millis(200)).await;
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seal_of_a_lone_delete_is_ready_before_its_transaction_is_durable_and_ends_after_it() {
    let root = tempfile::tempdir().unwrap();
    let setup = setup(root.path()).await;
    let (gone, kept) = (captured(&setup).await, captured(&setup).await);
    let before = setup.forest.epoch();
    let commits = setup.metadata.instance().await.unwrap().commit_counter;
    setup.watch.arm();
    setup.vault.erase_interaction(&setup.actor, &gone.id.to_string()).await.unwrap();
    let reached = setup.watch.disarm();
    let place = |point: &str| reached.iter().position(|other| *other == point).unwrap_or_else(|| panic!("{point}"));
    let order = ["sealer.ready", "metadata.after_commit", "commit.hidden", "sealer.before_seal", "sealer.after_seal"];
    assert!(order.map(place).is_sorted(), "{reached:?}");
    assert_eq!(setup.forest.epoch(), before + 1, "one seal");
    assert!(matches!(setup.vault.interaction(&setup.actor, &gone.id.to_string()).await, Err(VaultError::Gone)));
    assert!(setup.vault.interaction(&setup.actor, &kept.id.to_string()).await.is_ok());
    // The commit that plans the erasure is the one that the new root pins.
    assert_eq!(setup.forest.pins().commit_counter, commits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_made_ready_is_taken_back_when_its_transaction_comes_to_nothing() {
    let root = tempfile::tempdir().unwrap();
    let setup = setup(root.path()).await;
    let kept = captured(&setup).await;
    let id = kept.id.to_string();
    let (epoch, key) = (setup.forest.epoch(), *setup.forest.key(kept.group.leaf(0)).unwrap().expose());
    let row = setup.metadata.directory(0, 1).await.unwrap().remove(0);

    // Just before the transaction somebody else puts the directory block under another leaf.
    let mut other = row.clone();
    other.leaf = Leaf(row.leaf.0 + 100);
    let (metadata, runtime) = (Arc::clone(&setup.metadata), tokio::runtime::Handle::current());
    let put = |row| Transaction { name: "test", checks: Vec::new(), writes: vec![Write::PutDirectory(row)] };
    let change = put(other);
    let meddle = move || {
        let apply = move || runtime.block_on(metadata.apply(change)).unwrap();
        assert!(matches!(std::thread::spawn(apply).join().unwrap(), Applied::Done(_)));
    };
    *setup.watch.at_commit.lock().unwrap() = Some(Box::new(meddle));
    setup.watch.arm();
    assert!(setup.vault.erase_interaction(&setup.actor, &id).await.is_err());
    let reached = setup.watch.disarm();
    assert!(reached.contains(&"sealer.ready") && !reached.contains(&"sealer.after_seal"), "{reached:?}");
    assert_eq!(setup.forest.epoch(), epoch, "nothing was sealed");
    assert_eq!(*setup.forest.key(kept.group.leaf(0)).unwrap().expose(), key);
    assert!(setup.vault.interaction(&setup.actor, &id).await.is_ok());

    // The next one is sealed as if nothing had been.
    setup.metadata.apply(put(row)).await.unwrap();
    setup.vault.erase_interaction(&setup.actor, &id).await.unwrap();
    assert_eq!(setup.forest.epoch(), epoch + 1);
    assert!(setup.forest.key(kept.group.leaf(0)).is_err());
}
