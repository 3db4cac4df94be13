//! One transaction against the books: its checks, then its writes. The caller undoes it when it stops.

use std::sync::Arc;

use keyforest::Group;
use oubliette_core::ports::{
    Certified, Check, ContentRow, CredentialRow, DirectoryRow, InteractionRow, PortError, PortErrorKind, PurgeRow,
    PurgeState, Transaction, Write,
};
use uuid::Uuid;

use super::books::{Block, Books, Content, Credential, Interaction, Purge};
use super::rows::{purge_state_number, stored, to_nanos};

/// Why a transaction does not happen.
pub(super) enum Stop {
    /// This check did not hold.
    Check(usize),
    /// It is against the port's contract.
    Refused(&'static str),
}

impl Stop {
    /// The port's error; the number of a check.
    pub(super) fn into_error(self) -> Result<usize, PortError> {
        match self {
            Self::Check(position) => Ok(position),
            Self::Refused(operation) => Err(PortError::bare(PortErrorKind::Refused, operation)),
        }
    }
}

type Judged = Result<(), Stop>;

const SEALED: u8 = 3;

impl<'a> Books<'a> {
    /// Checks, then writes.
    pub(super) fn apply(&mut self, transaction: &'a Transaction) -> Judged {
        for (position, check) in transaction.checks.iter().enumerate() {
            if !self.holds(check) {
                return Err(Stop::Check(position));
            }
        }
        transaction.writes.iter().try_for_each(|write| self.write(write))
    }

    /// Moves one content's bytes; whether there was one.
    pub(super) fn switch(&mut self, from: &str, to: &str) -> Result<bool, Stop> {
        let Some(owner) = self.blobs.get(&from.to_owned()).copied() else { return Ok(false) };
        if from == to {
            return Ok(true);
        }
        if self.blobs.get(&to.to_owned()).is_some() {
            return Err(Stop::Refused("switch to a blob another content refers to"));
        }
        let Some(mut content) = self.contents.get(&owner.1).cloned() else { return Ok(false) };
        content.blob = to.to_owned();
        self.contents.put(owner.1, Some(content));
        self.blobs.put(from.to_owned(), None);
        self.blobs.put(to.to_owned(), Some(owner));
        self.places.entry(owner.0).or_default().push(to.to_owned());
        Ok(true)
    }

    fn holds(&self, check: &Check) -> bool {
        match check {
            Check::Interaction(group) => self.interactions.get(&group.0).is_some(),
            Check::Version(group, version) => {
                self.interactions.get(&group.0).is_some_and(|interaction| interaction.version == *version)
            }
            Check::NotErased(leaf) => !self.erased(*leaf),
            Check::DirectoryLeaf(block, leaf) => self.directory.get(block).is_some_and(|block| block.leaf == leaf.0),
            Check::ExtraGroupSerial(serial) => {
                self.counts.get(&()).is_some_and(|counts| counts.extra_group_serial == *serial)
            }
            Check::Content(leaf) => self.contents.get(&leaf.0).is_some(),
        }
    }

    fn write(&mut self, write: &'a Write) -> Judged {
        match write {
            Write::InsertInteraction(row) => self.insert_interaction(row),
            Write::UpdateInteraction(row) => self.update_interaction(row),
            Write::SetState(group, state) => {
                self.change(*group, "set the state of an interaction that has no row", |row| {
                    row.state = state.to_u8();
                    row.version += 1;
                })
            }
            Write::InsertContent(row) => self.insert_content(row),
            Write::DeleteContents(leaves) => {
                leaves.iter().for_each(|leaf| self.delete_content(leaf.0));
                Ok(())
            }
            Write::DeleteInteractions(groups) => {
                groups.iter().for_each(|group| self.delete_interaction(group.0));
                Ok(())
            }
            Write::PutDirectory(row) => self.put_directory(row),
            Write::DeleteDirectory(block) => {
                if let Some(leaf) = self.directory.get(block).map(|block| block.leaf) {
                    self.block_leaves.put(leaf, None);
                    self.directory.put(*block, None);
                }
                Ok(())
            }
            Write::InsertPurge(row) => self.insert_purge(row),
            Write::PlanPurges(purges) => {
                let planned = purge_state_number(PurgeState::Planned) as u8;
                self.mark_purges(purges, |purge| purge.state = purge.state.max(planned))
            }
            Write::SealPurges(purges, epoch, at) => {
                let epoch = fits(*epoch, "seal at an epoch beyond what is stored")?;
                self.mark_purges(purges, |purge| {
                    if purge.state < SEALED {
                        purge.state = SEALED;
                        purge.sealed = Some((epoch, to_nanos(*at)));
                    }
                    purge.drop_order = true;
                })
            }
            Write::RemovedPurge(purge, at) => self.removed(*purge, to_nanos(*at)),
            Write::RetainPurge(id, until) => {
                let Some(mut purge) = self.purges.get(id).filter(|purge| purge.state == SEALED).cloned() else {
                    return Err(Stop::Refused("mark an erasure retained that is not sealed"));
                };
                purge.retained_until = Some(to_nanos(*until));
                self.purges.put(*id, Some(purge));
                Ok(())
            }
            Write::InsertSeal(row) => {
                fits(row.epoch, "remember a seal of an epoch beyond what is stored")?;
                if self.seals.get(&row.epoch).is_none() {
                    self.seals.put(row.epoch, Some(row));
                }
                Ok(())
            }
            Write::DeleteSeals(epoch) => {
                fits(*epoch, "forget seals beyond what is stored")?;
                for gone in self.seals.keys().filter(|seal| *seal <= *epoch) {
                    self.seals.put(gone, None);
                }
                let epoch = self.seals_done.get(&()).copied().unwrap_or(0).max(*epoch);
                self.seals_done.put((), Some(epoch));
                Ok(())
            }
            Write::NoteArrivals(items) => {
                let number = self.arrivals.mark() as u64;
                self.arrivals.put(number, Some(items));
                Ok(())
            }
            Write::DeleteArrivals(serials) => {
                serials.iter().for_each(|serial| self.arrived.put(*serial, Some(())));
                Ok(())
            }
            Write::InsertBatch(row, places) => {
                for number in places.iter().chain([&row.entry]) {
                    fits(*number, "insert an ingest batch with a number beyond what is stored")?;
                }
                if self.batches.get(&row.entry).is_some() {
                    return Err(Stop::Refused("insert a second ingest batch of an entry"));
                }
                self.batches.put(row.entry, Some((row, places)));
                Ok(())
            }
            Write::CertifyPurge(certified) => self.certify(certified),
            Write::LogRemoval(id, place) => {
                let entry = fits(place.entry, "log a removal in an entry beyond what is stored")?;
                let index = fits(place.index, "log a removal at a place beyond what is stored")?;
                let ready = |purge: &&Purge<'_>| purge.removed && purge.certified;
                let Some(mut purge) = self.purges.get(id).filter(ready).cloned() else {
                    return Err(Stop::Refused("log the removal of an erasure that is not certified and removed"));
                };
                purge.removal.get_or_insert((entry, index));
                self.purges.put(*id, Some(purge));
                Ok(())
            }
            Write::InsertCredential(row) => self.insert_credential(row),
            Write::RevokeCredential(id, at) => {
                let Some(mut credential) = self.credentials.get(id).cloned() else {
                    return Err(Stop::Refused("revoke a credential that has no row"));
                };
                credential.revoked_at = credential.revoked_at.or(Some(to_nanos(*at)));
                self.credentials.put(*id, Some(credential));
                Ok(())
            }
            Write::InsertTenant(tenant, name) => {
                if self.tenants.get(&tenant.0).is_some() || self.names.get(name).is_some() {
                    return Err(Stop::Refused("insert a second tenant of one number or name"));
                }
                self.tenants.put(tenant.0, Some(name.clone()));
                self.names.put(name.clone(), Some(tenant.0));
                Ok(())
            }
            Write::SetEpoch(epoch) => {
                fits(*epoch, "set an epoch beyond what is stored")?;
                if let Some(mut counts) = self.counts.get(&()).copied().filter(|counts| counts.epoch < *epoch) {
                    counts.epoch = *epoch;
                    counts.new_epoch = true;
                    self.counts.put((), Some(counts));
                }
                Ok(())
            }
            Write::PutValue(name, value) => {
                // Whether there is one was not read, and need not be: it is set or removed all the same.
                self.values.put(name.clone(), Some(value.as_deref()));
                Ok(())
            }
        }
    }

    fn change(&mut self, group: Group, refusal: &'static str, change: impl FnOnce(&mut Interaction<'a>)) -> Judged {
        let Some(mut row) = self.interactions.get(&group.0).cloned() else { return Err(Stop::Refused(refusal)) };
        change(&mut row);
        self.interactions.put(group.0, Some(row));
        Ok(())
    }

    fn insert_interaction(&mut self, row: &'a InteractionRow) -> Judged {
        let group = row.group.0;
        for number in [group, row.directory_block, row.version] {
            fits(number, "insert an interaction with a number beyond what is stored")?;
        }
        if self.interactions.get(&group).is_some() || self.owners.get(&group).is_some() {
            return Err(Stop::Refused("insert a second interaction of a group"));
        }
        let interaction = Interaction {
            state: row.state.to_u8(),
            start_hour: row.start_hour,
            next_leaf: row.next_leaf,
            version: row.version,
            extra: row.extra_groups.iter().map(|group| group.0).collect(),
            regrouped: !row.extra_groups.is_empty(),
            sealed: Some(&row.sealed_meta),
            new: Some(row),
        };
        let extra = interaction.extra.clone();
        self.interactions.put(group, Some(interaction));
        self.own(group, &extra)?;
        self.count_extra_groups(extra.len());
        Ok(())
    }

    fn update_interaction(&mut self, row: &'a InteractionRow) -> Judged {
        let group = row.group.0;
        let Some(mut interaction) = self.interactions.get(&group).cloned() else {
            return Err(Stop::Refused("update an interaction that has no row"));
        };
        let extra: Vec<u64> = row.extra_groups.iter().map(|group| group.0).collect();
        let old = std::mem::replace(&mut interaction.extra, extra.clone());
        interaction.state = row.state.to_u8();
        interaction.start_hour = row.start_hour;
        interaction.next_leaf = row.next_leaf;
        interaction.version += 1;
        interaction.sealed = Some(&row.sealed_meta);
        interaction.regrouped |= old != extra;
        self.interactions.put(group, Some(interaction));
        if old != extra {
            old.iter().for_each(|group| self.owners.put(*group, None));
            self.own(group, &extra)?;
            self.count_extra_groups(extra.iter().filter(|group| !old.contains(group)).count());
        }
        Ok(())
    }

    /// Takes extra groups for an interaction.
    fn own(&mut self, interaction: u64, groups: &[u64]) -> Judged {
        for group in groups {
            fits(*group, "take an extra group beyond what is stored")?;
            if self.owners.get(group).is_some() || self.interactions.get(group).is_some() {
                return Err(Stop::Refused("take a group another interaction has"));
            }
            self.owners.put(*group, Some(interaction));
        }
        Ok(())
    }

    fn count_extra_groups(&mut self, added: usize) {
        if let Some(mut counts) = self.counts.get(&()).copied().filter(|_| added > 0) {
            counts.extra_group_serial += added as u64;
            counts.added += added as i64;
            self.counts.put((), Some(counts));
        }
    }

    /// A content only ever lies in its interaction's own groups: erasing the interaction punctures exactly those.
    fn insert_content(&mut self, row: &'a ContentRow) -> Judged {
        let (leaf, interaction, group) = (row.leaf.0, row.interaction, Group::of(row.leaf));
        fits(leaf, "insert a content with a leaf beyond what is stored")?;
        let Some(known) = self.interactions.get(&interaction.0) else {
            return Err(Stop::Refused("insert a content whose interaction has no row"));
        };
        if group != interaction && !known.extra.contains(&group.0) {
            return Err(Stop::Refused("insert a content under a leaf of another interaction"));
        }
        if row.leaf == interaction.leaf(0) {
            return Err(Stop::Refused("insert a content under the leaf of its interaction's metadata"));
        }
        if self.contents.get(&leaf).is_some() {
            return Err(Stop::Refused("insert a second content under one leaf"));
        }
        if self.blobs.get(&row.blob.0).is_some() {
            return Err(Stop::Refused("insert a content with a blob another content refers to"));
        }
        let in_newest = group.0 == *known.extra.last().unwrap_or(&interaction.0);
        let past = if in_newest { (leaf % Group::SIZE) as u8 + 1 } else { 0 };
        let blob = row.blob.0.clone();
        self.contents.put(leaf, Some(Content { interaction: interaction.0, blob: blob.clone(), new: Some(row) }));
        self.blobs.put(blob.clone(), Some((interaction.0, leaf)));
        self.parts.entry(interaction.0).or_default().push(leaf);
        self.places.entry(interaction.0).or_default().push(blob);
        self.change(interaction, "insert a content whose interaction has no row", |row| {
            row.next_leaf = row.next_leaf.max(past);
            row.version += 1;
        })
    }

    fn delete_content(&mut self, leaf: u64) {
        if let Some(blob) = self.contents.get(&leaf).map(|content| content.blob.clone()) {
            self.blobs.put(blob, None);
            self.contents.put(leaf, None);
        }
    }

    fn delete_interaction(&mut self, group: u64) {
        let Some(interaction) = self.interactions.get(&group) else { return };
        for extra in interaction.extra.clone() {
            self.owners.put(extra, None);
        }
        self.interactions.put(group, None);
        // Those of its contents that nobody asked about are removed by the statement that removes them all.
        for leaf in self.parts.get(&group).cloned().unwrap_or_default() {
            if self.contents.get(&leaf).is_some_and(|content| content.interaction == group) {
                self.delete_content(leaf);
            }
        }
        for blob in self.places.get(&group).cloned().unwrap_or_default() {
            if self.blobs.get(&blob).is_some_and(|(owner, _)| *owner == group) {
                self.blobs.put(blob, None);
            }
        }
    }

    fn put_directory(&mut self, row: &'a DirectoryRow) -> Judged {
        let (block, leaf) = (row.block, row.leaf.0);
        fits(block, "put a directory block with a number beyond what is stored")?;
        fits(leaf, "put a directory block with a leaf beyond what is stored")?;
        if self.block_leaves.get(&leaf).is_some_and(|owner| *owner != block) {
            return Err(Stop::Refused("seal two directory blocks under one leaf"));
        }
        if let Some(old) = self.directory.get(&block).map(|block| block.leaf) {
            self.block_leaves.put(old, None);
        }
        self.block_leaves.put(leaf, Some(block));
        self.directory.put(block, Some(Block { leaf, new: Some((row.entries, &row.sealed)) }));
        Ok(())
    }

    fn insert_purge(&mut self, row: &'a PurgeRow) -> Judged {
        if self.purges.get(&row.id).is_some() {
            return Err(Stop::Refused("insert a second erasure of one id"));
        }
        let sealed = row.state == PurgeState::Sealed;
        if sealed != row.sealed_at.is_some()
            || sealed != row.sealed_epoch.is_some()
            || (row.removed_at.is_some() && !sealed)
        {
            return Err(Stop::Refused("insert an erasure whose state and times contradict each other"));
        }
        for number in
            [row.interactions, row.contents, row.sealed_epoch.unwrap_or(0), row.order_leaf.map_or(0, |leaf| leaf.0)]
        {
            fits(number, "insert an erasure with a number beyond what is stored")?;
        }
        let Some(serial) = self.serials.pop() else {
            return Err(Stop::Refused("insert an erasure that was not announced"));
        };
        let seal = row.sealed_epoch.and_then(stored).zip(row.sealed_at.map(to_nanos));
        let purge = Purge {
            serial,
            state: purge_state_number(row.state) as u8,
            sealed: seal,
            removed: row.removed_at.is_some(),
            removed_at: row.removed_at.map(to_nanos),
            retained_until: row.retained_until.map(to_nanos),
            drop_order: row.sealed_order.is_empty(),
            certified: false,
            certificate: None,
            removal: None,
            new: Some(row),
        };
        self.purges.put(row.id, Some(purge));
        if row.removed_at.is_none() {
            self.fresh.add(row.id, Arc::new(row.set.clone()));
        }
        Ok(())
    }

    /// Erasures are never deleted, so a mark on one that is not there is a caller's error.
    fn mark_purges(&mut self, ids: &[Uuid], mark: impl Fn(&mut Purge<'a>)) -> Judged {
        for id in ids {
            let Some(mut purge) = self.purges.get(id).cloned() else {
                return Err(Stop::Refused("mark an erasure that has no row"));
            };
            mark(&mut purge);
            self.purges.put(*id, Some(purge));
        }
        Ok(())
    }

    fn removed(&mut self, id: Uuid, at: i64) -> Judged {
        let Some(mut purge) = self.purges.get(&id).filter(|purge| purge.state == SEALED).cloned() else {
            return Err(Stop::Refused("mark an erasure removed that is not sealed"));
        };
        if !purge.removed {
            purge.removed = true;
            purge.removed_at = Some(at);
            self.covers.removed.put(purge.serial, Some(()));
            self.fresh.remove(id);
            self.purges.put(id, Some(purge));
        }
        Ok(())
    }

    fn certify(&mut self, certified: &'a Certified) -> Judged {
        let place = certified.place;
        for number in [place.entry, place.first, place.receipts, place.blobs] {
            fits(number, "certify an erasure with a number beyond what is stored")?;
        }
        let Some(mut purge) = self.purges.get(&certified.id).filter(|purge| purge.state == SEALED).cloned() else {
            return Err(Stop::Refused("certify an erasure that is not sealed"));
        };
        if !purge.certified {
            purge.certified = true;
            purge.certificate = Some(certified);
            self.purges.put(certified.id, Some(purge));
        }
        Ok(())
    }

    fn insert_credential(&mut self, row: &'a CredentialRow) -> Judged {
        if self.credentials.get(&row.id).is_some() {
            return Err(Stop::Refused("insert a second credential of one id"));
        }
        let credential = Credential { revoked_at: row.revoked_at.map(to_nanos), new: Some(row) };
        self.credentials.put(row.id, Some(credential));
        Ok(())
    }
}

/// A number a column can hold.
fn fits(number: u64, refusal: &'static str) -> Result<i64, Stop> {
    stored(number).ok_or(Stop::Refused(refusal))
}
