//! Making a mirror's place hold what the primary holds. Five rules:
//!
//! - *Flushed before believed.* Every file is flushed once whenever the place is opened. Where a flush may have failed, the
//!   file is in doubt from there on until it was written again: a page cache says what the disk never got.
//! - *Compared.* Lengths and the end of every file; what is copied is read back.
//! - *Nothing is lost that the primary does not have.* Before bytes of the place are overwritten, cut or removed, somebody who
//!   knows the state in force reads from the primary whatever it needs of that range ([`super::super::Vouch`]): pages, and the
//!   journal's records. Whole entries of the log stay where the primary's are not whole.
//! - *Entries of the log go both ways.* What the place has at the end of an earlier start's file is put into the primary's.
//! - *Only by who has the primary.* Before each change the primary is asked whether another process has taken it over.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::PoisonError;

use keyforest::media::Medium;

use super::super::records::{self, Kind};
use super::super::standing::chain;
use super::super::{CHUNK, is_shared};
use super::Follower;
use crate::media::Place;
use crate::media::parties::note_failed;
use crate::media::place::{difference, joined};

/// The end of each file that is compared byte by byte whenever a place is opened: all that a process which ended amid copying
/// may have left there unflushed.
const TAIL: u64 = CHUNK;

impl Follower {
    /// Makes files, lengths and ends the same as those of the primary.
    pub(super) fn alike(&mut self, place: &dyn Place) -> io::Result<u64> {
        let shared = |files: Vec<(String, u64)>| -> BTreeMap<String, u64> {
            files.into_iter().filter(|(name, _)| is_shared(name)).collect()
        };
        let there = shared(records::listed(place)?);
        let mut copied = self.take_back_entries(place, &there)?;
        let here = shared(self.primary.list()?);
        for (name, len) in &here {
            match there.get(name) {
                None => place.create(name, 0)?,
                Some(found) => {
                    if found > len {
                        self.vouched(place, name, &(*len..*found))?;
                        place.truncate(name, *len)?;
                    }
                    self.flush_first(place, name)?;
                }
            }
            let held = place.held(name)?;
            let mut due = difference(&self.primary.held(name)?, &held);
            let end = held.last().map_or(0, |range| range.end);
            let doubted = self.doubted.get(name).map(|from| *from..*len);
            for again in self.different_end(place, name, end.min(*len))?.into_iter().chain(doubted) {
                self.vouched(place, name, &(again.start..again.end.min(end)))?;
                due.push(again);
            }
            due.sort_by_key(|range| range.start);
            copied += self.copy(place, name, &joined(due))?;
        }
        // Last: what was carried over to a new file is there by now.
        for (name, len) in there.iter().filter(|(name, _)| !here.contains_key(*name)) {
            // Not the key state's: it is not taken over either, and is whoever's put it there.
            if records::longest(name).is_none() {
                continue;
            }
            self.vouched(place, name, &(0..*len))?;
            place.remove(name)?;
            self.doubted.remove(name);
        }
        Ok(copied)
    }

    /// Entries of the log at the end of a file that the primary has not, and the place has: a power cut took them from one of
    /// the two, or the primary's disk lost them, and nobody knows which. They are put where the primary lacks them. Only in
    /// files of before this start: those are not appended to again, and who goes on with the log began a new one that says
    /// from which entry on the earlier ones do not count.
    fn take_back_entries(&self, place: &dyn Place, there: &BTreeMap<String, u64>) -> io::Result<u64> {
        let mut taken = 0;
        for (name, len) in self.primary.list()? {
            let begun_now = || self.log_files.lock().unwrap_or_else(PoisonError::into_inner).contains(&name);
            let Some(theirs) = there.get(&name).copied().filter(|_| Kind::of(&name) == Kind::Log && !begun_now())
            else {
                continue;
            };
            if theirs == len && self.different_end(place, &name, len)?.is_none() {
                continue;
            }
            let own = |at, len| self.primary.read_at(&name, at, len);
            let copy = |at, len| place.read_back(&name, at, len);
            let (ours, theirs) = (records::whole(&name, len, &own)?, records::whole(&name, theirs, &copy)?);
            if theirs <= ours || !records::same(&(0..ours), &own, &copy)? {
                continue;
            }
            self.primary.confirm()?;
            let mut at = ours;
            while at < theirs {
                let len = (theirs - at).min(CHUNK);
                self.primary.write_at(&name, at, &place.read_back(&name, at, len as usize)?)?;
                at += len;
            }
            // Looked at once more it would read as it was written.
            self.primary.flush(&name).inspect_err(note_failed)?;
            let (mirror, bytes) = (&self.shared.name, theirs - ours);
            tracing::warn!(
                mirror,
                file = name,
                bytes,
                "entries of the log that were missing here are taken over from a mirror"
            );
            taken += bytes;
        }
        Ok(taken)
    }

    /// Flushes what an earlier process, or an earlier opening, left to the system's leisure. When that fails nobody knows what
    /// of the file was lost.
    fn flush_first(&mut self, place: &dyn Place, name: &str) -> io::Result<()> {
        let before = self.doubted.insert(name.to_owned(), 0);
        place.flush(name)?;
        match before {
            Some(from) => self.doubted.insert(name.to_owned(), from),
            None => self.doubted.remove(name),
        };
        Ok(())
    }

    /// Whether what the place has in this range may go.
    fn vouched(&self, place: &dyn Place, name: &str, range: &Range<u64>) -> io::Result<()> {
        self.primary.confirm()?;
        let vouch = self.vouch.as_ref().ok_or_else(|| io::Error::other("the key state is not open yet"))?;
        // Of one trait into the other: a place is a medium.
        let copy: &dyn Medium = place;
        vouch(&*self.primary, copy, name, range).and_then(|()| self.has_records(place, name, range)).map_err(|error| {
            let cause = chain(&error);
            if let Kind::Parties(_) = Kind::of(name) {
                return io::Error::other(format!(
                    "the key state's own place does not hold the list of parties {name} whole ({cause}), and this mirror may: \
                     nothing of it was changed, do not empty it. Stop the server; if that file is still in the key state's place, \
                     copy the mirror's over it; start again: a list that is missing is taken over from the mirror"
                ));
            }
            io::Error::other(format!(
                "the key state's own place does not hold what is needed of {name} ({cause}), and this mirror may: nothing of \
                 it was changed. Stop the server, move that file out of the key state's place and start again: it is taken \
                 over from the mirror"
            ))
        })
    }

    /// Whether the primary has, whole, what the place's copy of a range says of itself to be whole.
    fn has_records(&self, place: &dyn Place, name: &str, range: &Range<u64>) -> io::Result<()> {
        let kind = Kind::of(name);
        if matches!(kind, Kind::Other | Kind::Journal) {
            return Ok(());
        }
        let ours = self.primary.list()?;
        let there = records::listed(place)?.into_iter().find(|(file, _)| file == name).map_or(0, |(_, len)| len);
        let copy = |at, len| place.read_back(name, at, len);
        let missing = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let Some((_, here)) = ours.iter().find(|(file, _)| file == name) else {
            let replaced = match kind {
                Kind::Parties(number) => self.lists_later(&ours, number)?,
                _ => false,
            };
            let holds_nothing = records::whole(name, there, &copy)? == 0;
            return if replaced || holds_nothing { Ok(()) } else { missing("it is missing") };
        };
        let own = |at, len| self.primary.read_at(name, at, len);
        if there <= *here && records::same(&(range.start..range.end.min(there)), &own, &copy)? {
            return Ok(());
        }
        let (ours, theirs) = (records::whole(name, *here, &own)?, records::whole(name, there, &copy)?);
        if theirs > ours && records::same(&(0..ours), &own, &copy)? {
            return missing("records are damaged");
        }
        if theirs > range.start {
            tracing::warn!(mirror = self.shared.name, file = name, "other records than the vault's give way to them");
        }
        Ok(())
    }

    /// Whether the primary has a whole list of parties after this one.
    fn lists_later(&self, files: &[(String, u64)], number: u32) -> io::Result<bool> {
        for (name, len) in files {
            let later = matches!(Kind::of(name), Kind::Parties(later) if later > number);
            if later && records::whole(name, *len, &|at, len| self.primary.read_at(name, at, len))? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The end of what both hold of a file, up to `held`, if it differs.
    fn different_end(&self, place: &dyn Place, name: &str, held: u64) -> io::Result<Option<Range<u64>>> {
        let from = held.saturating_sub(TAIL);
        if from == held {
            return Ok(None);
        }
        let size = (held - from) as usize;
        let same = self.primary.read_at(name, from, size)? == place.read_back(name, from, size)?;
        Ok((!same).then_some(from..held))
    }

    /// Writes everything from an offset on again, and believes only what it reads back.
    pub(super) fn rewrite(&mut self, place: &dyn Place, name: &str, from: u64) -> io::Result<u64> {
        let there = records::listed(place)?.into_iter().find(|(file, _)| file == name).map(|(_, len)| len);
        if let Some(found) = there.filter(|found| *found > from) {
            self.vouched(place, name, &(from..found))?;
        }
        let Some((_, len)) = self.primary.list()?.into_iter().find(|(file, _)| file == name) else {
            return match place.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(0),
            };
        };
        match place.create(name, 0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if there.is_some_and(|found| found > len) {
            place.truncate(name, len)?;
        }
        let copied = if from < len { self.copy(place, name, std::slice::from_ref(&(from..len)))? } else { 0 };
        place.flush(name)?;
        Ok(copied)
    }

    fn copy(&mut self, place: &dyn Place, name: &str, ranges: &[Range<u64>]) -> io::Result<u64> {
        let mut copied = 0;
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let len = (range.end - at).min(CHUNK) as usize;
                let bytes = self.primary.read_at(name, at, len)?;
                let doubted = self.doubted.entry(name.to_owned()).or_insert(at);
                *doubted = at.min(*doubted);
                self.primary.confirm()?;
                place.write_at(name, at, &bytes)?;
                place.flush(name)?;
                if place.read_back(name, at, len)? != bytes {
                    return Err(io::Error::other("it gives other bytes back than were written"));
                }
                at += len as u64;
                copied += len as u64;
            }
        }
        // All that was in doubt was among the ranges.
        self.doubted.remove(name);
        Ok(copied)
    }
}
