//! What came in: interactions and contents by leaf, as the metadata keeps it until an ingest batch of the log holds it, and
//! for ever after.
//!
//! ```text
//! item   tenant ‖ leaf ‖ kind [‖ interaction] [‖ commitment 32]       numbers as varints
//! kind   0 interaction (its leaf 0), 1 content under a leaf of its interaction's group, 2 content of another group
//! ```
//! Until a batch holds them they lie in *notes*, one a transaction: time ‖ length ‖ items. Notes stand one after the other, so
//! those of several transactions can be put together without being read.

use jiff::Timestamp;
use keyforest::{Group, Leaf};

use super::codec::{put, take, take_bytes, take_count};
use crate::model::TenantId;
use crate::ports::{ContentRow, InteractionRow};

/// Groups in one place of an ingest batch: a bucket of the key forest.
const GROUPS_IN_PLACE: u64 = 128;

/// One thing that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its tenant.
    pub tenant: TenantId,
    /// The interaction's leaf 0, or the content's leaf.
    pub leaf: Leaf,
    /// The interaction.
    pub interaction: Group,
    /// Commitment of a content's sealed bytes; `None` for the interaction itself.
    pub blob: Option<[u8; 32]>,
}

impl Arrival {
    /// A new interaction.
    pub fn of_interaction(row: &InteractionRow) -> Self {
        Self { tenant: row.tenant, leaf: row.group.leaf(0), interaction: row.group, blob: None }
    }

    /// A new content.
    pub fn of_content(tenant: TenantId, row: &ContentRow) -> Self {
        Self { tenant, leaf: row.leaf, interaction: row.interaction, blob: Some(row.commitment) }
    }
}

/// Writes items.
pub fn write_arrivals<'a>(items: impl IntoIterator<Item = &'a Arrival>) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        put(&mut out, u64::from(item.tenant.0));
        put(&mut out, item.leaf.0);
        let Some(blob) = item.blob else {
            out.push(0);
            continue;
        };
        let own = Group::of(item.leaf) == item.interaction;
        out.push(if own { 1 } else { 2 });
        if !own {
            put(&mut out, item.interaction.0);
        }
        out.extend_from_slice(&blob);
    }
    out
}

/// Reads items; `None` when it is not what [`write_arrivals`] writes.
pub fn read_arrivals(mut bytes: &[u8]) -> Option<Vec<Arrival>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let tenant = TenantId(u32::try_from(take(&mut bytes)?).ok()?);
        let leaf = Leaf(take(&mut bytes)?);
        let kind = take(&mut bytes)?;
        let interaction = match kind {
            0 | 1 => Group::of(leaf),
            2 => Group(take(&mut bytes)?),
            _ => return None,
        };
        let blob = if kind == 0 { None } else { Some(take_bytes(&mut bytes, 32)?.try_into().ok()?) };
        items.push(Arrival { tenant, leaf, interaction, blob });
    }
    Some(items)
}

/// Writes a note of what came in at this time.
pub fn write_note<'a>(at: Timestamp, items: impl IntoIterator<Item = &'a Arrival>) -> Vec<u8> {
    let items = write_arrivals(items);
    let mut out = Vec::with_capacity(items.len() + 8);
    put(&mut out, u64::try_from(at.as_second()).unwrap_or(0));
    put(&mut out, items.len() as u64);
    out.extend_from_slice(&items);
    out
}

/// Reads notes: the first and the last second, and the items of all.
pub fn read_notes(mut bytes: &[u8]) -> Option<([u64; 2], Vec<Arrival>)> {
    let (mut times, mut items) = ([u64::MAX, 0], Vec::new());
    while !bytes.is_empty() {
        let at = take(&mut bytes)?;
        let length = take_count(&mut bytes)?;
        items.append(&mut read_arrivals(take_bytes(&mut bytes, length)?)?);
        times = [times[0].min(at), times[1].max(at)];
    }
    Some((times, items))
}

/// Where an interaction's arrivals are looked for.
pub fn place_of(interaction: Group) -> u64 {
    interaction.0 / GROUPS_IN_PLACE
}

/// Where a batch of these items is to be found.
pub fn batch_places(items: &[Arrival]) -> Vec<u64> {
    let mut places: Vec<u64> = items.iter().map(|item| place_of(item.interaction)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_survive_their_encoding_and_can_be_put_together() {
        let items = [
            Arrival { tenant: TenantId(1), leaf: Leaf(80), interaction: Group(10), blob: None },
            Arrival { tenant: TenantId(1), leaf: Leaf(81), interaction: Group(10), blob: Some([3; 32]) },
            Arrival { tenant: TenantId(70_000), leaf: Leaf(90_001), interaction: Group(10), blob: Some([4; 32]) },
        ];
        let bytes = [write_arrivals(&items[..1]), write_arrivals(&items[1..])].concat();
        assert_eq!(read_arrivals(&bytes).unwrap(), items);
        assert_eq!(bytes.len(), 3 + 3 + 32 + 3 + 3 + 1 + 1 + 32);
        for length in 1..bytes.len() {
            let whole = [3, 38].contains(&length);
            assert_eq!(read_arrivals(&bytes[..length]).is_some(), whole, "{length}");
        }
        assert_eq!(batch_places(&items), [0]);
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let notes = [write_note(at(900), &items[1..]), write_note(at(70), &items[..1])].concat();
        let (times, read) = read_notes(&notes).unwrap();
        assert_eq!((times, read.len(), &read[2]), ([70, 900], 3, &items[0]));
        assert!(read_notes(&notes[..notes.len() - 1]).is_none());
    }
}
