//! One transaction: its checks, then its writes. Runs inside a savepoint of the writer, which undoes it when it stops.

use std::sync::Arc;

use keyforest::Group;
use oubliette_core::ports::{
    Certified, Check, ContentRow, CredentialRow, DirectoryRow, InteractionRow, PortError, PurgeRow, Transaction, Write,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params};

use crate::metadata::erased::Erased;

use super::error::{port_error, refused};
use super::rows::{ids, numbers, purge_kind_number, purge_state_number, to_nanos};
use super::statements as sql;

/// Why a transaction did not happen.
pub(super) enum Stop {
    /// This check did not hold.
    Check(usize),
    /// A statement failed.
    Sql(rusqlite::Error),
    /// The transaction is against the port's contract.
    Refused(PortError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Stop {
    /// The port's error; `None` for a check.
    pub(super) fn into_error(self) -> Result<usize, PortError> {
        match self {
            Self::Check(position) => Ok(position),
            Self::Sql(error) => Err(port_error("apply a transaction", error)),
            Self::Refused(error) => Err(error),
        }
    }
}

/// Checks, then writes.
pub(super) fn run(
    connection: &Connection,
    erased: &mut Erased,
    arrivals: &mut Vec<u8>,
    transaction: Transaction,
) -> Result<(), Stop> {
    let mut apply = Apply { connection, erased, arrivals };
    for (position, check) in transaction.checks.iter().enumerate() {
        if !apply.holds(check)? {
            return Err(Stop::Check(position));
        }
    }
    transaction.writes.into_iter().try_for_each(|write| apply.write(write))
}

/// Moves one content's bytes; whether there was one.
pub(super) fn switch_blob(connection: &Connection, from: &str, to: &str) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached(sql::SWITCH_BLOB)?.execute([from, to])? > 0)
}

struct Apply<'a> {
    connection: &'a Connection,
    erased: &'a mut Erased,
    /// What comes in with this commit.
    arrivals: &'a mut Vec<u8>,
}

impl Apply<'_> {
    fn holds(&self, check: &Check) -> Result<bool, Stop> {
        Ok(match check {
            Check::Interaction(group) => self.version(*group)?.is_some(),
            Check::Version(group, version) => self.version(*group)? == Some(*version),
            Check::NotErased(leaf) => !self.erased.contains(*leaf),
            Check::DirectoryLeaf(block, leaf) => {
                let found: Option<u64> =
                    self.statement(sql::DIRECTORY_LEAF)?.query_row([block], |row| row.get(0)).optional()?;
                found == Some(leaf.0)
            }
            Check::ExtraGroupSerial(serial) => {
                let found: u64 = self.statement(sql::INSTANCE)?.query_row([], |row| row.get(3))?;
                found == *serial
            }
            Check::Content(leaf) => self.statement(sql::CONTENT_EXISTS)?.exists([leaf.0])?,
        })
    }

    fn write(&mut self, write: Write) -> Result<(), Stop> {
        match write {
            Write::InsertInteraction(row) => self.insert_interaction(&row),
            Write::UpdateInteraction(row) => self.update_interaction(&row),
            Write::SetState(group, state) => {
                let changed = self.execute(sql::SET_STATE, (group.0, state.to_u8()))?;
                named_row(changed, "set the state of an interaction that has no row")
            }
            Write::InsertContent(row) => self.insert_content(&row),
            Write::DeleteContents(leaves) => {
                self.execute(sql::DELETE_CONTENTS, [numbers(leaves.iter().map(|leaf| leaf.0))])?;
                Ok(())
            }
            Write::DeleteInteractions(groups) => {
                let groups = numbers(groups.iter().map(|group| group.0));
                for statement in [sql::DELETE_CONTENTS_OF, sql::DELETE_EXTRA_GROUPS, sql::DELETE_INTERACTIONS] {
                    self.execute(statement, [groups.clone()])?;
                }
                Ok(())
            }
            Write::PutDirectory(row) => self.put_directory(&row),
            Write::DeleteDirectory(block) => {
                self.execute(sql::DELETE_DIRECTORY, [block])?;
                Ok(())
            }
            Write::InsertPurge(row) => self.insert_purge(row),
            Write::PlanPurges(purges) => {
                self.execute(sql::PLAN_PURGES, [ids(&purges)])?;
                self.all_there(&purges)
            }
            Write::SealPurges(purges, epoch, at) => {
                self.execute(sql::SEAL_PURGES, (ids(&purges), epoch, to_nanos(at)))?;
                self.execute(sql::DELETE_PURGE_ORDERS, [ids(&purges)])?;
                self.all_there(&purges)
            }
            Write::RemovedPurge(purge, at) => {
                let changed = self.execute(sql::REMOVED_PURGE, (purge, to_nanos(at)))?;
                self.erased.remove(purge);
                named_row(changed, "mark an erasure removed that is not sealed")
            }
            Write::RetainPurge(purge, until) => {
                let changed = self.execute(sql::RETAIN_PURGE, (purge, to_nanos(until)))?;
                named_row(changed, "mark an erasure retained that is not sealed")
            }
            Write::InsertSeal(row) => {
                self.execute(sql::INSERT_SEAL, (row.epoch, to_nanos(row.at), row.facts))?;
                Ok(())
            }
            Write::DeleteSeals(epoch) => {
                self.execute(sql::DELETE_SEALS, [epoch])?;
                Ok(())
            }
            Write::NoteArrivals(mut items) => {
                self.arrivals.append(&mut items);
                Ok(())
            }
            Write::DeleteArrivals(serials) => {
                self.execute(sql::DELETE_ARRIVALS, [numbers(serials)])?;
                Ok(())
            }
            Write::InsertBatch(row, places) => {
                self.execute(sql::INSERT_BATCH, (row.entry, row.items))?;
                places.iter().try_for_each(|place| self.execute(sql::INSERT_BATCH_PLACE, (place, row.entry)).map(drop))
            }
            Write::CertifyPurge(certified) => self.certify(&certified),
            Write::LogRemoval(purge, place) => {
                let changed = self.execute(sql::LOG_REMOVAL, (purge, place.entry, place.index))?;
                named_row(changed, "log the removal of an erasure that is not certified and removed")
            }
            Write::InsertCredential(row) => self.insert_credential(&row),
            Write::RevokeCredential(credential, at) => {
                let changed = self.execute(sql::REVOKE_CREDENTIAL, (credential, to_nanos(at)))?;
                named_row(changed, "revoke a credential that has no row")
            }
            Write::InsertTenant(tenant, name) => {
                self.execute(sql::INSERT_TENANT, (tenant.0, name))?;
                Ok(())
            }
            Write::SetEpoch(epoch) => {
                self.execute(sql::SET_EPOCH, [epoch])?;
                Ok(())
            }
            Write::PutValue(name, Some(value)) => {
                self.execute(sql::PUT_VALUE, (name, value))?;
                Ok(())
            }
            Write::PutValue(name, None) => {
                self.execute(sql::DELETE_VALUE, [name])?;
                Ok(())
            }
        }
    }

    fn insert_interaction(&self, row: &InteractionRow) -> Result<(), Stop> {
        let values = (
            row.group.0,
            row.tenant.0,
            row.kind.to_u8(),
            row.state.to_u8(),
            row.start_hour,
            row.next_leaf,
            row.extra_groups.len(),
            row.directory_block,
            row.version,
            &row.sealed_meta,
        );
        self.execute(sql::INSERT_INTERACTION, values)?;
        self.insert_extra_groups(row.group, &row.extra_groups)?;
        self.count_extra_groups(row.extra_groups.len())
    }

    fn update_interaction(&self, row: &InteractionRow) -> Result<(), Stop> {
        let Some((_, had)) = self.leaves(row.group)? else {
            return Err(Stop::Refused(refused("update an interaction that has no row")));
        };
        // Almost none has extra groups; then nothing more is read.
        let old = if had == 0 { Vec::new() } else { self.extra_groups(row.group)? };
        let values =
            (row.group.0, row.state.to_u8(), row.start_hour, row.next_leaf, row.extra_groups.len(), &row.sealed_meta);
        self.execute(sql::UPDATE_INTERACTION, values)?;
        if old != row.extra_groups {
            self.execute(sql::DELETE_EXTRA_GROUPS, [numbers([row.group.0])])?;
            self.insert_extra_groups(row.group, &row.extra_groups)?;
            self.count_extra_groups(row.extra_groups.iter().filter(|group| !old.contains(group)).count())?;
        }
        Ok(())
    }

    fn insert_extra_groups(&self, interaction: Group, groups: &[Group]) -> Result<(), Stop> {
        for (position, group) in groups.iter().enumerate() {
            self.execute(sql::INSERT_EXTRA_GROUP, (group.0, interaction.0, position))?;
        }
        Ok(())
    }

    fn count_extra_groups(&self, added: usize) -> Result<(), Stop> {
        if added > 0 {
            self.execute(sql::ADD_EXTRA_GROUP_SERIAL, [added])?;
        }
        Ok(())
    }

    /// A content only ever lies in its interaction's own groups: erasing the interaction punctures exactly those.
    fn insert_content(&self, row: &ContentRow) -> Result<(), Stop> {
        let Some((_, extra)) = self.leaves(row.interaction)? else {
            return Err(Stop::Refused(refused("insert a content whose interaction has no row")));
        };
        let groups = if extra == 0 { Vec::new() } else { self.extra_groups(row.interaction)? };
        let group = Group::of(row.leaf);
        if group != row.interaction && !groups.contains(&group) {
            return Err(Stop::Refused(refused("insert a content under a leaf of another interaction")));
        }
        if row.leaf == row.interaction.leaf(0) {
            return Err(Stop::Refused(refused("insert a content under the leaf of its interaction's metadata")));
        }
        let values = (
            row.leaf.0,
            row.interaction.0,
            row.kind.to_u8(),
            row.size_class.0,
            &row.blob.0,
            row.commitment,
            &row.sealed_meta,
        );
        self.execute(sql::INSERT_CONTENT, values)?;
        let in_newest = group == *groups.last().unwrap_or(&row.interaction);
        let past = if in_newest { row.leaf.0 % Group::SIZE + 1 } else { 0 };
        self.execute(sql::NOTE_CONTENT, (row.interaction.0, past))?;
        Ok(())
    }

    fn put_directory(&self, row: &DirectoryRow) -> Result<(), Stop> {
        self.execute(sql::PUT_DIRECTORY, (row.block, row.leaf.0, row.entries, &row.sealed))?;
        Ok(())
    }

    fn insert_purge(&mut self, row: PurgeRow) -> Result<(), Stop> {
        let values = (
            row.id,
            row.tenant.map(|tenant| tenant.0),
            row.credential,
            purge_kind_number(row.kind),
            purge_state_number(row.state),
            row.interactions,
            row.contents,
            row.order_leaf.map(|leaf| leaf.0),
            to_nanos(row.accepted_at),
            row.sealed_at.map(to_nanos),
            row.sealed_epoch,
            row.removed_at.map(to_nanos),
            row.retained_until.map(to_nanos),
            row.stated,
        );
        self.execute(sql::INSERT_PURGE, values)?;
        let serial = self.connection.last_insert_rowid();
        self.execute(sql::INSERT_PURGE_SET, (serial, row.set.encode()))?;
        if !row.sealed_order.is_empty() {
            self.execute(sql::INSERT_PURGE_ORDER, (serial, &row.sealed_order))?;
        }
        if row.removed_at.is_none() {
            self.erased.add(row.id, Arc::new(row.set));
        }
        Ok(())
    }

    fn certify(&self, row: &Certified) -> Result<(), Stop> {
        let place = row.place;
        let changed =
            self.execute(sql::CERTIFY_PURGE, (row.id, place.entry, place.first, place.receipts, place.blobs))?;
        if changed == 0 {
            let again = self.statement(sql::PURGE_IS_CERTIFIED)?.exists([row.id])?;
            return named_row(usize::from(again), "certify an erasure that is not sealed");
        }
        self.execute(sql::INSERT_MANIFEST, (row.id, &row.manifest))?;
        row.found_at.iter().try_for_each(|place| self.execute(sql::INSERT_PURGE_PLACE, (place, row.id)).map(drop))
    }

    fn insert_credential(&self, row: &CredentialRow) -> Result<(), Stop> {
        let values = (
            row.id,
            row.tenant.0,
            row.kind.name(),
            row.scopes.to_bits(),
            &row.label,
            row.secret_hash,
            to_nanos(row.created_at),
            row.expires_at.map(to_nanos),
            row.revoked_at.map(to_nanos),
        );
        self.execute(sql::INSERT_CREDENTIAL, values)?;
        Ok(())
    }

    /// Erasures are never deleted, so a mark on one that is not there is a caller's error.
    fn all_there(&self, purges: &[uuid::Uuid]) -> Result<(), Stop> {
        let mut distinct = purges.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let found: usize = self.statement(sql::COUNT_PURGES)?.query_row([ids(&distinct)], |row| row.get(0))?;
        named_row(usize::from(found == distinct.len()), "mark an erasure that has no row")
    }

    fn version(&self, group: Group) -> Result<Option<u64>, Stop> {
        Ok(self.statement(sql::INTERACTION_VERSION)?.query_row([group.0], |row| row.get(0)).optional()?)
    }

    /// Next leaf and number of extra groups.
    fn leaves(&self, group: Group) -> Result<Option<(u64, u32)>, Stop> {
        let mut statement = self.statement(sql::INTERACTION_LEAVES)?;
        Ok(statement.query_row([group.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    fn extra_groups(&self, group: Group) -> Result<Vec<Group>, Stop> {
        let mut statement = self.statement(sql::EXTRA_GROUPS)?;
        let groups = statement.query_map([group.0], |row| row.get(0).map(Group))?;
        Ok(groups.collect::<rusqlite::Result<_>>()?)
    }

    fn execute(&self, text: &'static str, values: impl Params) -> Result<usize, Stop> {
        Ok(self.statement(text)?.execute(values)?)
    }

    fn statement(&self, text: &'static str) -> Result<CachedStatement<'_>, Stop> {
        Ok(self.connection.prepare_cached(text)?)
    }
}

/// A change that names a row needs the row.
fn named_row(changed: usize, operation: &'static str) -> Result<(), Stop> {
    if changed == 0 { Err(Stop::Refused(refused(operation))) } else { Ok(()) }
}

/// Rebuilds what is covered from the rows.
pub(super) fn load_erased(connection: &Connection) -> rusqlite::Result<Erased> {
    let mut erased = Erased::default();
    let mut statement = connection.prepare(sql::COVERING_SETS)?;
    for covering in statement.query_map([], super::rows::covering_set)? {
        let (id, set) = covering?;
        erased.add(id, Arc::new(set));
    }
    erased.settle();
    Ok(erased)
}
