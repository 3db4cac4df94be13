//! The log goes on over a restore: nothing is forked, nothing is stated twice or falsely, and whoever has a certificate keeps it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oubliette_core::model::Actor;
use oubliette_core::service::{LogError, TransparencyLog, Vault, VaultError};
use oubliette_proof::audit::{AuditReport, audit, continues};
use oubliette_proof::certificate::{Certificate, Verified};
use oubliette_proof::entry::{Body, Entry, RestoreEntry, RestoreStage};
use oubliette_proof::tree::{Tile, TileReader, TreeHead};

use super::house::{House, Tool, copy_data};
use super::load::Load;

/// The log's files, as they are served.
struct Served(Arc<TransparencyLog>);

impl TileReader for Served {
    type Error = LogError;

    fn read(&self, tile: Tile) -> Result<Vec<u8>, LogError> {
        self.0.read(tile)
    }
}

/// The log continues what it was, and every entry leads to its root.
pub fn goes_on_from(vault: &Vault, older: &TreeHead) -> AuditReport {
    let log = vault.log();
    let (newer, reader) = (log.head(), Served(log));
    continues(&reader, older, &newer).unwrap();
    audit(&reader, older, &newer).unwrap()
}

/// Entries from a number on.
pub fn entries(vault: &Vault, from: u64) -> Vec<Body> {
    let log = vault.log();
    (from..log.head().size).map(|number| Entry::decode(&log.entry(number).unwrap()).unwrap().body).collect()
}

/// The certificate of an erased interaction once it is made, checked; `None` where there is none.
pub async fn certificate_of(vault: &Vault, actor: &Actor, id: &str) -> Option<(Certificate, Verified)> {
    for _ in 0..1_200 {
        match vault.item_certificate(actor, id, None).await {
            Ok(certificate) => {
                let parsed = Certificate::parse(&certificate.to_json()).unwrap();
                let verified = parsed.verify(&vault.log().trusted()).unwrap();
                assert_eq!(parsed.subject.id.to_string(), id);
                return Some((parsed, verified));
            }
            Err(VaultError::NoReceipt) => return None,
            Err(VaultError::Uncertified) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{id}: {error:?}"),
        }
    }
    panic!("no certificate after a minute");
}

/// Every file below a folder.
pub fn files(folder: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The items that seals state to be erased.
fn stated(vault: &Vault) -> u64 {
    entries(vault, 0).iter().map(|body| if let Body::Seal(seal) = body { seal.interactions } else { 0 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_from_before_a_copy_and_after_a_restore_hold_and_the_log_tells_of_it_once() {
    let house = House::new();
    let opened = house.open().await.unwrap();
    let vault = &opened.vault;
    let mut load = Load::begin(vault, 5).await;
    for _ in 0..12 {
        load.capture(vault).await;
    }
    let mut ids = load.known.live.keys().cloned().collect::<Vec<_>>().into_iter();
    let mut next = || ids.next().unwrap();
    let (before, around, between, after) = (next(), next(), next(), next());
    load.erase_known(vault, &before).await;
    let first = certificate_of(vault, &load.actor, &before).await.unwrap();
    load.erase_known(vault, &around).await;
    // Sealed, and the copy hardly knows it: neither marked, perhaps, nor in the log.
    let copy = house.path().join("copy");
    copy_data(&house.data(), &copy, Tool::VacuumInto);
    let second = certificate_of(vault, &load.actor, &around).await.unwrap();
    load.erase_known(vault, &between).await;
    let third = certificate_of(vault, &load.actor, &between).await.unwrap();
    let known = opened.vault.log().head();
    opened.close().await;

    let place = house.with_copy(&copy);
    let attached = place.attach().await.unwrap();
    attached.vault.wait_ready().await;
    goes_on_from(&attached.vault, &known);
    let (head, keys, told) = (attached.vault.log().head(), attached.vault.log().trusted(), stated(&attached.vault));
    assert_eq!(told, 3);
    assert!(matches!(attached.vault.rotate_log_key().await, Err(VaultError::Attached)));
    // What is certified can be shown; what is not waits for the commit.
    let shown = certificate_of(&attached.vault, &load.actor, &before).await.unwrap();
    assert_eq!(shown.1.log_index, first.1.log_index);
    let view = attached.vault.commit_restore().await.unwrap();
    let [Body::Restore(told_of)] = &entries(&attached.vault, head.size)[..] else {
        panic!("not one restore is told of")
    };
    let key_epoch = told_of.key_epoch;
    let expected = RestoreEntry {
        stage: RestoreStage::Commit,
        data_epoch: told_of.data_epoch,
        key_epoch,
        live: 9,
        dropped: view.erased_interactions + view.erased_contents,
        replayed: 0,
        punctured: view.doomed,
    };
    assert_eq!(*told_of, expected);
    assert!(told_of.data_epoch < key_epoch && view.erased_interactions >= 1);
    attached.close().await;

    let restored = place.open().await.unwrap();
    let vault = &restored.vault;
    vault.wait_ready().await;
    let again = certificate_of(vault, &load.actor, &before).await.unwrap();
    assert_eq!(again.1.log_index, first.1.log_index);
    let again = certificate_of(vault, &load.actor, &around).await.unwrap();
    assert_eq!(again.1.log_index, second.1.log_index, "it is stated again");
    assert!(certificate_of(vault, &load.actor, &between).await.is_none(), "the copy knows nothing of it");
    load.erase_known(vault, &after).await;
    let (_, late) = certificate_of(vault, &load.actor, &after).await.unwrap();
    assert!(late.log_index > head.size);
    // What was handed out before the loss is as good as ever.
    for (certificate, verified) in [first, second, third] {
        let again = certificate.verify(&keys).unwrap();
        assert_eq!(again.log_index, verified.log_index);
        assert!(again.checkpoint.checkpoint.head.size <= head.size);
        goes_on_from(vault, &again.checkpoint.checkpoint.head);
    }
    assert_eq!(stated(vault), told + 1, "an erasure is stated twice");
    restored.close().await;

    let restarted = place.open().await.unwrap();
    let report = goes_on_from(&restarted.vault, &head);
    assert_eq!((report.kinds.get("restore"), report.unknown), (Some(&1), 0), "{report:?}");
    restarted.close().await;
}
