//! Files that say themselves whether they are as they were written: the journal, the log, the list of parties.
//!
//! Pages are judged by the state in force, which knows their hashes. These files carry sums of their own, so two copies of one
//! can be compared without a vault: how much at the front of each is *whole*. They are only ever appended to, so a copy that
//! goes on where the other is no longer whole has what the other lost. Where both are whole and differ, the one that the vault
//! works with counts: what it wrote once more in the same place was never acknowledged before.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use keyforest::{LONGEST_JOURNAL_FILE, pack_number, whole_journal};
use oubliette_core::service::whole_log_file;

use super::CHUNK;
use crate::media::{Place, parties};

/// Bytes of the log's newest files that are looked through at a start: what is opened without an index, and more. Older ones
/// are looked at when they are read.
const LOOKED_THROUGH: u64 = 64 << 20;

/// No pack, and no file of the log, is longer: both begin a new one far below.
const LONGEST_PACK: u64 = 1 << 32;
const LONGEST_LOG_FILE: u64 = 1 << 33;
/// As of [`whole_log_file`]'s index: one that is longer is not read.
const LONGEST_LOG_INDEX: u64 = 1 << 21;

/// Reads bytes of a file: where from, how many.
pub(super) type Read<'a> = &'a dyn Fn(u64, usize) -> io::Result<Vec<u8>>;

/// What kind of file one is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Journal,
    Log,
    /// The list of parties of this number.
    Parties(u32),
    /// It does not say itself whether it is whole.
    Other,
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        if whole_journal(name, &[]).is_some() {
            Self::Journal
        } else if whole_log_file(name, 0, |_, _| Ok(Vec::new())).is_some() {
            Self::Log
        } else {
            parties::number(name).map_or(Self::Other, Self::Parties)
        }
    }
}

/// How long a file of this name may be; `None` for a name that no file of a key state has.
pub(super) fn longest(name: &str) -> Option<u64> {
    match Kind::of(name) {
        Kind::Journal => Some(LONGEST_JOURNAL_FILE),
        Kind::Log => Some(LONGEST_LOG_FILE),
        Kind::Parties(_) => Some(parties::MOST_BYTES),
        Kind::Other if name.starts_with("log-") && name.ends_with(".oli") => Some(LONGEST_LOG_INDEX),
        Kind::Other => pack_number(name).map(|_| LONGEST_PACK),
    }
}

/// Numbers that a mirror's files may have whatever the vault's own have, as where those are lost. Half of all there are, so that
/// none are ever used up.
const ANY_NUMBER: u32 = 1 << 31;
/// How far ahead of the vault's own a mirror's files may be beyond that.
const AHEAD: u32 = 1 << 10;

/// What a file of the key state is numbered among (its kind, and which log), and its number: names of a kind sort by it, and
/// the next file has the next one.
fn numbered(name: &str) -> Option<(&str, u32)> {
    longest(name)?;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (among, number) = stem.rsplit_once('-')?;
    Some((among, number.parse().ok()?))
}

/// The file of a mirror, if there is one, whose number is so high that taking it over would leave none for those to come.
pub(super) fn beyond<'a>(ours: &[(String, u64)], theirs: &'a [(String, u64)]) -> Option<&'a str> {
    let mut highest = BTreeMap::new();
    for (among, number) in ours.iter().filter_map(|(name, _)| numbered(name)) {
        let known = highest.entry(among).or_insert(0);
        *known = number.max(*known);
    }
    let names = theirs.iter().map(|(name, _)| name.as_str()).filter(|name| longest(name).is_some());
    names.into_iter().find(|name| {
        let of =
            |(among, number)| number <= ANY_NUMBER.max(highest.get(among).copied().unwrap_or(0).saturating_add(AHEAD));
        !numbered(name).is_some_and(of)
    })
}

/// What a mirror's place lists. The lengths are what it says: nothing is read, copied or reserved by one that no file of its
/// name has.
///
/// # Errors
/// The place's, and one when it lists such a file.
pub(super) fn listed(place: &dyn Place) -> io::Result<Vec<(String, u64)>> {
    let listed = place.list()?;
    match listed.iter().find(|(name, len)| longest(name).is_some_and(|longest| *len > longest)) {
        Some((name, len)) => {
            Err(io::Error::other(format!("it lists {name} with {len} bytes, and no file of that name has so many")))
        }
        None => Ok(listed),
    }
}

/// How many bytes at the front of a file of `len` bytes are as they were written; 0 for one that does not say so itself.
pub(super) fn whole(name: &str, len: u64, read: Read<'_>) -> io::Result<u64> {
    if longest(name).is_none_or(|longest| len > longest) {
        return Ok(0);
    }
    let all = || read(0, usize::try_from(len).map_err(io::Error::other)?);
    match Kind::of(name) {
        Kind::Journal if len > 0 => Ok(whole_journal(name, &all()?).unwrap_or(0)),
        Kind::Log => whole_log_file(name, len, read).unwrap_or(Ok(0)),
        Kind::Parties(_) if len > 0 => Ok(if parties::is_whole(&all()?) { len } else { 0 }),
        _ => Ok(0),
    }
}

/// Whether two copies have the same bytes in a range.
pub(super) fn same(range: &Range<u64>, one: Read<'_>, other: Read<'_>) -> io::Result<bool> {
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(CHUNK) as usize;
        if one(at, len)? != other(at, len)? {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

/// The files that are compared before anything reads them, of those listed: the journal's, and the log's newest.
pub(super) fn read_first(listed: &[(String, u64)]) -> BTreeMap<String, u64> {
    let (mut left, mut found) = (LOOKED_THROUGH, BTreeMap::new());
    let listed: BTreeMap<&String, u64> = listed.iter().map(|(name, len)| (name, *len)).collect();
    // Names sort by number.
    for (name, len) in listed.into_iter().rev() {
        let first = match Kind::of(name) {
            Kind::Log => {
                let newest = left > 0;
                left = left.saturating_sub(len);
                newest
            }
            kind => kind == Kind::Journal,
        };
        if first {
            found.insert(name.clone(), len);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_key_state_have_a_length_and_each_kind_its_own() {
        for (name, len) in [
            ("journal-00000004.kfj", LONGEST_JOURNAL_FILE),
            ("pack-00000001.kfp", LONGEST_PACK),
            ("log-0001-00000003.olf", LONGEST_LOG_FILE),
            ("log-0001-index-00000000.oli", LONGEST_LOG_INDEX),
            ("parties-00000001", 1 << 20),
        ] {
            assert_eq!(longest(name), Some(len), "{name}");
        }
        for name in
            ["holiday.jpg", "pack-1.kfp", "pack-+0000001.kfp", "journal-1.kfj", "parties-1", "mirror", "reserve"]
                .into_iter()
                .chain(["pack-000000001.kfp", "journal-000000004.kfj", "parties-000000001", "log-0001-000000003.olf"])
        {
            assert_eq!(longest(name), None, "{name}");
        }
    }

    #[test]
    fn a_mirrors_file_is_not_numbered_so_high_that_none_is_left_for_those_to_come() {
        let list = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 0)).collect::<Vec<_>>();
        for name in ["pack-4294967294.kfp", "journal-4294967295.kfj", "parties-4294967295", "log-0001-2147483649.olf"] {
            let theirs = list(&["pack-00000007.kfp", name, "mirror"]);
            assert_eq!(beyond(&list(&["pack-00000007.kfp"]), &theirs), Some(name));
            let ours = list(&["log-0000-4294967290.olf"]);
            assert_eq!(beyond(&ours, &theirs), Some(name), "of another kind");
            assert_eq!(beyond(&theirs, &theirs), None, "the vault has it as well");
        }
        let far = list(&[
            "pack-2147483648.kfp",
            "journal-00000009.kfj",
            "log-0001-index-00000003.oli",
            "holiday-99999999999.jpg",
        ]);
        assert_eq!(beyond(&[], &far), None);
        let ahead = |number: u32| list(&[&format!("pack-{number}.kfp")]);
        let ours = ahead(3_000_000_000);
        assert_eq!(beyond(&ours, &ahead(3_000_001_024)), None);
        assert!(beyond(&ours, &ahead(3_000_001_025)).is_some());
    }

    #[test]
    fn the_journal_and_the_newest_files_of_the_log_are_read_first() {
        let log = |ordinal: u32, number: u32| format!("log-{ordinal:04}-{number:08}.olf");
        let listed: Vec<(String, u64)> = [
            (log(0, 9), 1 << 20),
            (log(1, 1), 40 << 20),
            (log(1, 2), 20 << 20),
            (log(1, 3), 5 << 20),
            ("log-0001-index-00000000.oli".to_owned(), 9000),
            ("journal-00000004.kfj".to_owned(), 16),
            ("pack-00000001.kfp".to_owned(), 1 << 28),
            ("parties-00000001".to_owned(), 100),
        ]
        .into();
        let first: Vec<String> = read_first(&listed).into_keys().collect();
        assert_eq!(first, ["journal-00000004.kfj".to_owned(), log(1, 1), log(1, 2), log(1, 3)]);
    }
}
