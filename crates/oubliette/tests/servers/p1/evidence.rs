//! What the attacker reads in databases: every version of every sealed row, key page and wrapped root.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use keyforest::attack::{Attacker, Closure};
use keyforest::{Group, Leaf};
use oubliette_core::crypto::record::Place;
use oubliette_core::model::{ContentKind, SizeClass, TenantId};
use oubliette_core::ports::{BlobRef, Blobs, ContentRow};
use oubliette_store::postgres::Session;
use uuid::Uuid;

use super::openbao::Wrapped;
use crate::attacker::{Attack, Loot};

const INTERACTIONS: &str = "SELECT interaction, tenant, sealed_meta FROM oubliette.interactions";
const CONTENTS: &str = "SELECT c.leaf, c.interaction, i.tenant, c.blob, c.commitment, c.sealed_meta
    FROM oubliette.contents c JOIN oubliette.interactions i ON i.interaction = c.interaction";
const DIRECTORY: &str = "SELECT block, leaf, sealed_entries FROM oubliette.directory";
const ORDERS: &str = "SELECT p.purge, p.order_leaf, o.sealed_order
    FROM oubliette.purges p JOIN oubliette.purge_orders o ON o.serial = p.serial";
const EXTENTS: &str = "SELECT file, at, serial, bytes FROM oubliette_keys.extents WHERE serial > $1";
const NAMED: &str = "SELECT bytes FROM oubliette_keys.named WHERE name LIKE 'roots/%/slot-%'";

/// A sealed record: the leaf it was sealed under, what it is, the ciphertext.
struct Record {
    leaf: Leaf,
    place: Place,
    sealed: Vec<u8>,
}

/// Everything read so far.
#[derive(Default)]
pub struct Evidence {
    seen: HashSet<Vec<u8>>,
    records: Vec<Record>,
    contents: Vec<(TenantId, ContentRow)>,
    /// By file and serial: what was written where.
    extents: BTreeMap<(i64, i64, i64), Vec<u8>>,
    /// Wrapped roots, and how many moments had been read before each was.
    pub wrapped: BTreeMap<Wrapped, usize>,
    newest: i64,
    moments: usize,
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap()
}

impl Evidence {
    /// Reads what stands in a database now.
    pub async fn read(&mut self, session: &Session) {
        let newest = self.newest;
        self.read_above(session, newest).await;
        self.moments += 1;
    }

    /// Reads all that stands in a database of another time.
    pub async fn read_all(&mut self, session: &Session) {
        self.read_above(session, -1).await;
    }

    async fn read_above(&mut self, session: &Session, newest: i64) {
        for row in session.query(INTERACTIONS, &[]).await.unwrap() {
            let (group, tenant) = (number(row.get(0)), u32::try_from(row.get::<_, i64>(1)).unwrap());
            self.record(Group(group).leaf(0), Place::Interaction(tenant, group), row.get(2));
        }
        for row in session.query(CONTENTS, &[]).await.unwrap() {
            let tenant = TenantId(u32::try_from(row.get::<_, i64>(2)).unwrap());
            let sealed_meta: Vec<u8> = row.get(5);
            let blob: String = row.get(3);
            // The same content may come to lie elsewhere.
            if self.seen.insert([blob.as_bytes(), &sealed_meta[..]].concat()) {
                let row = ContentRow {
                    leaf: Leaf(number(row.get(0))),
                    interaction: Group(number(row.get(1))),
                    kind: ContentKind::CallRecording,
                    size_class: SizeClass(0),
                    sealed_meta,
                    blob: BlobRef(blob),
                    commitment: row.get::<_, Vec<u8>>(4).try_into().unwrap(),
                };
                self.contents.push((tenant, row));
            }
        }
        for row in session.query(DIRECTORY, &[]).await.unwrap() {
            let (block, leaf) = (number(row.get(0)), number(row.get(1)));
            self.record(Leaf(leaf), Place::Directory(block, leaf), row.get(2));
        }
        for row in session.query(ORDERS, &[]).await.unwrap() {
            let (purge, leaf): (Uuid, i64) = (row.get(0), row.get(1));
            self.record(Leaf(number(leaf)), Place::Order(*purge.as_bytes()), row.get(2));
        }
        for row in session.query(EXTENTS, &[&newest]).await.unwrap() {
            let (file, at, serial) = (row.get(0), row.get(1), row.get(2));
            self.newest = self.newest.max(serial);
            self.extents.insert((file, serial, at), row.get(3));
        }
        for row in session.query(NAMED, &[]).await.unwrap() {
            if let Some(wrapped) = Wrapped::read(row.get(0)) {
                self.wrapped.entry(wrapped).or_insert(self.moments);
            }
        }
    }

    fn record(&mut self, leaf: Leaf, place: Place, sealed: Vec<u8>) {
        if self.seen.insert(sealed.clone()) {
            self.records.push(Record { leaf, place, sealed });
        }
    }

    /// Sealed rows and contents read.
    pub fn rows(&self) -> usize {
        self.records.len() + self.contents.len()
    }

    /// All leaves under which anything was sealed.
    pub fn leaves(&self) -> BTreeSet<Leaf> {
        let contents = self.contents.iter().map(|(_, row)| row.leaf);
        self.records.iter().map(|record| record.leaf).chain(contents).collect()
    }

    /// Gives the key pages of all times to an attacker, as their files were put together.
    pub fn pages(&self, attacker: &mut Attacker) {
        let mut files: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        for ((file, _, at), bytes) in &self.extents {
            attacker.archive(bytes);
            let (whole, at) = (files.entry(*file).or_default(), usize::try_from(*at).unwrap());
            whole.resize(whole.len().max(at + bytes.len()), 0);
            whole[at..at + bytes.len()].copy_from_slice(bytes);
        }
        files.values().for_each(|file| attacker.archive(file));
    }

    /// Tries everything with these keys.
    pub async fn attack(&self, keys: &Closure, blobs: &Arc<dyn Blobs>) -> Loot {
        let mut attack = Attack::with(keys);
        for Record { leaf, place, sealed } in &self.records {
            attack.record(*leaf, *place, sealed);
        }
        for (tenant, row) in &self.contents {
            attack.content(*tenant, row, blobs).await;
        }
        attack.done()
    }
}
