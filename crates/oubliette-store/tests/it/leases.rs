//! A vault whose lease lapsed: another process has it, or may have it any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::StreamExt as _;
use keyforest::Leaf;
use oubliette_core::model::ContentKind;
use oubliette_core::ports::{Clock as _, Lease, Metadata as _, SystemClock};
use oubliette_core::service::*;
use oubliette_core::testing::blobs::JudgeBlobs;
use uuid::Uuid;

use crate::vault::{call, capture, leased, of};

/// A lease that lapses when it is told to, or once it was asked about so many times.
struct Lapses {
    lapsed: AtomicBool,
    left: AtomicUsize,
}

impl Default for Lapses {
    fn default() -> Self {
        Self { lapsed: AtomicBool::new(false), left: AtomicUsize::new(usize::MAX) }
    }
}

impl Lease for Lapses {
    fn holds(&self) -> bool {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)));
        left != Ok(0) && !self.lapsed.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_whose_lease_lapsed_gives_nothing_out_and_says_unavailable_never_gone() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let lease = Arc::new(Lapses::default());
    let setup = of(leased(root.path(), &blobs, Arc::clone(&lease) as Arc<dyn Lease>).await).await;
    let mut draft = setup.vault.draft(&setup.actor).await.unwrap();
    let audio = NewContent::fixed(ContentKind::CallRecording, "audio/wav");
    draft.add(audio, body_of(vec![7; 4 << 20])).await.unwrap();
    let id = draft.commit(call("long", "+15125551234", SystemClock.now())).await.unwrap().id.to_string();
    let interaction = setup.vault.interaction(&setup.actor, &id).await.unwrap();
    let contents = setup.vault.contents(&setup.actor, &interaction).await.unwrap();
    let mut running = setup.vault.read(&setup.actor, &contents[0], None).await.unwrap();
    assert!(running.stream.next().await.unwrap().is_ok());
    let upload = setup.vault.draft(&setup.actor).await.unwrap();

    lease.lapsed.store(true, Ordering::SeqCst);
    assert!(!setup.vault.readiness().leased);
    let unavailable = |answer: Option<VaultError>| matches!(answer, Some(VaultError::Unavailable(_)));
    // What was opened before may still be on its way: a chunk or two, then the stream breaks off.
    let mut late = 0;
    let broke = loop {
        match running.stream.next().await {
            Some(Ok(bytes)) => late += bytes.len(),
            Some(Err(error)) => break error,
            None => panic!("the download ended as if it were complete"),
        }
    };
    assert!(unavailable(Some(broke)), "a running download");
    assert!(late <= 1 << 20, "{late} bytes left late");
    assert!(unavailable(setup.vault.interaction(&setup.actor, &id).await.err()), "a new read");
    assert!(unavailable(setup.vault.lookup(&setup.actor, &Lookup::Session("long".to_owned())).await.err()));
    assert!(unavailable(setup.vault.erase_interaction(&setup.actor, &id).await.err()), "an erasure");
    let new = call("late", "+15125551235", SystemClock.now());
    assert!(unavailable(upload.commit(new).await.err()), "an upload that began before");
    assert_eq!(setup.metadata.count_interactions().await.unwrap(), 1, "nothing was stored");

    lease.lapsed.store(false, Ordering::SeqCst);
    assert!(setup.vault.interaction(&setup.actor, &id).await.is_ok(), "with a lease again it serves again");
}

/// It may have been issued by whoever has the vault now.
#[tokio::test(flavor = "multi_thread")]
async fn that_something_was_never_issued_is_known_under_the_lease_only() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let lease = Arc::new(Lapses::default());
    let setup = of(leased(root.path(), &blobs, Arc::clone(&lease) as Arc<dyn Lease>).await).await;
    let (vault, actor) = (&setup.vault, &setup.actor);
    let interaction = capture(&setup, "s", "1").await;
    let id = interaction.id.to_string();
    let known = vault.contents(actor, &interaction).await.unwrap().remove(0);
    let never = Content { leaf: Leaf(1 << 40), ..known };
    let never_id: Uuid = vault.content_id(actor.tenant, &never).unwrap();

    let erasure = async || vault.erasure_of(actor, &id, Some(never_id)).await.err();
    let told = erasure().await;
    assert!(matches!(told, Some(VaultError::NotFound)), "{told:?}");
    // It holds when the request begins, and not any more when the answer is to be given.
    let lapses = |left| lease.left.store(left, Ordering::SeqCst);
    lapses(1);
    assert!(matches!(erasure().await, Some(VaultError::Unavailable(_))));
    // Nor does anything captured elsewhere meanwhile stand in the map of this process.
    lapses(1);
    let unknown = vault.lookup(actor, &Lookup::Session("elsewhere".to_owned())).await;
    assert!(matches!(unknown, Err(VaultError::Unavailable(_))));
    lapses(usize::MAX);
    assert!(vault.lookup(actor, &Lookup::Session("elsewhere".to_owned())).await.unwrap().is_empty());
}
