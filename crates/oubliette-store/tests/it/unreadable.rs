//! Key pages that cannot be read for a while: what lies under them is neither there nor gone, and nobody is told that it is.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keyforest::media::Medium;
use keyforest::{ForestConfig, Leaf, Stores};
use oubliette_core::model::ContentKind;
use oubliette_core::ports::Unbounded;
use oubliette_core::service::*;
use oubliette_core::testing::blobs::JudgeBlobs;
use oubliette_store::media::Folder;

use crate::vault::{Setup, capture, of, open_as, stores};

/// A medium that reads only so many times more.
struct Mute(Folder, AtomicI64);

impl Mute {
    fn reads(&self, left: i64) {
        self.1.store(left, Ordering::SeqCst);
    }
}

impl Medium for Mute {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.0.create(name, reserve)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(name, offset, bytes)
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.0.flush(name)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if self.1.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(io::Error::other("mute"));
        }
        self.0.read_at(name, offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_back(name, offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.0.truncate(name, len)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.0.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
}

/// A vault that keeps no page in memory.
async fn forgetful(root: &Path, blobs: &JudgeBlobs) -> (Arc<Mute>, Setup) {
    let stores = stores(root);
    let medium = Arc::new(Mute(Folder::open(root.join("data/packs")).unwrap(), AtomicI64::new(i64::MAX)));
    let stores = Stores { packs: Arc::clone(&medium) as Arc<dyn Medium>, ..stores };
    let config = ForestConfig { page_memory: 0, ..ForestConfig::default() };
    (medium, of(open_as(config, stores, root, blobs, Arc::new(Unbounded)).await).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_under_a_page_that_cannot_be_read_is_neither_missing_nor_erased() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let (medium, setup) = forgetful(root.path(), &blobs).await;
    let (vault, actor) = (&setup.vault, &setup.actor);
    let interaction = capture(&setup, "s", "1").await;
    let id = interaction.id.to_string();
    let contents = vault.contents(actor, &interaction).await.unwrap();
    // A page, no seed, from here on.
    let other = capture(&setup, "other", "2").await.id.to_string();
    vault.erase_interaction(actor, &other).await.unwrap();

    medium.reads(0);
    let failed = |done: Option<VaultError>| matches!(done, Some(VaultError::Internal(_) | VaultError::Unavailable(_)));
    assert!(failed(vault.interaction(actor, &id).await.err()));
    assert!(failed(vault.contents(actor, &interaction).await.err()));
    assert!(failed(vault.read_all(actor, &contents[0], 1 << 20).await.err()));
    assert!(failed(vault.erase_content(actor, &id, contents[0].leaf).await.err()));
    assert!(failed(vault.erase_interactions(actor, std::slice::from_ref(&id)).await.err()));

    medium.reads(i64::MAX);
    assert_eq!(vault.contents(actor, &interaction).await.unwrap().len(), 2);
    vault.erase_content(actor, &id, contents[0].leaf).await.unwrap();
    assert_eq!(vault.erase_interactions(actor, std::slice::from_ref(&id)).await.unwrap(), 1);
    assert!(matches!(vault.interaction(actor, &id).await, Err(VaultError::Gone)));
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Content,
    Interaction,
    Batch,
    Replace,
}

/// Does it, and says whether it was told that something is gone, done, or neither.
async fn act(setup: &Setup, act: Act, id: &str, leaf: Leaf) -> Result<(), VaultError> {
    let (vault, actor) = (&setup.vault, &setup.actor);
    match act {
        Act::Content => vault.erase_content(actor, id, leaf).await,
        Act::Interaction => vault.erase_interaction(actor, id).await,
        Act::Batch => vault.erase_interactions(actor, &[id.to_owned()]).await.map(drop),
        Act::Replace => {
            let new = NewContent::fixed(ContentKind::Transcript, "application/json");
            vault.put_content(actor, id, new, body_of(b"newer".to_vec())).await.map(drop)
        }
    }
}

/// Wherever on its way a delete or a replacement meets a page that cannot be read, it is not answered on a guess.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whichever_read_fails_nothing_that_lives_is_called_gone_or_done() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let (medium, setup) = forgetful(root.path(), &blobs).await;
    let (vault, actor) = (&setup.vault, &setup.actor);
    let mut failed = 0;
    for kind in [Act::Content, Act::Interaction, Act::Batch, Act::Replace] {
        for reads in 0..10 {
            let what = format!("{kind:?} after {reads} reads");
            let other = capture(&setup, &format!("other {what}"), "2").await.id.to_string();
            let interaction = capture(&setup, &what, "1").await;
            let id = interaction.id.to_string();
            let contents = vault.contents(actor, &interaction).await.unwrap();
            let leaf = contents.iter().find(|content| content.meta.kind == ContentKind::Transcript).unwrap().leaf;
            vault.erase_interaction(actor, &other).await.unwrap();

            medium.reads(reads);
            let mut doing = Box::pin(act(&setup, kind, &id, leaf));
            let told = tokio::time::timeout(Duration::from_millis(100), &mut doing).await;
            medium.reads(i64::MAX);
            let told = match told {
                Ok(told) => told,
                Err(_) => doing.await,
            };

            failed += usize::from(told.is_err());
            let kept = match vault.interaction(actor, &id).await {
                Ok(interaction) => vault.contents(actor, &interaction).await.unwrap(),
                Err(error) => {
                    assert!(matches!(error, VaultError::Gone), "{what}: {error:?}");
                    Vec::new()
                }
            };
            let transcripts: Vec<_> =
                kept.iter().filter(|content| content.meta.kind == ContentKind::Transcript).collect();
            match (kind, &told) {
                (Act::Replace, Ok(())) => {
                    assert_eq!(transcripts.len(), 1, "{what}");
                    assert_eq!(vault.read_all(actor, transcripts[0], 100).await.unwrap(), b"newer", "{what}");
                }
                (Act::Replace, Err(_)) => assert_eq!(transcripts.len(), 1, "{what}"),
                (Act::Content, Ok(()) | Err(VaultError::Gone | VaultError::NotFound)) => {
                    assert!(transcripts.is_empty(), "{what}: {told:?}");
                }
                (_, Ok(()) | Err(VaultError::Gone | VaultError::NotFound)) => {
                    assert!(kept.is_empty(), "{what}: {told:?}")
                }
                (_, Err(_)) => {}
            }
        }
    }
    assert!(failed > 4, "only {failed} met a page that could not be read");
}
