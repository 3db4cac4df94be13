//! A checkpoint as a live log serves it: lines of keys that were not given are passed over, and a key that the log itself
//! announced counts as one that was given.

use oubliette_proof::entry::{Body, Entry};
use oubliette_proof::note::{Checkpoint, NoteError, SignedNote, TrustedKeys, UnknownKeys, VerifiedCheckpoint};
use oubliette_proof::tree::{TILE_WIDTH, Tile, TileKind, TileReader, entries_of_bundle};

use crate::log::Log;
use crate::report::Outcome;

/// Most that is looked through for a change of the key before a checkpoint's signature is known to hold: entries, and bytes.
const MOST: (u64, usize) = (1 << 20, 1 << 28);

/// A checkpoint that must be signed by a key that was given. `name`: what to call it.
pub fn checkpoint(text: &str, name: impl std::fmt::Display, keys: &TrustedKeys) -> Result<VerifiedCheckpoint, Outcome> {
    keys.checkpoint(text, UnknownKeys::Ignore).map_err(|error| Outcome::unusable(name, error))
}

/// A checkpoint of a log that may have changed its key since it had `from` entries. Such a change is agreed to by the key
/// before, in an entry: the keys that the log was handed to are added to `keys`.
///
/// The entries are not known to be the log's while this looks for them. They need not be: the signature in such an entry is what
/// a key is believed for.
pub fn newest(
    text: &str,
    name: impl std::fmt::Display,
    log: &Log,
    keys: &mut TrustedKeys,
    from: u64,
) -> Result<VerifiedCheckpoint, Outcome> {
    let unusable = |error| Outcome::unusable(&name, error);
    let not_signed = match keys.checkpoint(text, UnknownKeys::Ignore) {
        Err(error @ NoteError::NotSigned(_)) => error,
        other => return other.map_err(unusable),
    };
    let said = SignedNote::parse(text).and_then(|note| Checkpoint::parse(note.text())).map_err(unusable)?;
    let size = said.head.size.min(from.saturating_add(MOST.0));
    let mut bytes = 0;
    for index in from.saturating_sub(1) / TILE_WIDTH..size.div_ceil(TILE_WIDTH) {
        let Some(tile) = Tile::at(TileKind::Entries, index, said.head.size) else { break };
        let Ok(bundle) = log.read(tile) else { break };
        bytes += bundle.len();
        if bytes > MOST.1 {
            break;
        }
        let Some(entries) = entries_of_bundle(&bundle, tile.width) else { break };
        let learned = entries.into_iter().filter_map(|entry| match Entry::decode(entry).ok()?.body {
            Body::KeyRotation(rotation) => keys.learn(&said.origin, &rotation),
            _ => None,
        });
        if learned.count() > 0
            && let Ok(checkpoint) = keys.checkpoint(text, UnknownKeys::Ignore)
        {
            return Ok(checkpoint);
        }
    }
    Err(unusable(not_signed))
}
