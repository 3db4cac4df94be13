//! A checkpoint as a live log serves it: lines of keys that were not given are passed over, and a key that the log itself
//! announced counts as one that was given.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use oubliette_proof::audit::Succession;
use oubliette_proof::entry::{Body, Entry, KeyRotation};
use oubliette_proof::note::{
    Checkpoint, KeyKind, NoteError, SignedNote, TrustedKeys, UnknownKeys, VerifiedCheckpoint, VerifierKey,
};
use oubliette_proof::tree::{TILE_WIDTH, Tile, TileKind, TileReader, entries_of_bundle};

use crate::log::Log;
use crate::report::{Outcome, Verdict, plain};

/// Most that is looked through for a change of the key before a checkpoint's signature is known to hold: entries, bytes, and
/// time.
const MOST: (u64, usize, Duration) = (1 << 20, 1 << 28, Duration::from_secs(300));

/// Most keys of one log that are gone by: as many as a file of them always has room for.
const MOST_KEYS: usize = 1_000;

/// Bundles of entries, as they were read.
pub type Bundles = BTreeMap<Tile, Vec<u8>>;

/// The keys that a reader goes by.
#[derive(Clone)]
pub struct Known {
    /// Those that were given, and those that the log was handed to since.
    pub trusted: TrustedKeys,
    /// Those of them that the log has given up, as far as is known.
    pub given_up: Vec<VerifierKey>,
    /// The entries by which keys of them were learned: without these nobody else can tell that they are the log's.
    pub handed: Bundles,
    /// Those of them to which a key agreed that had been given up.
    strays: Vec<VerifierKey>,
}

impl Known {
    /// Keys of which none is known to be given up.
    pub fn given(trusted: TrustedKeys) -> Self {
        Self { trusted, given_up: Vec::new(), handed: Bundles::new(), strays: Vec::new() }
    }

    /// Whether a key is among these that is neither known to be given up nor there by leave of such a one.
    pub fn counts(&self, signed_by: &[VerifierKey]) -> bool {
        signed_by.iter().any(|key| !self.given_up.contains(key) && !self.strays.contains(key))
    }

    /// A checkpoint that must be signed by one of these keys. `name`: what to call it.
    pub fn checkpoint(&self, text: &str, name: impl Display) -> Result<VerifiedCheckpoint, Outcome> {
        self.trusted.checkpoint(text, UnknownKeys::Ignore).map_err(|error| refused(name, &error))
    }

    /// Each of these keys as one that may be in force: what is known before anything was seen of a log.
    pub fn lines(&self) -> Vec<Succession> {
        let own = self.trusted.keys().iter().filter(|key| key.kind() == KeyKind::Note);
        own.cloned().map(Succession::since).collect()
    }

    /// Which of the log's keys have signed a checkpoint: those that are known, and those that it was handed to by them.
    pub fn signers(&self, text: &str, keys: &Succession) -> Vec<VerifierKey> {
        let mut trusted = self.trusted.clone();
        agreed_to(keys, &self.trusted).into_iter().for_each(|key| trusted.add(key));
        trusted.checkpoint(text, UnknownKeys::Ignore).map_or_else(|_| Vec::new(), |checkpoint| checkpoint.signed_by)
    }

    /// A checkpoint that is signed with one of these keys, or with one that the log was handed to by them in these bundles.
    /// With it the keys that it goes by: who signed it, and who agreed to them, one to the other.
    pub fn by_leave(&self, text: &str, bundles: &Bundles) -> Result<(VerifiedCheckpoint, Vec<VerifierKey>), NoteError> {
        let (mut trusted, mut lines) = (self.trusted.clone(), self.lines());
        for (tile, bundle) in bundles {
            for (number, rotation) in changes(*tile, bundle) {
                lines.iter_mut().for_each(|line| _ = line.add(number, &rotation));
            }
        }
        lines.iter().flat_map(Succession::keys).for_each(|key| trusted.add(key.clone()));
        let checkpoint = trusted.checkpoint(text, UnknownKeys::Ignore)?;
        let signed_by = &checkpoint.signed_by;
        let agreed = lines.iter().flat_map(|line| line.keys().skip_while(|key| !signed_by.contains(key)));
        let by = signed_by.iter().chain(agreed).cloned().collect();
        Ok((checkpoint, by))
    }

    fn is_known(&self, name: &str, id: [u8; 4]) -> bool {
        self.trusted.keys().iter().any(|key| key.name() == name && key.id() == id)
    }

    fn signed(&self, text: &str) -> bool {
        self.trusted.checkpoint(text, UnknownKeys::Ignore).is_ok_and(|checkpoint| self.counts(&checkpoint.signed_by))
    }
}

/// A signature that does not hold is an answer; a text that is no checkpoint, or not one of a key that was given, is none.
pub fn refused(name: impl Display, error: &NoteError) -> Outcome {
    let (verdict, why) = match error {
        NoteError::BadSignature(_) | NoteError::SignedTwice(_) => (Verdict::Invalid, error.to_string()),
        NoteError::NotSigned(origin) => (Verdict::BadInput, NoteError::NotSigned(plain(origin)).to_string()),
        _ => (Verdict::BadInput, error.to_string()),
    };
    Outcome::new(verdict, format!("{name}: {why}"))
}

/// A checkpoint of a log that may have changed its key since it had `from` entries. What was known of its keys then is one of
/// `lines`. Such a change is agreed to by the key before, in an entry: the keys that the log was handed to are trusted from here on. Those that
/// a key agreed to which had been given up are known too, and count for nothing.
///
/// The entries are not known to be the log's while this looks for them. They need not be: that a key signed is enough to go on;
/// that it is in force is to be seen from entries that were checked ([`not_in_force`]).
pub fn newest(
    text: &str,
    name: impl Display,
    log: &Log,
    known: &mut Known,
    mut lines: Vec<Succession>,
    from: u64,
) -> Result<VerifiedCheckpoint, Outcome> {
    match known.trusted.checkpoint(text, UnknownKeys::Ignore) {
        Ok(checkpoint) if known.counts(&checkpoint.signed_by) => return Ok(checkpoint),
        Ok(_) | Err(NoteError::NotSigned(_)) => {}
        Err(error) => return Err(refused(name, &error)),
    }
    let note = SignedNote::parse(text).map_err(|error| refused(&name, &error))?;
    let said = Checkpoint::parse(note.text()).map_err(|error| refused(&name, &error))?;
    // Without a line of a key that is yet to be found there is nothing to look for.
    let mut changes = 0;
    if note.lines().iter().any(|line| line.name == said.origin && !known.is_known(&line.name, line.key_id)) {
        search(log, log.is_folder(), &said, from, Instant::now() + MOST.2, |number, rotation, (tile, bundle)| {
            let handed =
                lines.iter_mut().filter_map(|line| line.add(number, rotation).then(|| line.in_force().cloned()));
            let handed: Vec<_> = handed.flatten().collect();
            let found = !handed.is_empty();
            if found {
                known.handed.insert(tile, bundle.to_vec());
                changes += 1;
            }
            handed.into_iter().for_each(|key| known.trusted.add(key));
            changes > MOST_KEYS || found && known.signed(text)
        });
    }
    few_enough(changes).map_err(|why| Outcome::unusable(&name, why))?;
    for stray in lines.iter().flat_map(Succession::strays) {
        if !known.trusted.keys().contains(stray) {
            known.trusted.add(stray.clone());
            known.strays.push(stray.clone());
        }
    }
    known.checkpoint(text, name)
}

/// Shows the changes of the key that a log's files have from an entry on, until one is the last that was wanted. Goes on behind a
/// file that is missing where there may be `gaps`.
fn search<R: TileReader>(
    log: &R,
    gaps: bool,
    said: &Checkpoint,
    from: u64,
    until: Instant,
    mut last: impl FnMut(u64, &KeyRotation, (Tile, &[u8])) -> bool,
) {
    let size = said.head.size.min(from.saturating_add(MOST.0));
    let mut bytes = 0;
    for index in from.saturating_sub(1) / TILE_WIDTH..size.div_ceil(TILE_WIDTH) {
        let Some(tile) = Tile::at(TileKind::Entries, index, said.head.size) else { return };
        let bundle = match log.read(tile) {
            Ok(bundle) => bundle,
            Err(_) if gaps => continue,
            Err(_) => return,
        };
        bytes += bundle.len();
        if bytes > MOST.1 || Instant::now() > until {
            return;
        }
        if entries_of_bundle(&bundle, tile.width).is_none() {
            return;
        }
        if changes(tile, &bundle).any(|(number, rotation)| last(number, &rotation, (tile, &bundle))) {
            return;
        }
    }
}

/// The changes of the key in a bundle, with the numbers of their entries.
fn changes(tile: Tile, bundle: &[u8]) -> impl Iterator<Item = (u64, KeyRotation)> {
    let entries = entries_of_bundle(bundle, tile.width).unwrap_or_default();
    (tile.index * TILE_WIDTH..).zip(entries).filter_map(|(number, entry)| match Entry::decode(entry) {
        Ok(Entry { body: Body::KeyRotation(rotation), .. }) => Some((number, rotation)),
        _ => None,
    })
}

/// Refuses a log with more keys than are gone by.
pub fn few_enough(keys: usize) -> Result<(), String> {
    if keys > MOST_KEYS { Err(format!("its log was handed to more keys than {MOST_KEYS}")) } else { Ok(()) }
}

/// The keys of a log from the first on that is trusted, the one in force first: each agreed to the next.
pub fn agreed_to(keys: &Succession, trusted: &TrustedKeys) -> Vec<VerifierKey> {
    let own: Vec<_> = keys.keys().collect();
    let first = own.iter().rposition(|key| trusted.keys().contains(key));
    let mut agreed: Vec<VerifierKey> = Vec::new();
    for key in &own[..first.map_or(0, |first| first + 1)] {
        if !agreed.contains(key) {
            agreed.push((*key).clone());
        }
    }
    agreed
}

/// What to say of a log that is signed by these keys where another one is in force.
pub fn not_in_force(origin: &str, signed_by: &[VerifierKey], keys: &Succession, known: &Known) -> String {
    let now = keys.in_force().map(VerifierKey::to_string).unwrap_or_default();
    let stray = |key: &VerifierKey| keys.strays().contains(key) || known.strays.contains(key);
    if signed_by.iter().any(|key| keys.has(key) || known.given_up.contains(key)) {
        format!("the log {origin} is signed with a key that it has given up: it was handed to {now}")
    } else if signed_by.iter().any(stray) {
        format!("the log {origin} is signed by leave of a key that it has given up: it was handed to {now}")
    } else {
        format!("the log {origin} is signed with a key that it was not handed to: its key is {now}")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use oubliette_proof::Hash;
    use oubliette_proof::tree::TreeHead;

    use super::*;

    /// Has an entry without a meaning at every place, and takes its time.
    struct Endless(Cell<usize>);

    impl TileReader for Endless {
        type Error = ();

        fn read(&self, tile: Tile) -> Result<Vec<u8>, ()> {
            self.0.set(self.0.get() + 1);
            std::thread::sleep(Duration::from_millis(20));
            Ok([0, 1, 7].repeat(usize::from(tile.width)))
        }
    }

    #[test]
    fn the_search_for_a_key_ends() {
        let head = TreeHead { size: 1 << 63, root: Hash([7; 32]) };
        let said = Checkpoint { origin: "log.example".to_owned(), head, extensions: Vec::new() };
        let (log, begun) = (Endless(Cell::default()), Instant::now());
        search(&log, false, &said, 0, begun + Duration::from_millis(200), |_, _, _| false);
        assert!(log.0.get() > 2 && log.0.get() < 20 && begun.elapsed() < Duration::from_secs(5), "{}", log.0.get());
    }
}
