//! Forests that live on each medium: many seals, packs that roll and are rewritten, starts in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyforest::media::Medium;
use keyforest::{Change, Forest, Lane, Leaf, LeafSet, LeafStatus, Pins};
use oubliette_store::media::{Folder, Twin};
use tempfile::TempDir;

use super::setup::{claim, config, database, objects, objects_through, prefix, stores};

/// `open` gives the medium as a process that has just started.
fn lives(open: &mut dyn FnMut() -> Arc<dyn Medium>) {
    let home = TempDir::new().unwrap();
    let mut live: BTreeMap<u64, [u8; 32]> = BTreeMap::new();
    let mut dead = Vec::new();
    let mut packs = std::collections::BTreeSet::new();
    for run in 0..4_u64 {
        let medium = open();
        let forest = if run == 0 {
            Forest::create(stores(Arc::clone(&medium), home.path()), config(), b"secrets", Pins::default()).unwrap()
        } else {
            let (forest, report) = Forest::open(stores(Arc::clone(&medium), home.path()), config()).unwrap();
            assert_eq!((report.epoch, report.overwrote_slot), (1 + run * 16, false));
            assert_eq!(forest.journal().unwrap(), [(run * 2, format!("second {}", run - 1).into_bytes())]);
            forest
        };
        for (leaf, key) in &live {
            assert_eq!(forest.key(Leaf(*leaf)).unwrap().expose(), key, "run {run}");
        }
        for leaf in &dead {
            assert_eq!(forest.status(Leaf(*leaf)).unwrap(), LeafStatus::Punctured, "run {run}");
        }
        for round in 0..15_u64 {
            let provision = if run > 0 && round == 0 { 2 } else { 0 };
            while let Ok(group) = forest.allocate_group(Lane(round % 2)) {
                live.extend(group.leaves().map(|leaf| (leaf.0, *forest.key(leaf).unwrap().expose())));
                if live.len() > 600 {
                    break;
                }
            }
            // Half of the rounds erase a handful, the others a whole stretch.
            let step = if round % 2 == 0 { 97 } else { 3 };
            let puncture: LeafSet = live.keys().step_by(step).map(|leaf| Leaf(*leaf)).collect();
            let canary = live.keys().map(|leaf| Leaf(*leaf)).find(|leaf| !puncture.contains(*leaf));
            let change = Change {
                puncture: puncture.clone(),
                canaries: canary.into_iter().collect(),
                provision,
                ..Change::default()
            };
            forest.seal(&change).unwrap();
            for leaf in puncture.iter() {
                live.remove(&leaf.0);
                dead.push(leaf.0);
            }
            packs.extend(
                medium.list().unwrap().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("pack-")),
            );
        }
        // One record done before the next start, one not.
        let first = forest.journal_append(format!("first {run}").as_bytes()).unwrap();
        assert_eq!(first, run * 2 + 1);
        forest.journal_append(format!("second {run}").as_bytes()).unwrap();
        drop((forest, medium));
        let (forest, _) = Forest::open(stores(open(), home.path()), config()).unwrap();
        assert_eq!(forest.journal().unwrap().len(), if run == 0 { 2 } else { 3 });
        forest.seal(&Change { journal_done: Some(first), ..Change::default() }).unwrap();
    }
    let medium = open();
    let now = medium.list().unwrap().iter().filter(|(name, _)| name.starts_with("pack-")).count();
    assert!(packs.len() > 6 && now < packs.len(), "{now} of {}", packs.len());
}

#[test]
fn a_forest_lives_on_a_folder() {
    let home = TempDir::new().unwrap();
    lives(&mut || Arc::new(Folder::open(home.path().join("keys")).unwrap()));
}

#[test]
fn a_forest_lives_on_rows_of_postgresql() {
    let database = database();
    lives(&mut || Arc::new(claim(&database.url()).pages().unwrap()));
}

#[test]
fn a_forest_lives_on_objects() {
    let prefix = prefix();
    lives(&mut || Arc::new(objects(&prefix)));
}

#[test]
fn a_forest_lives_on_rows_and_a_folder() {
    let (home, database) = (TempDir::new().unwrap(), database());
    lives(&mut || {
        let second = Folder::open_alone(home.path().join("second")).unwrap();
        let (twin, copied) = Twin::open(Arc::new(claim(&database.url()).pages().unwrap()), Arc::new(second)).unwrap();
        assert_eq!(copied, Default::default());
        Arc::new(twin)
    });
}

#[test]
fn a_forest_lives_on_rows_and_objects() {
    let (prefix, database) = (prefix(), database());
    lives(&mut || {
        let first = claim(&database.url());
        let second = objects_through(None, &prefix, &first);
        let (twin, copied) = Twin::open(Arc::new(first.pages().unwrap()), Arc::new(second)).unwrap();
        assert_eq!(copied, Default::default());
        Arc::new(twin)
    });
}
