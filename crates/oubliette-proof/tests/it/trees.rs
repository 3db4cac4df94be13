//! Trees against ct-merkle (RFC 6962) and tlog_tiles, and tiles against trees in memory.

use std::cell::RefCell;
use std::collections::HashMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use oubliette_proof::tree::*;
use oubliette_proof::{Hash, sha256};
use proptest::prelude::*;
use sha2::Sha256;
use tlog_tiles::tlog;

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|number| leaf_hash(&entry(number))).collect()
}

fn flat(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The files of a log.
#[derive(Default)]
struct Folder(RefCell<HashMap<Tile, Vec<u8>>>);

impl Folder {
    fn write(&self, files: Vec<(Tile, Vec<u8>)>) {
        for (tile, bytes) in files {
            let before = self.0.borrow_mut().insert(tile, bytes);
            assert!(before.is_none(), "{tile} was written twice");
        }
    }
}

impl TileReader for Folder {
    type Error = String;

    fn read(&self, tile: Tile) -> Result<Vec<u8>, String> {
        self.0.borrow().get(&tile).cloned().ok_or_else(|| format!("no {tile}"))
    }
}

#[test]
fn roots_and_proofs_of_all_small_trees_are_those_of_another_implementation() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut heads = vec![TreeHead::empty()];
    for size in 1..=300_u64 {
        theirs.push(entry(size - 1));
        let ours = MemoryTree::new(leaves(size));
        let root = ours.root().unwrap();
        assert_eq!(root.0[..], theirs.root().as_bytes()[..], "root of {size}");
        heads.push(TreeHead { size, root });
        for index in 0..size {
            let path = ours.prove_inclusion(index, size).unwrap().unwrap();
            assert_eq!(flat(&path), theirs.prove_inclusion(index as usize).as_bytes(), "{index} of {size}");
            assert!(verify_inclusion(&leaf_hash(&entry(index)), index, &heads[size as usize], &path));
        }
        for old in 0..=size {
            let proof = ours.prove_consistency(old, size).unwrap().unwrap();
            // The other implementation has no proofs from a tree to itself or from the empty one; ours are empty.
            if old > 0 && old < size {
                assert_eq!(flat(&proof), theirs.prove_consistency((size - old) as usize).as_bytes(), "{old} to {size}");
            } else {
                assert!(proof.is_empty());
            }
            assert!(verify_consistency(&heads[old as usize], &heads[size as usize], &proof), "{old} to {size}");
        }
    }
}

#[test]
fn no_proof_fits_another_leaf_index_size_or_root() {
    for size in 1..=40_u64 {
        let tree = MemoryTree::new(leaves(size));
        let head = TreeHead { size, root: tree.root().unwrap() };
        for index in 0..size {
            let path = tree.prove_inclusion(index, size).unwrap().unwrap();
            let leaf = leaf_hash(&entry(index));
            for other in (0..size + 2).filter(|other| *other != index) {
                assert!(!verify_inclusion(&leaf, other, &head, &path), "{index} passes as {other} of {size}");
                assert!(!verify_inclusion(&leaf_hash(&entry(other)), index, &head, &path));
            }
            for (place, bit) in (0..path.len()).flat_map(|place| (0..256).map(move |bit| (place, bit))) {
                let mut path = path.clone();
                path[place].0[bit / 8] ^= 1 << (bit % 8);
                assert!(!verify_inclusion(&leaf, index, &head, &path));
            }
            let longer: Vec<_> = path.iter().copied().chain([Hash::default()]).collect();
            assert!(!verify_inclusion(&leaf, index, &head, &longer));
            if let Some((_, shorter)) = path.split_last() {
                assert!(!verify_inclusion(&leaf, index, &head, shorter));
            }
        }
    }
}

#[test]
fn a_forked_or_shrunk_tree_has_no_consistency_proof() {
    let tree = MemoryTree::new(leaves(60));
    let heads: Vec<_> = (0..=60).map(|size| TreeHead { size, root: tree.root_at(size).unwrap() }).collect();
    for (old, new) in (0..=60_u64).flat_map(|new| (0..=new).map(move |old| (old, new))) {
        let proof = tree.prove_consistency(old, new).unwrap().unwrap();
        let (before, after) = (heads[old as usize], heads[new as usize]);
        assert!(verify_consistency(&before, &after, &proof));
        let forked = |head: TreeHead| TreeHead { root: sha256(&[&head.root.0]), ..head };
        assert!(!verify_consistency(&forked(before), &after, &proof), "{old} to {new}");
        // Nothing can be said against what comes after nothing.
        assert_eq!(verify_consistency(&before, &forked(after), &proof), old == 0 && new > 0, "{old} to {new}");
        assert!(old == new || !verify_consistency(&after, &before, &proof), "{new} shrank to {old}");
        for (place, bit) in (0..proof.len()).flat_map(|place| (0..256).step_by(17).map(move |bit| (place, bit))) {
            let mut proof = proof.clone();
            proof[place].0[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify_consistency(&before, &after, &proof));
        }
        let longer: Vec<_> = proof.iter().copied().chain([Hash::default()]).collect();
        assert!(!verify_consistency(&before, &after, &longer));
        if let Some((_, shorter)) = proof.split_last() {
            assert!(!verify_consistency(&before, &after, shorter));
        }
    }
    assert_eq!(tree.prove_consistency(3, 61).unwrap(), None);
    assert_eq!(tree.prove_consistency(5, 4).unwrap(), None);
    assert_eq!(tree.prove_inclusion(60, 60).unwrap(), None);
    assert_eq!(tree.prove_inclusion(0, 61).unwrap(), None);
}

/// The other implementation's hash store.
struct Stored(Vec<tlog::Hash>);

impl tlog::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

#[test]
fn tiles_are_those_of_another_implementation_at_any_growth() {
    let steps = [0, 1, 2, 3, 200, 255, 256, 257, 300, 511, 512, 513, 1000, 1024, 3000, 65_535, 65_536, 65_537, 70_000];
    let (folder, mut theirs) = (Folder::default(), Stored(Vec::new()));
    let mut grown = 0;
    for (old, new) in steps.iter().copied().zip(steps.iter().copied().skip(1)) {
        let entries: Vec<_> = (old..new).map(entry).collect();
        for (number, entry) in (old..new).zip(&entries) {
            let more = tlog::stored_hashes(number, entry, &theirs).unwrap();
            theirs.0.extend(more);
        }
        let refs: Vec<_> = entries.iter().map(Vec::as_slice).collect();
        let Extension { head, files } = extend(&folder, old, &refs).unwrap();
        assert_eq!(head.root.0, tlog::tree_hash(new, &theirs).unwrap().0, "root at {new}");
        let mut hashes: Vec<_> =
            files.iter().filter(|(tile, _)| tile.kind != TileKind::Entries).cloned().map(named).collect();
        let mut expected: Vec<_> = tlog_tiles::Tile::new_tiles(8, old, new)
            .iter()
            .map(|tile| (tile.path().replace("tile/8/", "tile/"), tile.read_data(&theirs).unwrap()))
            .collect();
        hashes.sort();
        expected.sort();
        assert!(hashes == expected, "tiles from {old} to {new}");
        folder.write(files);
        grown = new;
    }

    let tree = TileTree::new(&folder, grown);
    for index in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
        let path = tree.prove_inclusion(index, grown).unwrap().unwrap();
        let expected = tlog::prove_record(grown, index, &theirs).unwrap();
        assert_eq!(flat(&path), expected.iter().flat_map(|hash| hash.0).collect::<Vec<_>>(), "{index}");
    }
    for old in steps.iter().copied().filter(|old| (1..grown).contains(old)) {
        let proof = tree.prove_consistency(old, grown).unwrap().unwrap();
        let expected = tlog::prove_tree(grown, old, &theirs).unwrap();
        assert_eq!(flat(&proof), expected.iter().flat_map(|hash| hash.0).collect::<Vec<_>>(), "from {old}");
    }
    let bundle = folder.read(Tile { kind: TileKind::Entries, index: 273, width: 112 }).unwrap();
    assert_eq!(entries_of_bundle(&bundle, 112).unwrap()[111], entry(69_999));
}

fn named((tile, bytes): (Tile, Vec<u8>)) -> (String, Vec<u8>) {
    (tile.to_string(), bytes)
}

#[test]
fn a_log_is_not_extended_over_damaged_files() {
    let folder = Folder::default();
    folder.write(extend(&folder, 0, &[b"one", b"two"]).unwrap().files);
    let tiles: Vec<_> = folder.0.borrow().keys().copied().collect();
    for tile in tiles {
        let good = folder.0.borrow()[&tile].clone();
        for damaged in [&good[1..], &good[..good.len() - 1], &[&good[..4], &[9], &good[5..]].concat()] {
            folder.0.borrow_mut().insert(tile, damaged.to_vec());
            let refused = extend(&folder, 2, &[b"three"]);
            assert!(matches!(refused, Err(TileError::Damaged(_))), "{tile}: {refused:?}");
        }
        folder.0.borrow_mut().insert(tile, good);
    }
    assert!(extend(&folder, 2, &[b"three"]).is_ok());
    assert!(matches!(extend(&folder, 2, &[&[0; 65_536]]), Err(TileError::EntryTooLong(65_536))));
    assert!(matches!(extend(&folder, 3, &[b"four"]), Err(TileError::Read(..))));
}

#[test]
fn tile_paths_are_read_only_as_they_are_written() {
    for (path, index, width) in [
        ("tile/0/x001/x234/067", 1_234_067, 256),
        ("tile/0/000.p/1", 0, 1),
        ("tile/0/x001/000.p/255", 1000, 255),
        ("tile/0/x018/x446/x744/x073/x709/x551/615", u64::MAX, 256),
    ] {
        let tile = Tile { kind: TileKind::Hashes(0), index, width };
        assert_eq!(tile.to_string(), path);
        assert_eq!(Tile::parse(path), Some(tile));
        let entries = path.replace("tile/0/", "tile/entries/");
        assert_eq!(Tile::parse(&entries), Some(Tile { kind: TileKind::Entries, ..tile }));
    }
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/+1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/x000/001",
        "tile/0/001/001",
        "tile/0/x001/x001",
        "tile/0/../000",
        "tile/data/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
    ] {
        assert_eq!(Tile::parse(path), None, "{path}");
    }
}

proptest! {
    #[test]
    fn a_log_that_grows_in_any_steps_is_the_tree_over_its_entries(steps in prop::collection::vec(0_u64..700, 1..8)) {
        let (folder, mut size) = (Folder::default(), 0);
        let mut heads = vec![TreeHead::empty()];
        for step in steps {
            let entries: Vec<_> = (size..size + step).map(entry).collect();
            let refs: Vec<_> = entries.iter().map(Vec::as_slice).collect();
            let extension = extend(&folder, size, &refs).unwrap();
            folder.write(extension.files);
            size += step;
            prop_assert_eq!(extension.head, TreeHead { size, root: MemoryTree::new(leaves(size)).root().unwrap() });
            heads.push(extension.head);
        }
        let tree = TileTree::new(&folder, size);
        for head in &heads {
            let proof = tree.prove_consistency(head.size, size).unwrap().unwrap();
            prop_assert!(verify_consistency(head, &heads[heads.len() - 1], &proof));
        }
    }

    #[test]
    fn proofs_in_large_trees_lead_to_their_root(size in 1_u64..50_000, at in any::<prop::sample::Index>()) {
        let index = at.index(size as usize) as u64;
        let tree = MemoryTree::new((0..size).map(|number| Hash([number as u8; 32])).collect());
        let head = TreeHead { size, root: tree.root().unwrap() };
        let path = tree.prove_inclusion(index, size).unwrap().unwrap();
        prop_assert!(verify_inclusion(&Hash([index as u8; 32]), index, &head, &path));
        let old = TreeHead { size: index, root: tree.root_at(index).unwrap() };
        let proof = tree.prove_consistency(index, size).unwrap().unwrap();
        prop_assert!(verify_consistency(&old, &head, &proof));
    }

    #[test]
    fn checking_a_proof_of_any_shape_does_not_panic(
        index: u64, size: u64, old: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let proof: Vec<_> = hashes.into_iter().map(Hash).collect();
        let head = TreeHead { size, root: Hash::default() };
        prop_assert!(!verify_inclusion(&Hash::default(), index, &head, &proof));
        let before = TreeHead { size: old, root: Hash::default() };
        prop_assert!(!verify_consistency(&before, &head, &proof) || old == size);
        let _ = (inclusion_ranges(index, size), consistency_ranges(old, size));
    }
}
