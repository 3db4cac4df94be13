//! Which rows a batch of transactions could ask for, and reading them.

use std::collections::BTreeSet;
use std::pin::Pin;

use keyforest::Group;
use oubliette_core::ports::{Check, Transaction, Write};
use tokio_postgres::Row;
use uuid::Uuid;

use super::books::{Block, Books, Content, Counts, Credential, Interaction, Purge};
use super::covers::{self, Piece};
use super::rows::{get, number, small, stored};
use super::statements as sql;
use super::writer::{Request, Turn};
use crate::postgres::{Parameter, PostgresError, Session, in_order};

/// Takes a row into the books.
type Take<'a> = fn(&mut Books<'a>, &Row) -> Result<(), PostgresError>;

/// A statement, its values, and what becomes of its rows.
type Question<'v, 'a> = (&'static str, Vec<Parameter<'v>>, Take<'a>);

fn question<'v, 'a>(
    needed: bool,
    text: &'static str,
    values: &[Parameter<'v>],
    take: Take<'a>,
) -> Option<Question<'v, 'a>> {
    needed.then(|| (text, values.to_vec(), take))
}

/// Keys of a batch. What no column can hold is left out: it is in no row.
#[derive(Default)]
pub(super) struct Keys {
    interactions: BTreeSet<i64>,
    /// Whose extra groups are these?
    owners: BTreeSet<i64>,
    leaves: BTreeSet<i64>,
    blobs: BTreeSet<String>,
    blocks: BTreeSet<i64>,
    block_leaves: BTreeSet<i64>,
    chunks: BTreeSet<i64>,
    purges: BTreeSet<Uuid>,
    new_purges: i32,
    credentials: BTreeSet<Uuid>,
    tenants: BTreeSet<i64>,
    names: BTreeSet<String>,
    counts: bool,
    /// Highest and every number that needs a partition.
    pub(super) new_interactions: BTreeSet<u64>,
    pub(super) new_blocks: BTreeSet<u64>,
}

impl Keys {
    /// Those of a batch.
    pub(super) fn of<'a>(requests: impl Iterator<Item = &'a Request>) -> Self {
        let mut keys = Self::default();
        for request in requests {
            match request {
                Request::Apply(transaction) => keys.transaction(transaction),
                Request::Switch(from, to) => {
                    keys.blobs.extend([from.clone(), to.clone()]);
                }
            }
        }
        keys
    }

    fn transaction(&mut self, transaction: &Transaction) {
        for check in &transaction.checks {
            match check {
                Check::Interaction(group) | Check::Version(group, _) => self.interaction(*group),
                Check::NotErased(leaf) => self.chunks.extend(covers::pieces_of(*leaf)),
                Check::DirectoryLeaf(block, _) => self.blocks.extend(stored(*block)),
                Check::ExtraGroupSerial(_) => self.counts = true,
                Check::Content(leaf) => self.leaves.extend(stored(leaf.0)),
            }
        }
        for write in &transaction.writes {
            self.write(write);
        }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::InsertInteraction(row) => {
                self.interaction(row.group);
                // It may be somebody's extra group.
                self.owners.extend(stored(row.group.0));
                self.extra(&row.extra_groups);
                self.new_interactions.insert(row.group.0);
            }
            Write::UpdateInteraction(row) => {
                self.interaction(row.group);
                self.extra(&row.extra_groups);
            }
            Write::SetState(group, _) => self.interaction(*group),
            Write::InsertContent(row) => {
                self.interaction(row.interaction);
                self.leaves.extend(stored(row.leaf.0));
                self.blobs.insert(row.blob.0.clone());
            }
            Write::DeleteContents(leaves) => self.leaves.extend(leaves.iter().filter_map(|leaf| stored(leaf.0))),
            Write::DeleteInteractions(groups) => groups.iter().for_each(|group| self.interaction(*group)),
            Write::PutDirectory(row) => {
                self.blocks.extend(stored(row.block));
                self.block_leaves.extend(stored(row.leaf.0));
                self.new_blocks.insert(row.block);
            }
            Write::DeleteDirectory(block) => self.blocks.extend(stored(*block)),
            Write::InsertPurge(row) => {
                self.purges.insert(row.id);
                self.new_purges += 1;
            }
            Write::PlanPurges(purges) | Write::SealPurges(purges, ..) => self.purges.extend(purges),
            Write::RemovedPurge(purge, _) | Write::RetainPurge(purge, _) => drop(self.purges.insert(*purge)),
            Write::CertifyPurge(certified) => drop(self.purges.insert(certified.id)),
            Write::LogRemoval(purge, _) => drop(self.purges.insert(*purge)),
            Write::InsertSeal(_)
            | Write::DeleteSeals(_)
            | Write::NoteArrivals(_)
            | Write::DeleteArrivals(_)
            | Write::InsertBatch(..) => {}
            Write::InsertCredential(row) => drop(self.credentials.insert(row.id)),
            Write::RevokeCredential(credential, _) => drop(self.credentials.insert(*credential)),
            Write::InsertTenant(tenant, name) => {
                self.tenants.insert(i64::from(tenant.0));
                self.names.insert(name.clone());
            }
            Write::SetEpoch(_) => self.counts = true,
            Write::PutValue(..) => {}
        }
    }

    fn interaction(&mut self, group: Group) {
        self.interactions.extend(stored(group.0));
    }

    fn extra(&mut self, groups: &[Group]) {
        for group in groups {
            self.interaction(*group);
            self.owners.extend(stored(group.0));
            self.counts = true;
        }
    }

    /// Waits for the turn, begins a transaction and reads the rows, all in one round trip. Told apart: whether it has the turn.
    pub(super) async fn read<'a>(
        &self,
        session: &Session,
        turn: Turn,
        has_turn: &mut bool,
    ) -> Result<Books<'a>, PostgresError> {
        let list = |set: &BTreeSet<i64>| set.iter().copied().collect::<Vec<_>>();
        let (interactions, owners, leaves) = (list(&self.interactions), list(&self.owners), list(&self.leaves));
        let (blocks, block_leaves, chunks) = (list(&self.blocks), list(&self.block_leaves), list(&self.chunks));
        let blobs: Vec<&str> = self.blobs.iter().map(String::as_str).collect();
        let purges: Vec<Uuid> = self.purges.iter().copied().collect();
        let credentials: Vec<Uuid> = self.credentials.iter().copied().collect();
        let tenants = list(&self.tenants);
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();

        let mut asked: Vec<Question<'_, 'a>> = Vec::new();
        asked.extend(question(!interactions.is_empty(), sql::JUDGE_INTERACTIONS, &[&interactions], take_interaction));
        asked.extend(question(!interactions.is_empty(), sql::EXTRA_GROUPS_OF, &[&interactions], take_extra_group));
        asked.extend(question(!owners.is_empty(), sql::OWNERS, &[&owners], take_owner));
        asked.extend(question(!leaves.is_empty(), sql::JUDGE_CONTENTS, &[&leaves], take_content));
        asked.extend(question(!blobs.is_empty(), sql::BLOB_OWNERS, &[&blobs], take_blob));
        asked.extend(question(!blocks.is_empty(), sql::JUDGE_DIRECTORY, &[&blocks], take_block));
        asked.extend(question(!block_leaves.is_empty(), sql::JUDGE_DIRECTORY_LEAVES, &[&block_leaves], take_block));
        asked.extend(question(!purges.is_empty(), sql::JUDGE_PURGES, &[&purges], take_purge));
        asked.extend(question(!chunks.is_empty(), sql::COVERS, &[&chunks], take_cover));
        asked.extend(question(self.new_purges > 0, sql::PURGE_SERIALS, &[&self.new_purges], take_serial));
        asked.extend(question(!credentials.is_empty(), sql::JUDGE_CREDENTIALS, &[&credentials], take_credential));
        asked.extend(question(!tenants.is_empty(), sql::JUDGE_TENANTS, &[&tenants, &names], take_tenant));
        asked.extend(question(self.counts, sql::JUDGE_INSTANCE, &[], take_counts));

        type Rows = Result<Vec<Row>, PostgresError>;
        let turn = turn.begin();
        let mut requests: Vec<Pin<Box<dyn Future<Output = Rows> + Send + '_>>> = vec![
            Box::pin(async { session.batch(&turn).await.map(|()| Vec::new()) }),
            Box::pin(async { session.batch("BEGIN ISOLATION LEVEL SERIALIZABLE").await.map(|()| Vec::new()) }),
        ];
        for (text, values, _) in &asked {
            requests.push(Box::pin(session.query(text, values)));
        }
        let mut answers = in_order(requests).await.into_iter();
        let waited = answers.next().unwrap_or(Ok(Vec::new()));
        *has_turn = waited.is_ok();
        waited?;
        answers.next().unwrap_or(Ok(Vec::new()))?;
        let mut books = Books::default();
        for ((.., take), rows) in asked.iter().zip(answers) {
            for row in &rows? {
                take(&mut books, row)?;
            }
        }
        // Taken from the end: the lowest first.
        books.serials.reverse();
        Ok(books)
    }
}

fn take_interaction(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let interaction = Interaction {
        state: small(row, 1)?,
        start_hour: get(row, 2)?,
        next_leaf: small(row, 3)?,
        version: number(row, 4)?,
        extra: Vec::new(),
        regrouped: false,
        sealed: None,
        new: None,
    };
    books.interactions.load(number(row, 0)?, interaction);
    Ok(())
}

fn take_extra_group(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let (interaction, group) = (number(row, 0)?, number(row, 1)?);
    if let Some(known) = books.interactions.get(&interaction) {
        let mut known = known.clone();
        known.extra.push(group);
        books.interactions.load(interaction, known);
    }
    books.owners.load(group, interaction);
    Ok(())
}

fn take_owner(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    books.owners.load(number(row, 0)?, number(row, 1)?);
    Ok(())
}

fn take_content(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let (leaf, interaction) = (number(row, 0)?, number(row, 1)?);
    books.contents.load(leaf, Content { interaction, blob: get(row, 2)?, new: None });
    books.parts.entry(interaction).or_default().push(leaf);
    let blob: String = get(row, 2)?;
    books.places.entry(interaction).or_default().push(blob.clone());
    books.blobs.load(blob, (interaction, leaf));
    Ok(())
}

fn take_blob(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let (blob, interaction, leaf): (String, _, _) = (get(row, 0)?, number(row, 1)?, number(row, 2)?);
    books.places.entry(interaction).or_default().push(blob.clone());
    if books.contents.get(&leaf).is_none() {
        books.contents.load(leaf, Content { interaction, blob: blob.clone(), new: None });
        books.parts.entry(interaction).or_default().push(leaf);
    }
    books.blobs.load(blob, (interaction, leaf));
    Ok(())
}

fn take_block(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let (block, leaf) = (number(row, 0)?, number(row, 1)?);
    books.directory.load(block, Block { leaf, new: None });
    books.block_leaves.load(leaf, block);
    Ok(())
}

fn take_purge(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let purge = Purge {
        serial: get(row, 1)?,
        state: small(row, 2)?,
        sealed: None,
        removed: get(row, 3)?,
        removed_at: None,
        retained_until: None,
        drop_order: false,
        certified: get(row, 4)?,
        certificate: None,
        removal: None,
        new: None,
    };
    books.purges.load(get(row, 0)?, purge);
    Ok(())
}

fn take_cover(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let piece = Piece { groups: get(row, 2)?, leaves: get(row, 3)? };
    books.covers.load(get(row, 0)?, get(row, 1)?, piece);
    Ok(())
}

fn take_serial(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    books.serials.push(get(row, 0)?);
    Ok(())
}

fn take_credential(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    books.credentials.load(get(row, 0)?, Credential { revoked_at: get(row, 1)?, new: None });
    Ok(())
}

fn take_tenant(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let tenant = u32::try_from(number(row, 0)?).map_err(|_| PostgresError::Unreadable("a number beyond 32 bits"))?;
    let name: String = get(row, 1)?;
    books.names.load(name.clone(), tenant);
    books.tenants.load(tenant, name);
    Ok(())
}

fn take_counts(books: &mut Books<'_>, row: &Row) -> Result<(), PostgresError> {
    let counts = Counts { epoch: number(row, 0)?, extra_group_serial: number(row, 1)?, added: 0, new_epoch: false };
    books.counts.load((), counts);
    Ok(())
}
