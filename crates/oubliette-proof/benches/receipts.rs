//! Receipts for a million items: building the bulk file, and checking one receipt.
//!
//! `OUBLIETTE_ITEMS` (default 1,000,000) sets how many. Building is timed once, since it takes seconds, and compared with
//! plain SHA-256 of the bytes it writes; checking one is criterion's.

use std::hint::black_box;
use std::time::Instant;

use criterion::Criterion;
use oubliette_proof::certificate::{BulkChecker, Certificate, Facts, Parts, Receipt, Subject, write_bulk_item};
use oubliette_proof::entry::{Body, Entry, Event, EventCount, SealEntry};
use oubliette_proof::note::{Checkpoint, KeyKind, SigningKey, TlogProof, TrustedKeys};
use oubliette_proof::receipt::{Erased, ReceiptTree, SubjectKind};
use oubliette_proof::tree::{MemoryTree, Ranges, TreeHead, leaf_hash};
use oubliette_proof::{Hash, ItemId, Salt, Seconds, Token, sha256};

fn token(text: &str) -> Token {
    Token::new(text).expect("a token")
}

fn main() {
    let items: u64 = std::env::var("OUBLIETTE_ITEMS").map_or(1_000_000, |text| text.parse().expect("a number"));
    let key = SigningKey::generate("bench.example/log", KeyKind::Note).expect("randomness");
    let keys = TrustedKeys::new(vec![key.verifier().clone()]);
    let order = ItemId([7; 16]);

    let begun = Instant::now();
    let facts = Facts {
        accepted_at: Seconds::new(1_800_000_000).expect("a time"),
        actor_role: token("privacy-officer"),
        backup_horizon: None,
        contents: Vec::new(),
        event: Event::Deleted,
        interactions: items,
        items,
        kept: Vec::new(),
        legal_basis: None,
        order,
        part_of: None,
        reference: None,
    };
    let mut receipts: Vec<_> = (0..items)
        .map(|number| {
            let drawn = sha256(&[&number.to_be_bytes()]);
            let mut id = [0; 16];
            id.copy_from_slice(&drawn.0[..16]);
            let (salt, facts) = (Salt(sha256(&[&drawn.0]).0), Hash(drawn.0));
            Erased { salt, kind: SubjectKind::Interaction, id: ItemId(id), event: Event::Deleted, order, facts }
        })
        .collect();
    let subject = Subject { id: order, kind: SubjectKind::Order };
    let own = Erased { id: order, kind: SubjectKind::Order, facts: facts.hash(), ..receipts[0] };
    receipts.push(own);
    let tree = ReceiptTree::new(receipts.iter().map(Erased::commitment));
    let seal = SealEntry {
        epochs: [1, 2],
        states: [Hash([1; 32]), Hash([2; 32])],
        punctured: items,
        interactions: items,
        contents: 0,
        events: vec![EventCount { event: Event::Deleted, count: items + 1 }],
        receipts: tree.head().size,
        receipts_root: tree.head().root,
        register_class: token("file"),
        trusted: true,
        findings: Vec::new(),
        mirrors: 0,
        agents_confirmed: 0,
        agents: 0,
    };
    let entry = Entry { time: facts.accepted_at, body: Body::Seal(seal) }.encode();
    let log = MemoryTree::new(vec![leaf_hash(&entry); 1000]);
    let Ok(root) = log.root();
    let Ok(path) = log.prove_inclusion(500, 1000);
    let checkpoint = Checkpoint::sign(TreeHead { size: 1000, root }, &key).expect("a checkpoint").to_string();
    let proof = TlogProof { extra: None, index: 500, path: path.expect("an entry"), checkpoint };
    let receipt = Receipt::new(&tree, items, own.salt, &entry, &proof).expect("a receipt");
    let parts = Parts { subject, facts, receipt, reference: None, existed: Vec::new(), removed: None };
    let first = Certificate::new(parts).expect("a certificate").to_json();
    let mut bulk = Vec::with_capacity((items as usize + 2) * 1200);
    bulk.extend_from_slice(&first);
    for (number, item) in receipts.iter().take(items as usize).enumerate() {
        assert!(write_bulk_item(&mut bulk, item, number as u64, &tree));
    }
    let built = begun.elapsed();

    let begun = Instant::now();
    black_box(sha256(&[&bulk]));
    let plain = begun.elapsed();
    println!(
        "bulk file for {items} items: {} bytes built in {built:.2?}; plain SHA-256 of them {plain:.2?}; ratio {:.2}",
        bulk.len(),
        built.as_secs_f64() / plain.as_secs_f64()
    );

    let mut criterion = Criterion::default().configure_from_args();
    let line = bulk.split_inclusive(|byte| *byte == b'\n').nth(1 + items as usize / 2).expect("a line").to_vec();
    criterion.bench_function("check one receipt: first line and its own", |b| {
        b.iter(|| BulkChecker::new(&first, &keys).and_then(|checker| checker.item(&line)).map(|item| item.index));
    });
    let checker = BulkChecker::new(&first, &keys).expect("it holds");
    criterion.bench_function("check one more line", |b| b.iter(|| checker.item(&line).map(|item| item.index)));
    criterion.bench_function("plain SHA-256 of one line", |b| b.iter(|| sha256(&[&line])));
    criterion.final_summary();
}
