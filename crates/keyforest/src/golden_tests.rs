//! The bytes of every format of version 1, for ever. Keys here are fixed; nothing else in the crate seals under a fixed key.
//!
//! When a format changes, its version changes: add `testdata/v2`, never edit `v1`. `KEYFOREST_BLESS=1` writes files that are
//! missing and nothing else.

use std::fs;
use std::path::PathBuf;

use crate::build::seal_attachment;
use crate::ggm::{Frontier, child, leaf_key};
use crate::page::{Entry, PageRef, read_bucket, read_entries, read_references};
use crate::page::{open_page, seal_bucket, seal_entries, seal_references};
use crate::root::{RootPage, Slot};
use crate::secret::Key;
use crate::state::Chunk;
use crate::{Leaf, LeafSet, Pins, journal};

fn golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/v1").join(name);
    if std::env::var_os("KEYFOREST_BLESS").is_some() && !path.exists() {
        fs::write(&path, bytes).unwrap();
    }
    let kept = fs::read(&path).unwrap_or_default();
    assert!(kept == bytes, "{name} is not what version 1 wrote");
}

fn key(byte: u8) -> Key {
    Key([byte; 32])
}

fn reference(byte: u8) -> PageRef {
    PageRef { key: key(byte), hash: [byte + 1; 32], pack: 3, len: 0x0102, offset: 0x0a0b_0c0d }
}

fn place(sealed: &crate::page::SealedPage) -> PageRef {
    PageRef { key: sealed.key.clone(), hash: sealed.hash, pack: 1, len: (sealed.frame.len() - 8) as u32, offset: 16 }
}

#[test]
fn derivation_keeps_its_bytes() {
    let mut bytes = child(&[1; 32], 0).0.to_vec();
    bytes.extend_from_slice(&child(&[1; 32], 1).0);
    bytes.extend_from_slice(leaf_key(&[1; 32]).expose());
    for slot in [0, 1, 511, 512, 1023] {
        bytes.extend_from_slice(Frontier::whole(&[1; 32]).leaf(slot).unwrap().expose());
    }
    golden("derivation.bin", &bytes);
}

#[test]
fn pages_keep_their_bytes_and_still_open() {
    let frontier = Frontier::whole(&[1; 32]).puncture(&[0, 7, 512, 513, 514, 515, 1023]);
    let bucket = seal_bucket(key(2), 77, &frontier);
    golden("bucket-page.bin", &bucket.frame);
    let plain = open_page(&place(&bucket), 0, 77, &bucket.frame).unwrap();
    assert!(read_bucket(&plain).unwrap().nodes() == frontier.nodes());

    let chunk = Chunk::new(&[Entry::Empty, Entry::Seed(key(3)), Entry::Page(reference(4))]);
    let entries = seal_entries(key(5), 1, (0..3).map(|place| chunk.view(place)));
    golden("entries-page.bin", &entries.frame);
    let plain = open_page(&place(&entries), 1, 1, &entries.frame).unwrap();
    assert_eq!(read_entries(&plain).unwrap().len(), 3);

    let references = seal_references(key(6), 2, 0, &[Some(reference(7)), None]);
    golden("references-page.bin", &references.frame);
    let plain = open_page(&place(&references), 2, 0, &references.frame).unwrap();
    assert!(read_references(&plain).unwrap() == [Some(reference(7)), None]);

    golden("attachment-page.bin", &seal_attachment(key(8), b"tenant secrets").frame);
}

#[test]
fn the_state_root_page_keeps_its_bytes_and_still_opens() {
    let page = |head: Option<PageRef>, attachment: Option<PageRef>| RootPage {
        epoch: 0x0102_0304,
        pins: Pins { instance: [9; 16], commit_counter: 10, log_head: [11; 32] },
        buckets: 12,
        closed_below: 13,
        journal_done: 14,
        next_pack: 15,
        from_pack: 16,
        from_offset: 17,
        previous: [18; 32],
        height: 1,
        head,
        attachment,
    };
    let full = page(Some(reference(19)), Some(reference(20))).seal(key(21));
    golden("root-page.bin", &full.frame);
    golden("root-page-bare.bin", &page(None, None).seal(key(22)).frame);
    let plain = open_page(&place(&full), 255, 0x0102_0304, &full.frame).unwrap();
    let read = RootPage::read(&plain).unwrap();
    assert!(read.head == Some(reference(19)) && read.attachment == Some(reference(20)));
    assert_eq!((read.buckets, read.pins.commit_counter, read.from_offset), (12, 10, 17));
}

#[test]
fn the_register_slot_keeps_its_bytes_and_refuses_any_changed_one() {
    let slot = Slot { epoch: 5, page: reference(23), buckets: 6 };
    let block = slot.encode();
    golden("register-slot.bin", &block[..]);
    assert!(Slot::decode(&block).is_some_and(|read| read == slot));
    for at in 0..512 {
        let mut spoiled = block.clone();
        spoiled[at] ^= 1;
        assert!(Slot::decode(&spoiled).is_none(), "byte {at}");
    }
    assert!(Slot::decode(&Box::new([0; 4096])).is_none());
}

#[test]
fn the_journal_keeps_its_bytes_and_passes_over_a_torn_end() {
    let mut file = journal::encode_head(4);
    file.extend_from_slice(&journal::encode_record(1, b"first"));
    file.extend_from_slice(&journal::encode_record(2, b""));
    golden("journal.bin", &file);
    let records = vec![(1, b"first".to_vec()), (2, Vec::new())];
    assert_eq!(journal::decode_file(4, &file).unwrap(), records);
    assert!(journal::decode_file(5, &file).is_none(), "another file's number");
    let whole = file.len();
    file.extend_from_slice(&journal::encode_record(3, b"never acknowledged"));
    for end in whole..file.len() {
        assert_eq!(journal::decode_file(4, &file[..end]).unwrap(), records, "cut at {end}");
    }
}

#[test]
fn leaf_sets_keep_their_bytes() {
    let set: LeafSet = [0, 1, 127, 128, 300, 1 << 40, u64::MAX].into_iter().map(Leaf).collect();
    golden("leaf-set.bin", &set.encode());
    assert_eq!(LeafSet::decode(&set.encode()).unwrap(), set);
}
