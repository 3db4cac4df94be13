//! An erasure that was accepted, journaled and answered, and whose seal nobody lived to see: an older copy does not undo it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use keyforest::Probe;
use oubliette_core::model::Selector;
use oubliette_core::service::{Lookup, Order, VaultError};

use super::house::{House, Tool, copy_data, copy_tree};
use super::load::Load;

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

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_erasure_stays_accepted_over_a_copy_that_never_heard_of_it() {
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
    let view = restored.vault.erasure(&load.actor, erasure.unwrap()).await.unwrap();
    assert_eq!(view.state, oubliette_core::ports::PurgeState::Sealed);
    restored.close().await;
}
