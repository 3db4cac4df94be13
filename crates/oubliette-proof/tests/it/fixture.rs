//! A small vault's log with everything in it, the same bytes every time: two orders, one of them with a single content, one
//! witness.

use std::collections::BTreeMap;

use oubliette_proof::certificate::*;
use oubliette_proof::entry::*;
use oubliette_proof::note::*;
use oubliette_proof::receipt::*;
use oubliette_proof::tree::*;
use oubliette_proof::{Hash, ItemId, Salt, Seconds, Token, sha256};
use zeroize::Zeroizing;

pub const ORIGIN: &str = "vault.example/log";

pub fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

pub fn time(text: &str) -> Seconds {
    Seconds::parse(text).unwrap()
}

pub fn key(name: &str, kind: KeyKind, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, kind, Zeroizing::new([seed; 32])).unwrap()
}

pub fn log_key() -> SigningKey {
    key(ORIGIN, KeyKind::Note, 1)
}

pub fn witness() -> SigningKey {
    key("witness.example/w1", KeyKind::Cosigner, 2)
}

pub fn salt(number: u64) -> Salt {
    Salt(sha256(&[b"salt", &number.to_be_bytes()]).0)
}

pub fn id(number: u64) -> ItemId {
    let mut id = [0; 16];
    id.copy_from_slice(&sha256(&[b"id", &number.to_be_bytes()]).0[..16]);
    ItemId(id)
}

/// Files of a log, in memory.
#[derive(Default)]
pub struct Files(pub BTreeMap<Tile, Vec<u8>>);

impl TileReader for Files {
    type Error = String;

    fn read(&self, tile: Tile) -> Result<Vec<u8>, String> {
        self.0.get(&tile).cloned().ok_or_else(|| format!("no {tile}"))
    }
}

/// A log that grows.
pub struct Log {
    pub files: Files,
    pub head: TreeHead,
    pub entries: Vec<Vec<u8>>,
}

impl Log {
    pub fn new() -> Self {
        Self { files: Files::default(), head: TreeHead::empty(), entries: Vec::new() }
    }

    /// Appends an entry; its number.
    pub fn append(&mut self, at: &str, body: Body) -> u64 {
        let entry = Entry { time: time(at), body }.encode();
        let Extension { head, files } = extend(&self.files, self.head.size, &[&entry]).unwrap();
        self.files.0.extend(files);
        self.entries.push(entry);
        self.head = head;
        head.size - 1
    }

    /// Appends many entries at once.
    pub fn append_all(&mut self, at: &str, bodies: impl Iterator<Item = Body>) {
        let entries: Vec<_> = bodies.map(|body| Entry { time: time(at), body }.encode()).collect();
        let bytes: Vec<_> = entries.iter().map(Vec::as_slice).collect();
        let Extension { head, files } = extend(&self.files, self.head.size, &bytes).unwrap();
        self.files.0.extend(files);
        self.entries.extend(entries);
        self.head = head;
    }

    pub fn checkpoint(&self, cosigned: Option<u64>) -> String {
        let mut note = Checkpoint::sign(self.head, &log_key()).unwrap();
        if let Some(time) = cosigned {
            note.cosign(&witness(), time).unwrap();
        }
        note.to_string()
    }

    pub fn proof(&self, index: u64, checkpoint: &str) -> TlogProof {
        let tree = TileTree::new(&self.files, self.head.size);
        let path = tree.prove_inclusion(index, self.head.size).unwrap().unwrap();
        TlogProof { extra: None, index, path, checkpoint: checkpoint.to_owned() }
    }

    /// A receipt under entry `index`.
    pub fn receipt(&self, tree: &ReceiptTree, number: u64, salt: Salt, index: u64, checkpoint: &str) -> Receipt {
        let entry = &self.entries[index as usize];
        Receipt::new(tree, number, salt, entry, &self.proof(index, checkpoint)).unwrap()
    }
}

pub fn batch(count: u64, root: Hash) -> BatchEntry {
    BatchEntry { from: time("2026-01-02T10:00:00Z"), to: time("2026-01-02T10:59:59Z"), count, root }
}

pub fn seal(receipts: TreeHead, epoch: u64) -> SealEntry {
    SealEntry {
        epochs: [epoch, epoch + 1],
        states: [sha256(&[&epoch.to_be_bytes()]), sha256(&[&(epoch + 1).to_be_bytes()])],
        punctured: 33,
        interactions: 3,
        contents: 7,
        events: vec![
            EventCount { event: Event::Deleted, count: receipts.size - 1 },
            EventCount { event: Event::Expired, count: 1 },
        ],
        receipts: receipts.size,
        receipts_root: receipts.root,
        register_class: token("file"),
        trusted: false,
        findings: vec![token("moved-blocks"), token("thin-pool")],
        mirrors: 1,
        agents_confirmed: 2,
        agents: 3,
    }
}

pub fn facts(order: u64) -> Facts {
    Facts {
        accepted_at: time("2026-03-01T12:00:00Z"),
        actor_role: token("privacy-officer"),
        backup_horizon: Some(time("2026-06-01T00:00:00Z")),
        contents: vec![
            ContentCount { count: 1, kind: token("callRecording"), size_class: 23 },
            ContentCount { count: 1, kind: token("transcript"), size_class: 14 },
        ],
        event: Event::Deleted,
        interactions: 1,
        items: 1,
        kept: Vec::new(),
        legal_basis: Some(token("gdpr:17-1-b")),
        order: id(order),
        part_of: None,
        reference: None,
    }
}

/// What a vault hands out.
pub struct Scene {
    pub keys: TrustedKeys,
    pub log: Log,
    /// Checkpoints at some sizes: (size, note), the last with a cosignature.
    pub checkpoints: Vec<(u64, String)>,
    /// A whole interaction, with everything a certificate can have.
    pub item: Certificate,
    /// A single content, with nothing that may be absent.
    pub content: Certificate,
    /// The order over the interactions.
    pub order: Certificate,
    /// The order's items, as a file.
    pub bulk: Vec<u8>,
}

pub const REFERENCE: &str = "Request 17/2026 – \"Mü\\ller\"";

pub fn scene() -> Scene {
    let mut log = Log::new();
    let mut checkpoints = Vec::new();
    let opened = LogOpened::new(ORIGIN, token("new"), None).unwrap();
    log.append("2026-01-01T00:00:00Z", Body::LogOpened(opened));

    // Two contents of interaction 1 and one of each other arrive.
    let blobs: Vec<_> = (0..5).map(|number| sha256(&[b"blob", &[number]])).collect();
    let arrived: Vec<_> = [(1, 101), (1, 102), (2, 103), (3, 104), (4, 105)]
        .into_iter()
        .zip(0..)
        .map(|((item, content), number): (_, usize)| Existed {
            salt: salt(content),
            interaction: id(item),
            content: id(content),
            blob: blobs[number],
        })
        .collect();
    let ingest = ReceiptTree::new(arrived.iter().map(Existed::commitment));
    let ingested = log.append("2026-01-02T11:00:00Z", Body::Ingest(batch(5, ingest.head().root)));
    checkpoints.push((log.head.size, log.checkpoint(None)));
    for epoch in 0..6 {
        let receipts = ReceiptTree::new([Hash([epoch as u8; 32]), Hash([9; 32])]);
        log.append("2026-02-01T00:00:00Z", Body::Seal(seal(receipts.head(), epoch)));
    }
    checkpoints.push((log.head.size, log.checkpoint(None)));

    // Order 50 erases interactions 1, 2 and 3; order 60 one content of interaction 4.
    let (order_salt, reference) = (salt(50), reference_commitment(&salt(50), REFERENCE));
    let own = Facts {
        contents: vec![
            ContentCount { count: 1, kind: token("callRecording"), size_class: 23 },
            ContentCount { count: 3, kind: token("transcript"), size_class: 14 },
        ],
        interactions: 3,
        items: 3,
        kept: vec![KeptCount { count: 2, reason: token("legal-hold") }],
        reference: Some(reference),
        ..facts(50)
    };
    let item = Facts { reference: Some(reference_commitment(&salt(1), REFERENCE)), ..facts(50) };
    let content = Facts {
        backup_horizon: None,
        contents: vec![ContentCount { count: 1, kind: token("callRecording"), size_class: 20 }],
        event: Event::Expired,
        interactions: 0,
        legal_basis: None,
        part_of: Some(id(4)),
        ..facts(60)
    };
    let erased = |number, kind, facts: &Facts| Erased {
        salt: salt(number),
        kind,
        id: id(number),
        event: facts.event,
        order: facts.order,
        facts: facts.hash(),
    };
    let receipts = [
        erased(50, SubjectKind::Order, &own),
        erased(1, SubjectKind::Interaction, &item),
        erased(105, SubjectKind::Content, &content),
        erased(2, SubjectKind::Interaction, &facts(50)),
        erased(3, SubjectKind::Interaction, &facts(50)),
    ];
    let tree = ReceiptTree::new(receipts.iter().map(Erased::commitment));
    let sealed = log.append("2026-03-01T12:00:01Z", Body::Seal(seal(tree.head(), 6)));
    let gone = Removed { salt: salt(500), order: id(50), blobs: 4 };
    let removal = ReceiptTree::new([Hash([1; 32]), gone.commitment()]);
    let removed = log.append("2026-03-01T13:00:00Z", Body::Removal(batch(2, removal.head().root)));
    let cosigned = log.checkpoint(Some(time("2026-03-01T13:00:07Z").get()));
    checkpoints.push((log.head.size, cosigned.clone()));

    let at = |number, salt| log.receipt(&tree, number, salt, sealed, &cosigned);
    let removed = || Some((4, log.receipt(&removal, 1, gone.salt, removed, &cosigned)));
    let arrival = |number: u64| {
        let Existed { salt, content, blob, .. } = arrived[number as usize];
        (content, blob, log.receipt(&ingest, number, salt, ingested, &cosigned))
    };
    let subject = |kind, number| Subject { id: id(number), kind };
    let item = Certificate::new(Parts {
        subject: subject(SubjectKind::Interaction, 1),
        facts: item,
        receipt: at(1, salt(1)),
        reference: Some(REFERENCE.to_owned()),
        existed: vec![arrival(1), arrival(0)],
        removed: removed(),
    });
    let content = Certificate::new(Parts {
        subject: subject(SubjectKind::Content, 105),
        facts: content,
        receipt: at(2, salt(105)),
        reference: None,
        existed: Vec::new(),
        removed: None,
    });
    let order = Certificate::new(Parts {
        subject: subject(SubjectKind::Order, 50),
        facts: own,
        receipt: at(0, order_salt),
        reference: None,
        existed: Vec::new(),
        removed: removed(),
    });
    let (item, content, order) = (item.unwrap(), content.unwrap(), order.unwrap());
    let mut bulk = order.to_json();
    for number in [1, 3, 4] {
        assert!(write_bulk_item(&mut bulk, &receipts[number], number as u64, &tree));
    }
    let keys = TrustedKeys::new(vec![log_key().verifier().clone(), witness().verifier().clone()]);
    Scene { keys, log, checkpoints, item, content, order, bulk }
}

/// The key file of the scene.
pub fn key_file() -> String {
    format!("# the log, and a witness\n{}\n{}\n", log_key().verifier(), witness().verifier())
}
