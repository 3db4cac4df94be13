//! The vault's services over the real embedded stores: SQLite, packs, register.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use keyforest::{Forest, ForestConfig, NoProbe, Stores};
use oubliette_core::model::*;
use oubliette_core::ports::{Clock, Lease, Metadata, NoLenders, PurgeState, Removal, SystemClock, Unbounded};
use oubliette_core::service::*;
use oubliette_core::testing::blobs::JudgeBlobs;
use oubliette_store::media::Folder;
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::roots::FileRegister;

use crate::roots::moody::Moody;

/// A vault with a tenant and a credential for everything.
pub struct Setup {
    pub vault: Vault,
    pub metadata: Arc<SqliteMetadata>,
    pub actor: Actor,
    pub token: String,
}

pub fn stores(root: &Path) -> Stores {
    let data = root.join("data");
    std::fs::create_dir_all(&data).unwrap();
    Stores {
        packs: Arc::new({
            std::fs::create_dir_all(data.join("packs")).unwrap();
            Folder::open(data.join("packs")).unwrap()
        }),
        register: Arc::new(FileRegister::open(&root.join("register"), &data).unwrap()),
        probe: Arc::new(NoProbe),
    }
}

async fn open(root: &Path, blobs: &JudgeBlobs) -> (Vault, Arc<SqliteMetadata>) {
    leased(root, blobs, Arc::new(Unbounded)).await
}

pub async fn leased(root: &Path, blobs: &JudgeBlobs, lease: Arc<dyn Lease>) -> (Vault, Arc<SqliteMetadata>) {
    open_over(stores(root), root, blobs, lease).await
}

async fn open_over(
    stores: Stores,
    root: &Path,
    blobs: &JudgeBlobs,
    lease: Arc<dyn Lease>,
) -> (Vault, Arc<SqliteMetadata>) {
    open_as(ForestConfig::default(), stores, root, blobs, lease).await
}

pub async fn open_as(
    config: ForestConfig,
    stores: Stores,
    root: &Path,
    blobs: &JudgeBlobs,
    lease: Arc<dyn Lease>,
) -> (Vault, Arc<SqliteMetadata>) {
    let path = root.join("data/vault.db");
    let fresh = !path.exists();
    let log = Arc::clone(&stores.packs);
    let metadata = Arc::new(SqliteMetadata::open(&path, SqliteOptions::default()).unwrap());
    let forest = if fresh {
        let (attachment, pins) = genesis(metadata.instance().await.unwrap().instance).unwrap();
        Forest::create(stores, config, &attachment, pins).unwrap()
    } else {
        Forest::open(stores, config).unwrap().0
    };
    let parts = VaultParts {
        metadata: Arc::clone(&metadata) as Arc<dyn Metadata>,
        blobs: Arc::new(blobs.clone()),
        forest: Arc::new(forest),
        clock: Arc::new(SystemClock),
        lease,
        lenders: Arc::new(NoLenders),
        log,
        probe: Arc::new(NoProbe),
        settings: VaultSettings { default_region: Some("US".to_owned()), ..VaultSettings::default() },
    };
    let vault = Vault::open(parts).await.unwrap();
    vault.wait_ready().await;
    (vault, metadata)
}

async fn setup(root: &Path, blobs: &JudgeBlobs) -> Setup {
    of(open(root, blobs).await).await
}

pub async fn of((vault, metadata): (Vault, Arc<SqliteMetadata>)) -> Setup {
    let tenant = vault.create_tenant("first").await.unwrap();
    let new = NewCredential {
        tenant,
        kind: CredentialKind::Native,
        scopes: Scopes::all(),
        label: "test".to_owned(),
        expires_at: None,
    };
    let (_, secret) = vault.create_credential(new).await.unwrap();
    let token = secret.expose().to_owned();
    let actor = vault.authenticate_token(CredentialKind::Native, &token).unwrap();
    Setup { vault, metadata, actor, token }
}

pub fn call(session: &str, phone: &str, at: Timestamp) -> NewInteraction {
    let mut meta = InteractionMeta::starting(at);
    meta.session_id = Some(session.to_owned());
    meta.participants.push(Participant {
        role: "customer".to_owned(),
        phone: Some(phone.to_owned()),
        first_name: Some("Ada".to_owned()),
        ..Participant::default()
    });
    NewInteraction { kind: InteractionKind::Call, state: State::Processed, meta, unique_session: true }
}

pub async fn capture(setup: &Setup, session: &str, phone: &str) -> Interaction {
    let mut draft = setup.vault.draft(&setup.actor).await.unwrap();
    let audio = NewContent::fixed(ContentKind::CallRecording, "audio/wav");
    draft.add(audio, body_of(format!("audio of {session}").into_bytes())).await.unwrap();
    let transcript = NewContent::fixed(ContentKind::Transcript, "application/json");
    draft.add(transcript, body_of(format!("words of {session}").into_bytes())).await.unwrap();
    draft.commit(call(session, phone, SystemClock.now())).await.unwrap()
}

async fn text(setup: &Setup, id: &str, kind: ContentKind) -> Result<Vec<u8>, VaultError> {
    let interaction = setup.vault.interaction(&setup.actor, id).await?;
    let contents = setup.vault.contents(&setup.actor, &interaction).await?;
    let content = contents.iter().find(|content| content.meta.kind == kind).ok_or(VaultError::NotFound)?;
    setup.vault.read_all(&setup.actor, content, 1 << 20).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_captured_is_found_and_read_until_it_is_erased_and_stays_gone_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let mut setup = setup(root.path(), &blobs).await;
    let kept = capture(&setup, "kept", "+1 (512) 555-1234").await;
    let gone = capture(&setup, "gone", "512-555-1234").await;
    let (kept_id, gone_id) = (kept.id.to_string(), gone.id.to_string());

    let found = setup.vault.lookup(&setup.actor, &Lookup::Phone("5125551234".to_owned())).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(text(&setup, &gone_id, ContentKind::CallRecording).await.unwrap(), b"audio of gone");

    setup.vault.erase_interaction(&setup.actor, &gone_id).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(setup.vault.interaction(&setup.actor, &gone_id).await, Err(VaultError::Gone)));
        assert!(matches!(setup.vault.erase_interaction(&setup.actor, &gone_id).await, Err(VaultError::Gone)));
        assert_eq!(text(&setup, &kept_id, ContentKind::Transcript).await.unwrap(), b"words of kept");
        for key in [Lookup::Phone("+15125551234".to_owned()), Lookup::Session("kept".to_owned())] {
            let found = setup.vault.lookup(&setup.actor, &key).await.unwrap();
            assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), [kept.id]);
        }
        assert!(setup.vault.lookup(&setup.actor, &Lookup::Session("gone".to_owned())).await.unwrap().is_empty());
        setup.vault.close().await;
        drop(setup.vault);
        drop(setup.metadata);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (vault, metadata) = open(root.path(), &blobs).await;
        let actor = vault.authenticate_token(CredentialKind::Native, &setup.token).unwrap();
        setup = Setup { vault, metadata, actor, token: setup.token };
    }
    assert_eq!(setup.metadata.count_interactions().await.unwrap(), 1);
    assert!(blobs.verdict().is_empty(), "{:?}", blobs.verdict());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_out_of_reach_makes_deletes_wait_and_nothing_else_and_the_vault_closes_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let real = stores(root.path());
    let (register, away, _) = Moody::over(real.register);
    let over = open_over(Stores { register, ..real }, root.path(), &blobs, Arc::new(Unbounded)).await;
    let setup = of(over).await;
    let erasing = |id: &str| {
        let (vault, actor, id) = (setup.vault.clone(), setup.actor.clone(), id.to_owned());
        tokio::spawn(async move { vault.erase_interaction(&actor, &id).await.map(|_| ()) })
    };
    let sealing = async |wanted: bool| {
        while setup.vault.status().await.unwrap().readiness.sealing != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let kept = capture(&setup, "kept", "1").await.id.to_string();
    let gone = capture(&setup, "gone", "2").await.id.to_string();
    let last = capture(&setup, "last", "3").await.id.to_string();

    away.store(true, Ordering::SeqCst);
    let delete = erasing(&gone);
    sealing(false).await;
    assert!(!delete.is_finished(), "answered before its seal");
    assert!(matches!(setup.vault.interaction(&setup.actor, &gone).await, Err(VaultError::Gone)), "hidden at once");
    assert_eq!(text(&setup, &kept, ContentKind::Transcript).await.unwrap(), b"words of kept");
    capture(&setup, "meanwhile", "4").await;
    away.store(false, Ordering::SeqCst);
    delete.await.unwrap().unwrap();
    sealing(true).await;

    // Out of reach again, and this time the vault closes before it is back.
    away.store(true, Ordering::SeqCst);
    let delete = erasing(&last);
    sealing(false).await;
    tokio::time::timeout(Duration::from_secs(10), setup.vault.close()).await.expect("closing waits for the register");
    let told = tokio::time::timeout(Duration::from_secs(5), delete).await.expect("nobody tells who waits").unwrap();
    assert!(matches!(told, Err(VaultError::StillDue)), "it was never sealed: {told:?}");
    let token = setup.token.clone();
    drop(setup);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (vault, metadata) = open(root.path(), &blobs).await;
    assert_eq!(vault.status().await.unwrap().unsealed, 0, "the next start seals what is due");
    let actor = vault.authenticate_token(CredentialKind::Native, &token).unwrap();
    let setup = Setup { vault, metadata, actor, token };
    for erased in [gone, last] {
        assert!(matches!(setup.vault.interaction(&setup.actor, &erased).await, Err(VaultError::Gone)));
    }
    assert_eq!(text(&setup, &kept, ContentKind::Transcript).await.unwrap(), b"words of kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_by_an_id_of_another_system_that_is_asked_for_again_waits_for_the_seal_too() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let real = stores(root.path());
    let (register, away, _) = Moody::over(real.register);
    let over = open_over(Stores { register, ..real }, root.path(), &blobs, Arc::new(Unbounded)).await;
    let setup = of(over).await;
    let (vault, actor) = (&setup.vault, &setup.actor);
    for name in ["theirs-1", "theirs-2"] {
        let mut new = call(name, "1", SystemClock.now());
        new.meta.external_ids.push(name.to_owned());
        vault.draft(actor).await.unwrap().commit(new).await.unwrap();
    }
    let ids = ["theirs-1".to_owned()];
    away.store(true, Ordering::SeqCst);
    let first = {
        let (vault, actor) = (vault.clone(), actor.clone());
        tokio::spawn(async move {
            let ids = ["theirs-1".to_owned()];
            tokio::join!(vault.erase_interactions(&actor, &ids), vault.erase_interaction(&actor, "theirs-2"))
        })
    };
    let hidden = async |id: &str| {
        while vault.interaction(actor, id).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    hidden("theirs-1").await;
    hidden("theirs-2").await;
    let soon = Duration::from_millis(500);
    assert!(tokio::time::timeout(soon, vault.erase_interactions(actor, &ids)).await.is_err(), "a batch was answered");
    assert!(tokio::time::timeout(soon, vault.erase_interaction(actor, "theirs-2")).await.is_err());
    away.store(false, Ordering::SeqCst);
    let (batch, single) = first.await.unwrap();
    assert_eq!(batch.unwrap(), 1);
    single.unwrap();
    assert_eq!(vault.erase_interactions(actor, &ids).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_one_content_leaves_the_others_and_replacing_one_erases_the_old_bytes() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let id = capture(&setup, "s", "1").await.id.to_string();
    for round in 0..12 {
        let new = NewContent::fixed(ContentKind::Transcript, "application/json");
        setup.vault.put_content(&setup.actor, &id, new, body_of(format!("round {round}").into_bytes())).await.unwrap();
        assert_eq!(text(&setup, &id, ContentKind::Transcript).await.unwrap(), format!("round {round}").as_bytes());
    }
    let interaction = setup.vault.interaction(&setup.actor, &id).await.unwrap();
    let contents = setup.vault.contents(&setup.actor, &interaction).await.unwrap();
    assert_eq!(contents.len(), 2);
    let recording = contents.iter().find(|content| content.meta.kind == ContentKind::CallRecording).unwrap();
    setup.vault.erase_content(&setup.actor, &id, recording.leaf).await.unwrap();
    assert!(matches!(text(&setup, &id, ContentKind::CallRecording).await, Err(VaultError::NotFound)));
    assert_eq!(text(&setup, &id, ContentKind::Transcript).await.unwrap(), b"round 11");
    assert!(matches!(setup.vault.erase_content(&setup.actor, &id, recording.leaf).await, Err(VaultError::Gone)));
    // The interaction has grown past its first group: erasing it takes the extra groups along.
    setup.vault.erase_interaction(&setup.actor, &id).await.unwrap();
    let stream = setup.vault.read(&setup.actor, recording, None).await;
    assert!(matches!(stream, Err(VaultError::Gone)));
    assert!(blobs.verdict().is_empty(), "{:?}", blobs.verdict());
}

/// Whoever reads by name meets the old bytes or the new ones, also between the look at the rows and the use of the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_content_that_is_being_replaced_is_there_at_every_moment() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = Arc::new(setup(root.path(), &blobs).await);
    let id = capture(&setup, "s", "1").await.id.to_string();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (setup, id, done) = (Arc::clone(&setup), id.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    text(&setup, &id, ContentKind::Transcript).await.expect("it is never gone");
                }
            })
        })
        .collect();
    for round in 0..150 {
        let new = NewContent::fixed(ContentKind::Transcript, "application/json");
        setup.vault.put_content(&setup.actor, &id, new, body_of(format!("round {round}").into_bytes())).await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(text(&setup, &id, ContentKind::Transcript).await.unwrap(), b"round 149");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_download_ends_when_its_content_is_erased() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let mut draft = setup.vault.draft(&setup.actor).await.unwrap();
    let audio = NewContent::fixed(ContentKind::CallRecording, "audio/wav");
    draft.add(audio, body_of(vec![7_u8; 4 << 20])).await.unwrap();
    let interaction = draft.commit(call("long", "1", SystemClock.now())).await.unwrap();
    let contents = setup.vault.contents(&setup.actor, &interaction).await.unwrap();
    let mut reader = setup.vault.read(&setup.actor, &contents[0], None).await.unwrap();
    reader.stream.next().await.unwrap().unwrap();
    setup.vault.erase_interaction(&setup.actor, &interaction.id.to_string()).await.unwrap();
    assert!(matches!(reader.stream.next().await, Some(Err(VaultError::Gone))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_upload_to_an_erased_interaction_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let new = NewInteraction {
        kind: InteractionKind::Call,
        state: State::AwaitingUpload,
        meta: InteractionMeta::starting(SystemClock.now()),
        unique_session: false,
    };
    let id = setup.vault.create(&setup.actor, new).await.unwrap().id.to_string();
    let (mut sender, body) = futures::channel::mpsc::channel(1);
    let uploading = tokio::spawn({
        let (vault, actor, id) = (setup.vault.clone(), setup.actor.clone(), id.clone());
        async move {
            let new = NewContent::fixed(ContentKind::CallRecording, "audio/wav");
            vault.upload(&actor, &id, new, Box::pin(body)).await.map(|_| ())
        }
    });
    futures::SinkExt::send(&mut sender, Ok(bytes::Bytes::from_static(b"first"))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    setup.vault.erase_interaction(&setup.actor, &id).await.unwrap();
    // The client stalls: nothing more is sent, and the upload ends all the same.
    assert!(matches!(uploading.await.unwrap(), Err(VaultError::Gone)));
    assert!(blobs.is_empty() || blobs.verdict().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_hides_at_once_is_sealed_without_help_and_forgets_its_words() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let mut ids = Vec::new();
    for number in 0..40 {
        let phone = if number % 2 == 0 { "+1 512 555 0001" } else { "+1 512 555 0002" };
        ids.push(capture(&setup, &format!("s{number}"), phone).await.id);
    }
    let selector = Selector { phones: vec!["(512) 555-0001".to_owned()], ..Selector::default() };
    let plan = setup.vault.plan(&setup.actor, &selector).await.unwrap();
    assert_eq!((plan.items.len(), plan.contents), (20, 40));
    let order = |hash| Order {
        selector: selector.clone(),
        reference: Some("ticket 7".to_owned()),
        reason: None,
        legal_basis: None,
        plan_hash: Some(hash),
    };
    assert!(matches!(setup.vault.order(&setup.actor, order([0; 32])).await, Err(VaultError::Conflict(_))));
    let (id, _) = setup.vault.order(&setup.actor, order(plan.hash)).await.unwrap();
    let id = id.unwrap();
    for (number, interaction) in ids.iter().enumerate() {
        let read = setup.vault.interaction(&setup.actor, &interaction.to_string()).await;
        assert_eq!(matches!(read, Err(VaultError::Gone)), number % 2 == 0);
        assert_eq!(read.is_ok(), number % 2 == 1);
    }
    setup.vault.wait_sealed(id, Duration::from_secs(10)).await.unwrap();
    let view = setup.vault.erasure(&setup.actor, id).await.unwrap();
    assert_eq!((view.state, view.interactions, view.contents, view.reference), (PurgeState::Sealed, 20, 40, None));
    let items = setup.vault.erasure_items(&setup.actor, id, 5, 100).await.unwrap();
    assert!(items.len() == 15 && items.iter().all(|item| ids.contains(&item.id)));
    let (again, plan) = setup.vault.order(&setup.actor, Order { plan_hash: None, ..order([0; 32]) }).await.unwrap();
    assert!(again.is_none() && plan.items.is_empty());
    let left = setup.vault.lookup(&setup.actor, &Lookup::Phone("5125550002".to_owned())).await.unwrap();
    assert_eq!(left.len(), 20);
}

/// Orders the erasure of one session.
async fn order(setup: &Setup, session: &str) -> uuid::Uuid {
    let selector = Selector { sessions: vec![session.to_owned()], ..Selector::default() };
    let order = Order { selector, reference: None, reason: None, legal_basis: None, plan_hash: None };
    setup.vault.order(&setup.actor, order).await.unwrap().0.unwrap()
}

async fn eventually(setup: &Setup, id: uuid::Uuid, holds: impl Fn(&ErasureView) -> bool) -> ErasureView {
    for _ in 0..1_000 {
        let view = setup.vault.erasure(&setup.actor, id).await.unwrap();
        if holds(&view) {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came: {:?}", setup.vault.erasure(&setup.actor, id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_blob_shows_until_when_is_removed_after_it_and_holds_up_no_other_erasure() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let mut places = Vec::new();
    for session in ["locked", "failing", "plain"] {
        let group = capture(&setup, session, "+1 512 555 0001").await.group;
        places.push(setup.metadata.contents(&[group]).await.unwrap()[0].blob.clone());
    }
    let until = SystemClock.now() + SignedDuration::from_secs(3);
    blobs.keep(&places[0], Removal::Retained { until });
    blobs.keep(&places[1], Removal::Failed("for the test"));
    let mut ids = Vec::new();
    for session in ["locked", "failing", "plain"] {
        ids.push(order(&setup, session).await);
    }
    let plain = eventually(&setup, ids[2], |view| view.removed_at.is_some()).await;
    assert_eq!(plain.retained_until, None);
    let locked = eventually(&setup, ids[0], |view| view.retained_until.is_some()).await;
    assert_eq!((locked.state, locked.removed_at), (PurgeState::Sealed, None));
    assert_eq!(locked.retained_until, Some(until));
    let failing = setup.vault.erasure(&setup.actor, ids[1]).await.unwrap();
    assert_eq!((failing.removed_at, failing.retained_until), (None, None));
    assert_eq!(setup.vault.status().await.unwrap().unswept, 2);

    blobs.keep(&places[0], Removal::Removed);
    let locked = eventually(&setup, ids[0], |view| view.removed_at.is_some()).await;
    assert!(locked.removed_at.unwrap() >= until, "removed while it was retained");
    assert_eq!(locked.retained_until, Some(until));
    assert!(blobs.stored(&places[0]).is_none() && blobs.stored(&places[1]).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deletes_at_once_share_seals_and_each_is_answered_once() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let mut ids = Vec::new();
    for number in 0..64 {
        ids.push(capture(&setup, &format!("s{number}"), "+1 512 555 0001").await.id.to_string());
    }
    let before = setup.vault.status().await.unwrap().seals;
    let deletes = ids.iter().flat_map(|id| [id.clone(), id.clone()]).map(|id| {
        let (vault, actor) = (setup.vault.clone(), setup.actor.clone());
        tokio::spawn(async move { vault.erase_interaction(&actor, &id).await })
    });
    let mut done = 0;
    for delete in deletes.collect::<Vec<_>>() {
        match delete.await.unwrap() {
            Ok(()) => done += 1,
            Err(VaultError::Gone) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(done, 64);
    assert!(setup.vault.status().await.unwrap().seals - before < 64);
    assert!(setup.vault.lookup(&setup.actor, &Lookup::Phone("5125550001".to_owned())).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_walk_every_interaction_once_in_order_of_start() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let now = SystemClock.now();
    let at = |minutes: i64| now - SignedDuration::from_mins(minutes);
    for (number, minutes) in [50, 10, 400, 10, 90, 61, 59, 300].into_iter().enumerate() {
        setup.vault.create(&setup.actor, call(&format!("s{number}"), "1", at(minutes))).await.unwrap();
    }
    let mut query = ListQuery { from: at(350), to: now, after: None, limit: 3 };
    let mut walked = Vec::new();
    loop {
        let (page, _) = setup.vault.list(&setup.actor, &query, &|_, _| true).await.unwrap();
        walked.extend(page.items.iter().map(|item| (item.meta.started_at, item.id)));
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(walked.len(), 7);
    assert!(walked.is_sorted());
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_by_hour_walk_a_full_hour_in_pages_while_it_changes() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    // 2023-11-14T22:00:00Z, and later starts come in first.
    let at = |seconds: i64| jiff::Timestamp::from_second(1_699_999_200 + seconds).unwrap();
    let mut made = Vec::new();
    for number in 0..90_i64 {
        let start = if number % 3 == 0 { at(3_600 + number) } else { at(3_000 - number * 10) };
        let interaction = setup.vault.create(&setup.actor, call(&format!("s{number}"), "1", start)).await.unwrap();
        made.push(interaction);
    }
    // Five start after what is asked for, and one before.
    let mut query = ListQuery { from: at(2_120), to: at(3_600 + 74), after: None, limit: 7 };
    let (mut walked, mut erased) = (Vec::new(), 0);
    loop {
        let (page, contents) = setup.vault.list_by_hour(&setup.actor, &query).await.unwrap();
        assert!((1..=7).contains(&page.items.len()) && contents.len() == page.items.len());
        walked.extend(page.items.iter().map(|item| (item.meta.started_at.as_second().div_euclid(3_600), item.group)));
        let last = page.items.last().unwrap().id.to_string();
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
        if erased < 2 {
            // The position stays one, although nothing is there any more.
            setup.vault.erase_interaction(&setup.actor, &last).await.unwrap();
            erased += 1;
        }
    }
    let inside = |one: &&Interaction| (query.from..=query.to).contains(&one.meta.started_at);
    let mut expected: Vec<_> =
        made.iter().filter(inside).map(|one| (one.meta.started_at.as_second().div_euclid(3_600), one.group)).collect();
    expected.sort_unstable();
    assert!(expected.len() > 80 && expected.len() < 90);
    assert_eq!(walked, expected);

    query.after = Some((at(0), PublicId(uuid::Uuid::new_v4())));
    let foreign = setup.vault.list_by_hour(&setup.actor, &query).await;
    assert!(matches!(foreign, Err(VaultError::Invalid(_))));
    query.limit = 0;
    assert!(matches!(setup.vault.list_by_hour(&setup.actor, &query).await, Err(VaultError::Invalid(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_sees_nothing_and_scopes_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let id = capture(&setup, "mine", "+1 512 555 0001").await.id.to_string();
    let other = setup.vault.create_tenant("second").await.unwrap();
    let foreign = Actor { tenant: other, ..setup.actor.clone() };
    assert!(matches!(setup.vault.interaction(&foreign, &id).await, Err(VaultError::NotFound)));
    assert!(matches!(setup.vault.erase_interaction(&foreign, &id).await, Err(VaultError::NotFound)));
    assert_eq!(setup.vault.erase_interactions(&foreign, std::slice::from_ref(&id)).await.unwrap(), 0);
    assert!(setup.vault.lookup(&foreign, &Lookup::Session("mine".to_owned())).await.unwrap().is_empty());
    let reader = Actor { scopes: [Scope::InteractionRead].into_iter().collect(), ..setup.actor.clone() };
    assert!(matches!(setup.vault.erase_interaction(&reader, &id).await, Err(VaultError::Denied(_))));
    assert!(setup.vault.interaction(&reader, &id).await.is_ok());
    let writer = Actor { scopes: [Scope::InteractionDelete].into_iter().collect(), ..setup.actor.clone() };
    assert!(matches!(setup.vault.interaction(&writer, &id).await, Err(VaultError::Denied(_))));
    let session = setup.vault.create(&setup.actor, call("mine", "1", SystemClock.now())).await;
    assert!(matches!(session, Err(VaultError::Conflict(_))));
    assert!(setup.vault.create(&foreign, call("mine", "1", SystemClock.now())).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_keys_are_found_and_old_ones_are_not() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let setup = setup(root.path(), &blobs).await;
    let id = capture(&setup, "s", "+1 512 555 0001").await.id.to_string();
    let changed = setup.vault.amend(&setup.actor, &id, Some(State::Excluded), &|meta| {
        meta.participants[0].phone = Some("+1 512 555 0009".to_owned());
    });
    assert_eq!(changed.await.unwrap().state, State::Excluded);
    let find = |phone: &str| {
        let (vault, actor, key) = (setup.vault.clone(), setup.actor.clone(), Lookup::Phone(phone.to_owned()));
        async move { vault.lookup(&actor, &key).await.unwrap().len() }
    };
    assert_eq!((find("5125550001").await, find("5125550009").await), (0, 1));
}
