//! Interactions and their contents, brought into line: whatever differs at the new place becomes what it is at the old one.
//!
//! The same work is the first copy, the going on after a kill, the catching up with changes and the comparison in the end. A
//! row is written after its contents were read back at the new place, and a content goes there before its row does. What is
//! erased here counts as not being here, whether its row is still there or not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use keyforest::{Forest, Group, Leaf, LeafStatus};
use oubliette_core::model::{SizeClass, TenantId};
use oubliette_core::ports::{
    Applied, BlobRef, ContentRow, InteractionRow, Metadata, PortError, PortErrorKind, Removal, Transaction, Write,
};

use super::blobs::{BlobCopier, Copied};
use super::{MoveError, Shown};

/// Interactions looked at together: the most the port gives.
pub const STEP: usize = 1_000;
/// Contents copied at the same time, by whether they are small.
const PARALLEL_SMALL: usize = 64;
const PARALLEL_LARGE: usize = 4;
/// A content is small that the stores pack together with others: its length takes this many bits at most.
const SMALL: SizeClass = SizeClass(18);
/// Rows in one transaction.
const WRITES: usize = 2_000;

/// From where to where.
pub struct RowCopier {
    /// The old rows.
    pub from: Arc<dyn Metadata>,
    /// The old keys, which say what is erased.
    pub forest: Arc<Forest>,
    /// The new rows.
    pub to: Arc<dyn Metadata>,
    /// The contents.
    pub blobs: BlobCopier,
    /// For who watches.
    pub shown: Arc<Shown>,
}

/// An interaction with its contents by leaf.
struct Whole {
    row: InteractionRow,
    contents: BTreeMap<u64, ContentRow>,
}

/// What bringing into line came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Live interactions looked at.
    pub interactions: u64,
    /// Their contents.
    pub contents: u64,
    /// Interactions that were written, written anew or removed.
    pub changed: u64,
    /// Contents copied.
    pub copied: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// Copies of erased contents that the bucket does not let go of before a time.
    pub retained: u64,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.interactions += other.interactions;
        self.contents += other.contents;
        self.changed += other.changed;
        self.copied += other.copied;
        self.bytes += other.bytes;
        self.retained += other.retained;
    }
}

impl RowCopier {
    /// Brings these interactions into line, at most [`STEP`] of them.
    pub async fn groups(&self, groups: &[Group]) -> Result<Tally, MoveError> {
        let here = self.here(groups).await?;
        let mut there = whole(&*self.to, groups).await?;
        let mut tally = Tally::default();
        let mut written = Vec::new();
        let (mut dropped, mut removed) = (Vec::new(), Vec::new());
        for (group, mine) in here {
            tally.interactions += 1;
            tally.contents += mine.contents.len() as u64;
            let Some(theirs) = there.remove(&group) else {
                written.push((mine, BTreeMap::new()));
                continue;
            };
            if same(&mine, &theirs) {
                continue;
            }
            let mut kept = BTreeMap::new();
            for (leaf, content) in theirs.contents {
                match mine.contents.get(&leaf) {
                    Some(same) if same.commitment == content.commitment => drop(kept.insert(leaf, content.blob)),
                    _ => removed.push(content.blob),
                }
            }
            dropped.push(Group(group));
            written.push((mine, kept));
        }
        for (group, theirs) in there {
            dropped.push(Group(group));
            removed.extend(theirs.contents.into_values().map(|content| content.blob));
        }
        tally.changed = (written.len() + dropped.len()) as u64;
        // Blobs first: as long as a row names one it is found again after a kill.
        tally.retained += self.remove(&removed).await?;
        let copies = self.copy(&written, &mut tally).await?;
        for some in dropped.chunks(STEP) {
            self.apply(vec![Write::DeleteInteractions(some.to_vec())]).await?;
        }
        self.insert(written, copies).await?;
        Ok(tally)
    }

    /// The interactions of contents that are known by their leaf, here and there.
    pub async fn groups_of(&self, leaves: &[Leaf]) -> Result<Vec<u64>, MoveError> {
        let mut groups = Vec::new();
        for some in leaves.chunks(STEP) {
            for rows in [self.from.contents_by_leaf(some).await?, self.to.contents_by_leaf(some).await?] {
                groups.extend(rows.iter().map(|row| row.interaction.0));
            }
        }
        Ok(groups)
    }

    /// What is live here of these interactions.
    async fn here(&self, groups: &[Group]) -> Result<BTreeMap<u64, Whole>, MoveError> {
        let mut all = whole(&*self.from, groups).await?;
        let leaves: Vec<Leaf> = all
            .values()
            .flat_map(|one| one.contents.keys().map(|leaf| Leaf(*leaf)).chain([one.row.group.leaf(0)]))
            .collect();
        let live = live(&self.forest, leaves).await?;
        all.retain(|group, one| {
            one.contents.retain(|leaf, _| live.get(leaf).copied().unwrap_or(false));
            live.get(&Group(*group).leaf(0).0).copied().unwrap_or(false)
        });
        Ok(all)
    }

    /// Removes copies of what is not here any more; how many the bucket keeps for now.
    async fn remove(&self, blobs: &[BlobRef]) -> Result<u64, MoveError> {
        let mut retained = 0;
        for some in blobs.chunks(STEP) {
            for outcome in self.blobs.to.remove(some).await? {
                match outcome {
                    Removal::Removed => {}
                    Removal::Retained { .. } => retained += 1,
                    Removal::Failed(why) => {
                        return Err(PortError::bare(PortErrorKind::Unavailable, why).into());
                    }
                }
            }
        }
        Ok(retained)
    }

    /// Copies what is not there yet; where each content lies by its leaf. One that was erased on the way has none.
    async fn copy(
        &self,
        written: &[(Whole, BTreeMap<u64, BlobRef>)],
        tally: &mut Tally,
    ) -> Result<HashMap<u64, BlobRef>, MoveError> {
        let (mut small, mut large) = (Vec::new(), Vec::new());
        let mut places = HashMap::new();
        for (one, kept) in written {
            for (leaf, content) in &one.contents {
                match kept.get(leaf) {
                    Some(blob) => drop(places.insert(*leaf, blob.clone())),
                    None if content.size_class.0 > SMALL.0 => large.push((one.row.tenant, content.clone())),
                    None => small.push((one.row.tenant, content.clone())),
                }
            }
        }
        for (jobs, parallel) in [(small, PARALLEL_SMALL), (large, PARALLEL_LARGE)] {
            let mut copies =
                stream::iter(jobs).map(|(tenant, content)| self.copy_owned(tenant, content)).buffer_unordered(parallel);
            while let Some((leaf, copied)) = copies.try_next().await? {
                let Some(Copied { blob, bytes }) = copied else { continue };
                tally.copied += 1;
                tally.bytes += bytes;
                self.shown.copied(bytes);
                places.insert(leaf.0, blob);
            }
        }
        Ok(places)
    }

    async fn copy_owned(&self, tenant: TenantId, row: ContentRow) -> Result<(Leaf, Option<Copied>), MoveError> {
        Ok((row.leaf, self.copy_one(tenant, &row).await?))
    }

    /// One content; `None` when it was erased meanwhile.
    async fn copy_one(&self, tenant: TenantId, row: &ContentRow) -> Result<Option<Copied>, MoveError> {
        let error = match self.blobs.copy(tenant, row).await {
            Ok(copied) => return Ok(Some(copied)),
            Err(error) => error,
        };
        if !live(&self.forest, vec![row.leaf]).await?[&row.leaf.0] {
            return Ok(None);
        }
        // Moved here while it was read, or gone in a way that is noted and looked at again.
        let again = self.from.contents_by_leaf(&[row.leaf]).await?;
        match again.first() {
            None => Ok(None),
            Some(now) if now.blob != row.blob => Ok(Some(self.blobs.copy(tenant, now).await?)),
            Some(_) => Err(error.into()),
        }
    }

    /// Writes interactions with their contents as they are here: every insertion of a content counts one version on.
    async fn insert(
        &self,
        written: Vec<(Whole, BTreeMap<u64, BlobRef>)>,
        mut places: HashMap<u64, BlobRef>,
    ) -> Result<(), MoveError> {
        let mut writes = Vec::new();
        for (one, _) in written {
            let mut contents = Vec::new();
            for (leaf, mut content) in one.contents {
                let Some(blob) = places.remove(&leaf) else { continue };
                content.blob = blob;
                contents.push(Write::InsertContent(content));
            }
            let mut row = one.row;
            // Below zero only for one that was changed between two reads: it is looked at again.
            row.version = row.version.saturating_sub(contents.len() as u64);
            if !writes.is_empty() && writes.len() + contents.len() >= WRITES {
                self.apply(std::mem::take(&mut writes)).await?;
            }
            writes.push(Write::InsertInteraction(row));
            writes.append(&mut contents);
        }
        if writes.is_empty() { Ok(()) } else { self.apply(writes).await }
    }

    async fn apply(&self, writes: Vec<Write>) -> Result<(), MoveError> {
        apply(&*self.to, writes).await
    }
}

/// Writes at the new place; nothing is checked there, for nobody else writes.
pub async fn apply(to: &dyn Metadata, writes: Vec<Write>) -> Result<(), MoveError> {
    match to.apply(Transaction { name: "move.copy", checks: Vec::new(), writes }).await? {
        Applied::Done(_) => Ok(()),
        Applied::Failed(_) => Err(PortError::bare(PortErrorKind::Corrupt, "copy rows").into()),
    }
}

/// Which of these leaves can be opened. A key page may have to be read for it.
pub async fn live(forest: &Arc<Forest>, leaves: Vec<Leaf>) -> Result<HashMap<u64, bool>, MoveError> {
    let forest = Arc::clone(forest);
    super::blocking(move || {
        let mut live = HashMap::with_capacity(leaves.len());
        for leaf in leaves {
            live.insert(leaf.0, forest.status(leaf)? == LeafStatus::Live);
        }
        Ok(live)
    })
    .await?
}

async fn whole(metadata: &dyn Metadata, groups: &[Group]) -> Result<BTreeMap<u64, Whole>, MoveError> {
    let rows = metadata.interactions(groups).await?;
    let mut all: BTreeMap<u64, Whole> =
        rows.into_iter().map(|row| (row.group.0, Whole { row, contents: BTreeMap::new() })).collect();
    let there: Vec<Group> = all.keys().map(|group| Group(*group)).collect();
    if there.is_empty() {
        return Ok(all);
    }
    for content in metadata.contents(&there).await? {
        // A row that came between both questions is noted, and looked at again.
        if let Some(one) = all.get_mut(&content.interaction.0) {
            one.contents.insert(content.leaf.0, content);
        }
    }
    Ok(all)
}

fn same(mine: &Whole, theirs: &Whole) -> bool {
    let (a, b) = (&mine.row, &theirs.row);
    a.tenant == b.tenant
        && a.kind == b.kind
        && a.state == b.state
        && a.start_hour == b.start_hour
        && a.next_leaf == b.next_leaf
        && a.extra_groups == b.extra_groups
        && a.directory_block == b.directory_block
        && a.version == b.version
        && a.sealed_meta == b.sealed_meta
        && mine.contents.len() == theirs.contents.len()
        && mine.contents.values().zip(theirs.contents.values()).all(|(a, b)| {
            a.leaf == b.leaf
                && a.kind == b.kind
                && a.size_class == b.size_class
                && a.commitment == b.commitment
                && a.sealed_meta == b.sealed_meta
        })
}
