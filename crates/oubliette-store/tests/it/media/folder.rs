//! A forest that stands on real files.

use std::fs;
use std::sync::Arc;

use keyforest::{
    Change, Forest, ForestConfig, ForestError, KeyError, Lane, Leaf, LeafStatus, NoProbe, Pins, SealError, Stores,
};
use oubliette_store::media::Folder;
use oubliette_store::roots::FileRegister;
use tempfile::TempDir;

fn config() -> ForestConfig {
    ForestConfig { reserve_bytes: 1 << 16, provision_buckets: 4, ..ForestConfig::default() }
}

fn stores(home: &TempDir) -> Stores {
    let data = home.path().join("vault");
    let folder = Folder::open(data.join("keys")).unwrap();
    let register = FileRegister::open(&FileRegister::default_directory(&data), &data).unwrap();
    Stores { packs: Arc::new(folder), register: Arc::new(register), probe: Arc::new(NoProbe) }
}

#[test]
fn a_forest_on_real_files_punctures_seals_and_comes_back() {
    let home = TempDir::new().unwrap();
    let pins = Pins { instance: [7; 16], commit_counter: 3, log_head: [9; 32] };
    let (kept, erased);
    {
        let forest = Forest::create(stores(&home), config(), b"secrets", pins).unwrap();
        assert_eq!((forest.epoch(), forest.supply(), forest.high_water()), (1, 4, Leaf(4096)));
        let group = forest.allocate_group(Lane(1)).unwrap();
        (kept, erased) = (group.leaf(0), group.leaf(1));
        let before = *forest.key(kept).unwrap().expose();
        let sealed = forest
            .seal(&Change {
                puncture: [erased].into_iter().collect(),
                canaries: [kept].into_iter().collect(),
                pins,
                ..Change::default()
            })
            .unwrap();
        assert_eq!((sealed.epoch, sealed.punctured, sealed.flushes), (2, 1, 3));
        assert!(sealed.bytes_written < 12_288, "{}", sealed.bytes_written);
        assert_eq!(*forest.key(kept).unwrap().expose(), before);
        assert!(matches!(forest.key(erased), Err(KeyError::Punctured)));
        assert_eq!(forest.journal_append(b"purge 1").unwrap(), 1);
        assert_eq!(forest.journal_append(b"purge 2").unwrap(), 2);
    }
    let (forest, report) = Forest::open(stores(&home), config()).unwrap();
    assert_eq!((report.epoch, report.overwrote_slot), (2, false));
    assert_eq!(forest.status(erased).unwrap(), LeafStatus::Punctured);
    assert_eq!(forest.status(kept).unwrap(), LeafStatus::Live);
    assert_eq!(forest.status(Leaf(4096)).unwrap(), LeafStatus::NeverIssued);
    assert_eq!(**forest.attachment(), *b"secrets");
    assert_eq!(forest.pins(), pins);
    assert_eq!(forest.journal().unwrap(), [(1, b"purge 1".to_vec()), (2, b"purge 2".to_vec())]);
    assert_eq!(forest.unclosed(), 0..4096);
    assert!(matches!(forest.allocate_group(Lane(1)), Err(ForestError::Unprovisioned)));

    let change = Change { provision: 1, journal_done: Some(1), closed_below: Some(4096), ..Change::default() };
    forest.seal(&change).unwrap();
    assert_eq!(forest.journal().unwrap(), [(2, b"purge 2".to_vec())]);
    assert_eq!(forest.unclosed(), 4096..4096);
    assert_eq!(forest.allocate_leaf(Lane(1)).unwrap(), Leaf(4096));
    assert_eq!(forest.allocate_leaf(Lane(1)).unwrap(), Leaf(4097));
    assert_eq!(forest.allocate_group(Lane(1)).unwrap().leaf(0), Leaf(4104));
}

#[test]
fn a_second_state_is_not_made_over_a_first() {
    let home = TempDir::new().unwrap();
    drop(Forest::create(stores(&home), config(), b"", Pins::default()).unwrap());
    assert!(matches!(Forest::create(stores(&home), config(), b"", Pins::default()), Err(ForestError::Exists)));
    // Nor over packs whose register is lost.
    fs::remove_dir_all(home.path().join("vault.register")).unwrap();
    assert!(matches!(Forest::create(stores(&home), config(), b"", Pins::default()), Err(ForestError::Exists)));
    assert!(matches!(Forest::open(stores(&home), config()), Err(ForestError::NoRoot)));
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let home = TempDir::new().unwrap();
    let forest = Forest::create(stores(&home), config(), b"", Pins::default()).unwrap();
    let far: keyforest::LeafSet = [Leaf(4096)].into_iter().collect();
    let near: keyforest::LeafSet = [Leaf(1)].into_iter().collect();
    for change in [
        Change { puncture: far.clone(), ..Change::default() },
        Change { canaries: far, ..Change::default() },
        Change { canaries: near.clone(), puncture: near, ..Change::default() },
        Change { journal_done: Some(1), ..Change::default() },
        Change { closed_below: Some(5000), ..Change::default() },
    ] {
        let refused = forest.seal(&change);
        assert!(matches!(refused, Err(SealError::NotDone(ForestError::Refused { .. }))), "{refused:?}");
    }
    assert_eq!(forest.epoch(), 1);
    forest.seal(&Change::default()).unwrap();
}
