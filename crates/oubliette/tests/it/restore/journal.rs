//! An erasure that was accepted, journaled and answered, and whose seal nobody lived to see: an older copy does not undo it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyforest::Probe;
use oubliette::opening::OpenVault;
use oubliette_core::model::{Actor, ContentKind, Selector};
use oubliette_core::service::{Lookup, NewContent, Order, VaultError, body_of};
use oubliette_proof::entry::Body;
use uuid::Uuid;

use super::house::{House, Tool, copy_data, copy_tree};
use super::load::Load;
use super::proofs::{certificate_of, entries};

/// Copies the key state at the moment at which an erasure is in the journal and not sealed.
#[derive(Default)]
struct AtTheJournal {
    from_to: Mutex<Option<(House, PathBuf)>>,
}

impl Probe for AtTheJournal {
    fn reached(&self, point: &'static str) {
        if point != "commit.journaled" {
            return;
        }
        if let Some((place, vault)) = &*self.from_to.lock().unwrap() {
            copy_tree(&vault.join("vault").join("packs"), &place.data().join("packs"));
            copy_tree(&vault.join("vault.register"), &place.register());
        }
    }
}

/// What happens to the interaction between the copy and its erasure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    ItGetsAnotherContent,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_erasure_stays_accepted_over_a_copy_that_never_heard_of_it() {
    let restored = over_a_copy(Meanwhile::Nothing).await;
    let (certificate, _) = certificate_of(&restored.opened.vault, &restored.actor, &restored.doomed).await.unwrap();
    assert_eq!(certificate.erased.order.to_string(), restored.erasure.to_string());
    restored.opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_erasure_of_more_than_the_copy_holds_nothing_is_stated() {
    let restored = over_a_copy(Meanwhile::ItGetsAnotherContent).await;
    let vault = &restored.opened.vault;
    assert!(certificate_of(vault, &restored.actor, &restored.doomed).await.is_none());
    let told = vault.certificate(&restored.actor, restored.erasure, None).await.err();
    assert!(matches!(told, Some(VaultError::NoReceipt)), "{told:?}");
    restored.opened.close().await;
}

/// A vault restored from a copy that never heard of an erasure that was accepted and not sealed.
struct Restored {
    opened: OpenVault,
    erasure: Uuid,
    /// What it took.
    doomed: String,
    actor: Actor,
    /// Removed in the end.
    _place: House,
}

async fn over_a_copy(meanwhile: Meanwhile) -> Restored {
    let (house, probe) = (House::new(), Arc::new(AtTheJournal::default()));
    let opened = house.probed(Arc::clone(&probe) as Arc<dyn Probe>).await.unwrap();
    let vault = opened.vault.clone();
    let mut load = Load::begin(&vault, 3).await;
    for _ in 0..12 {
        load.capture(&vault).await;
    }
    let copy = house.path().join("copy");
    copy_data(&house.data(), &copy, Tool::VacuumInto);
    // A seal, so that the copy is behind.
    let first = load.known.live.keys().next().cloned().unwrap();
    load.erase_known(&vault, &first).await;

    let (doomed, item) = load.known.live.iter().next_back().map(|(id, item)| (id.clone(), item.clone())).unwrap();
    if meanwhile == Meanwhile::ItGetsAnotherContent {
        let new = NewContent::unique(ContentKind::Attachment, "text/plain");
        vault.put_content(&load.actor, &doomed, new, body_of("late")).await.unwrap();
    }
    let place = House::new();
    *probe.from_to.lock().unwrap() = Some((place, house.path().to_owned()));
    let selector = Selector { sessions: vec![item.session.clone()], ..Selector::default() };
    let order = Order { selector, reference: None, reason: None, plan_hash: None, legal_basis: None };
    let (erasure, _) = vault.order(&load.actor, order).await.unwrap();
    let (place, _) = probe.from_to.lock().unwrap().take().unwrap();
    opened.close().await;

    copy_tree(&copy.join("db"), &place.data().join("db"));
    copy_tree(&copy.join("blobs"), &place.data().join("blobs"));
    let attached = place.attach().await.unwrap();
    attached.vault.wait_ready().await;
    assert_eq!(attached.vault.restore_view().await.unwrap().unwrap().due, 1);
    let is_gone = async |vault: &oubliette_core::service::Vault| {
        vault.wait_ready().await;
        for id in [&doomed, &first] {
            assert!(matches!(vault.interaction(&load.actor, id).await.err(), Some(VaultError::Gone)));
        }
        assert!(vault.lookup(&load.actor, &Lookup::Session(item.session.clone())).await.unwrap().is_empty());
    };
    is_gone(&attached.vault).await;
    attached.close().await;

    let attached = place.open().await.unwrap();
    is_gone(&attached.vault).await;
    attached.vault.commit_restore().await.unwrap();
    attached.close().await;
    let restored = place.open().await.unwrap();
    restored.vault.wait_ready().await;
    is_gone(&restored.vault).await;
    let erasure = erasure.unwrap();
    let view = restored.vault.erasure(&load.actor, erasure).await.unwrap();
    assert_eq!(view.state, oubliette_core::ports::PurgeState::Sealed);
    let told = entries(&restored.vault, 0);
    let told = told.iter().find_map(|body| if let Body::Restore(told) = body { Some(told.replayed) } else { None });
    assert_eq!(told, Some(1));
    let actor = load.actor.clone();
    Restored { opened: restored, erasure, doomed, actor, _place: place }
}

/// Holds every seal up while it is told to.
#[derive(Default)]
struct Held(AtomicBool);

impl Probe for Held {
    fn reached(&self, point: &'static str) {
        while point == "sealer.before_seal" && self.0.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What shows that the copy is an older one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    BySeal,
    ByTheJournalAlone,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_was_told_it_stays_due_stays_due_over_a_copy_that_never_heard_of_it() {
    stays_due(Behind::BySeal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_due_over_a_copy_that_no_seal_followed_and_what_lay_beside_it_is_found_and_erased() {
    stays_due(Behind::ByTheJournalAlone).await;
}

async fn stays_due(behind: Behind) {
    let (house, probe) = (House::waiting(1), Arc::new(Held::default()));
    let opened = house.probed(Arc::clone(&probe) as Arc<dyn Probe>).await.unwrap();
    let vault = opened.vault.clone();
    let mut load = Load::begin(&vault, 4).await;
    for _ in 0..6 {
        load.capture(&vault).await;
    }
    let copy = house.path().join("copy");
    copy_data(&house.data(), &copy, Tool::VacuumInto);
    let mut all = load.known.live.iter().map(|(id, item)| (id.clone(), item.clone()));
    let ((first, _), (doomed, _), (beside, item)) = (all.next().unwrap(), all.next().unwrap(), all.next().unwrap());
    drop(all);
    if behind == Behind::BySeal {
        vault.erase_interaction(&load.actor, &first).await.unwrap();
    }
    probe.0.store(true, Ordering::Release);
    let told = vault.erase_interaction(&load.actor, &doomed).await.err();
    assert!(matches!(told, Some(VaultError::StillDue)), "{told:?}");
    // The machine is lost now; only the key state is as it was.
    let place = house.with_copy(&copy);
    probe.0.store(false, Ordering::Release);
    opened.close().await;

    let refused = place.open().await.err().expect("it is served");
    let refused = std::iter::successors(Some(&refused as &dyn std::error::Error), |error| error.source());
    let refused: Vec<String> = refused.map(|error| error.to_string()).collect();
    assert!(refused.iter().any(|text| text.contains("is older than the key state")), "{refused:?}");
    let attached = place.attach().await.unwrap();
    assert_eq!(attached.vault.restore_view().await.unwrap().unwrap().due, 1);
    assert!(matches!(attached.vault.interaction(&load.actor, &doomed).await.err(), Some(VaultError::Gone)));
    attached.close().await;
    let attached = place.open().await.unwrap();
    attached.vault.commit_restore().await.unwrap();
    attached.close().await;
    let restored = place.open().await.unwrap();
    let vault = &restored.vault;
    assert!(matches!(vault.interaction(&load.actor, &doomed).await.err(), Some(VaultError::Gone)));
    vault.wait_ready().await;
    let found = vault.lookup(&load.actor, &Lookup::Session(item.session)).await.unwrap();
    assert_eq!(found.iter().map(|found| found.id.to_string()).collect::<Vec<_>>(), [beside.as_str()]);
    vault.erase_interaction(&load.actor, &beside).await.unwrap();
    restored.close().await;
}
