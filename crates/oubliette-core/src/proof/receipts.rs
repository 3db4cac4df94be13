//! Receipts of an erasure, made of its row and its manifest.

use aws_lc_rs::hmac;
use keyforest::Group;
use oubliette_proof::certificate::{ContentCount, Facts};
use oubliette_proof::entry::Event;
use oubliette_proof::receipt::{Erased, Existed, Removed, SubjectKind, reference_commitment};
use oubliette_proof::{Hash, ItemId, Salt, Seconds, Token};
use uuid::Uuid;

use super::manifest::{Manifest, Shape, Single};
use super::stated::Stated;
use crate::ids::{IdCipher, IdCipherError};
use crate::ports::PurgeRow;

/// Makes salts: an HMAC of what they salt. Whoever knows one salt knows no other.
pub struct Salts(hmac::Key);

/// What a salt is for.
#[derive(Clone, Copy)]
enum Purpose {
    Erased = 1,
    Existed = 2,
    Removed = 3,
}

impl Salts {
    /// Under a key that nothing else uses.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn salt(&self, purpose: Purpose, parts: [&[u8]; 3]) -> Salt {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[purpose as u8]);
        // Of fixed length for each purpose.
        parts.iter().for_each(|part| context.update(part));
        let mut salt = [0; 32];
        salt.copy_from_slice(context.sign().as_ref());
        Salt(salt)
    }

    fn erased(&self, order: ItemId, kind: SubjectKind, id: ItemId) -> Salt {
        let kind = match kind {
            SubjectKind::Interaction => 1,
            SubjectKind::Content => 2,
            SubjectKind::Order => 3,
        };
        self.salt(Purpose::Erased, [&order.0, &[kind], &id.0])
    }

    /// The receipt *erased* of an order itself: the salt its reference is committed to with.
    pub fn order(&self, order: ItemId) -> Salt {
        self.erased(order, SubjectKind::Order, order)
    }

    /// Commitment to what the orderer calls an order; `None` for no name.
    pub fn reference(&self, order: Uuid, reference: &str) -> Option<Hash> {
        let salt = self.order(item(order));
        (!reference.is_empty()).then(|| reference_commitment(&salt, reference))
    }

    /// The receipt *existed* of a content, or without one of the interaction itself.
    pub fn existed(&self, interaction: ItemId, content: Option<ItemId>, blob: Option<[u8; 32]>) -> Existed {
        let content = content.unwrap_or(ItemId([0; 16]));
        let salt = self.salt(Purpose::Existed, [&interaction.0, &content.0, &[]]);
        Existed { salt, interaction, content, blob: Hash(blob.unwrap_or_default()) }
    }

    /// The receipt *removed* of an order.
    pub fn removed(&self, order: Uuid, blobs: u64) -> Removed {
        let order = item(order);
        Removed { salt: self.salt(Purpose::Removed, [&order.0, &[], &[]]), order, blobs }
    }
}

/// An id as certificates have it.
fn item(id: Uuid) -> ItemId {
    ItemId(*id.as_bytes())
}

fn base_facts(row: &PurgeRow, stated: &Stated) -> Facts {
    let seconds = u64::try_from(row.accepted_at.as_second()).unwrap_or(0);
    Facts {
        accepted_at: Seconds::new(seconds).unwrap_or_else(epoch),
        actor_role: stated.role.clone().unwrap_or_else(unknown),
        backup_horizon: stated.backup_horizon,
        contents: Vec::new(),
        event: Event::Deleted,
        interactions: 0,
        items: 1,
        kept: Vec::new(),
        legal_basis: stated.legal_basis.clone(),
        order: item(row.id),
        part_of: None,
        reference: None,
    }
}

#[expect(clippy::expect_used, reason = "constants")]
fn epoch() -> Seconds {
    Seconds::new(0).expect("a time")
}

#[expect(clippy::expect_used, reason = "a constant")]
fn unknown() -> Token {
    Token::new("unknown").expect("a token")
}

fn counts(shape: &Shape) -> Vec<ContentCount> {
    let count = |(kind, class, count): &(crate::model::ContentKind, crate::model::SizeClass, u64)| {
        let kind = Token::new(kind.name()).unwrap_or_else(unknown);
        ContentCount { count: *count, kind, size_class: class.0 }
    };
    shape.iter().map(count).collect()
}

/// What is stated of the order as a whole.
pub fn order_facts(row: &PurgeRow, stated: &Stated, manifest: &Manifest) -> Facts {
    Facts {
        contents: counts(&manifest.contents()),
        interactions: manifest.interactions(),
        items: manifest.receipts() - 1,
        kept: stated.kept.clone(),
        reference: stated.reference,
        ..base_facts(row, stated)
    }
}

/// What is stated of an interaction of this shape that the order erased.
pub fn interaction_facts(row: &PurgeRow, stated: &Stated, shape: &Shape) -> Facts {
    Facts { contents: counts(shape), interactions: 1, ..base_facts(row, stated) }
}

/// What is stated of a single content that the order erased.
pub fn content_facts(row: &PurgeRow, stated: &Stated, single: &Single, interaction: ItemId) -> Facts {
    let contents = counts(&vec![(single.kind, single.size_class, 1)]);
    Facts { contents, part_of: Some(interaction), ..base_facts(row, stated) }
}

/// Makes the receipts of one erasure: of its interactions by group, of its single contents by leaf, of itself.
pub struct Receipts<'a> {
    row: &'a PurgeRow,
    stated: &'a Stated,
    manifest: &'a Manifest,
    salts: &'a Salts,
    cipher: &'a IdCipher,
}

impl<'a> Receipts<'a> {
    /// Of an erasure of the tenant whose ids `cipher` makes.
    pub fn new(
        row: &'a PurgeRow,
        stated: &'a Stated,
        manifest: &'a Manifest,
        salts: &'a Salts,
        cipher: &'a IdCipher,
    ) -> Self {
        Self { row, stated, manifest, salts, cipher }
    }

    fn erased(&self, kind: SubjectKind, id: ItemId, facts: Hash) -> Erased {
        let order = item(self.row.id);
        Erased { salt: self.salts.erased(order, kind, id), kind, id, event: Event::Deleted, order, facts }
    }

    /// All receipts in order, some at a time, so that a million need not be in memory. Stops when `take` fails.
    pub fn each<E>(&self, mut take: impl FnMut(&[Erased]) -> Result<(), E>) -> Result<(), E>
    where
        E: From<IdCipherError>,
    {
        // What is stated of an interaction depends on its shape alone.
        let hash = |shape: &Shape| interaction_facts(self.row, self.stated, shape).hash();
        let facts: Vec<Hash> = self.manifest.shapes.iter().map(hash).collect();
        let mut shapes = self.manifest.runs.iter().flat_map(|(shape, length)| (0..*length).map(|_| facts[*shape]));
        let groups = self.row.set.interactions.as_slice();
        for some in groups.chunks(4_096) {
            let some: Vec<Group> = some.iter().copied().map(Group).collect();
            let ids = self.cipher.encode_all(&some)?;
            let receipts: Vec<Erased> = ids
                .into_iter()
                .zip(&mut shapes)
                .map(|(id, facts)| self.erased(SubjectKind::Interaction, item(id.0), facts))
                .collect();
            take(&receipts)?;
        }
        for some in self.manifest.singles.chunks(1_024) {
            let mut receipts = Vec::with_capacity(some.len());
            for single in some {
                receipts.push(self.single(single)?.0);
            }
            take(&receipts)?;
        }
        take(&[self.order()])
    }

    /// Receipt and facts of a single content.
    pub fn single(&self, single: &Single) -> Result<(Erased, Facts), IdCipherError> {
        let interaction = item(self.cipher.encode(single.interaction)?.0);
        let id = item(self.cipher.encode_content(single.leaf)?.0);
        let facts = content_facts(self.row, self.stated, single, interaction);
        Ok((self.erased(SubjectKind::Content, id, facts.hash()), facts))
    }

    /// Receipt and facts of interaction number `index`; `None` when there is none.
    pub fn interaction(&self, index: usize) -> Result<Option<(Erased, Facts)>, IdCipherError> {
        let group = self.row.set.interactions.as_slice().get(index).copied();
        let Some((group, shape)) = group.zip(self.manifest.shape(index as u64)) else { return Ok(None) };
        let id = item(self.cipher.encode(Group(group))?.0);
        let facts = interaction_facts(self.row, self.stated, shape);
        Ok(Some((self.erased(SubjectKind::Interaction, id, facts.hash()), facts)))
    }

    /// Facts of the order.
    pub fn order_facts(&self) -> Facts {
        order_facts(self.row, self.stated, self.manifest)
    }

    /// Receipt of the order.
    pub fn order(&self) -> Erased {
        self.erased(SubjectKind::Order, item(self.row.id), self.order_facts().hash())
    }
}
