//! What a [`Twin`](super::Twin) asks of each of its two places, and mirrors of theirs.

use std::io;
use std::ops::Range;

use keyforest::media::Medium;

use super::postgres::StandbyPages;
use super::{Folder, Twin};

/// A medium that can say which bytes of a file it holds.
pub trait Place: Medium {
    /// The ranges of a file that were ever made durable here, ascending and apart from each other; empty for a file that is
    /// not there. A place that does not know about holes names everything up to the file's end.
    fn held(&self, name: &str) -> io::Result<Vec<Range<u64>>> {
        let found = self.list()?.into_iter().find(|(file, len)| file == name && *len > 0);
        Ok(found.map(|(_, len)| 0..len).into_iter().collect())
    }

    /// Makes sure that no other process has taken this place over, where that can be. Whoever changes another place after it
    /// asks before: this one refuses what is written to it, but its lists are this process's memory of it.
    ///
    /// # Errors
    /// Another process has, or it cannot be found out now.
    fn confirm(&self) -> io::Result<()> {
        Ok(())
    }

    /// A number of this process's above `floor`, for the writers of a place that follows this one.
    ///
    /// # Errors
    /// As of [`Place::confirm`]; and that `floor` is none that is believed, where numbers have an end.
    fn number_above(&self, floor: u64) -> io::Result<u64> {
        Ok(floor.saturating_add(1))
    }
}

impl Place for Folder {}

impl Place for Twin {
    fn held(&self, name: &str) -> io::Result<Vec<Range<u64>>> {
        self.first().held(name)
    }

    fn confirm(&self) -> io::Result<()> {
        self.first().confirm()
    }

    fn number_above(&self, floor: u64) -> io::Result<u64> {
        self.first().number_above(floor)
    }
}

impl Place for StandbyPages {
    fn held(&self, name: &str) -> io::Result<Vec<Range<u64>>> {
        self.pages().held(name)
    }

    fn confirm(&self) -> io::Result<()> {
        self.pages().confirm()
    }

    fn number_above(&self, floor: u64) -> io::Result<u64> {
        self.pages().number_above(floor)
    }
}

/// Joins ranges that touch or overlap. They come ascending by their start.
pub(super) fn joined(ranges: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// What is in `all` and not in `without`; both joined.
pub(super) fn difference(all: &[Range<u64>], without: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut out = Vec::new();
    for range in all {
        let mut from = range.start;
        for hole in without.iter().filter(|other| other.start < range.end && other.end > range.start) {
            if from < hole.start {
                out.push(from..hole.start);
            }
            from = from.max(hole.end);
        }
        if from < range.end {
            out.push(from..range.end);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_taken_from_each_other() {
        let all = joined([0..10, 10..20, 15..18, 30..40, 50..50]);
        assert_eq!(all, [0..20, 30..40]);
        assert_eq!(difference(&all, &[5..8, 19..35]), [0..5, 8..19, 35..40]);
        assert_eq!(difference(&all, &all), []);
        assert_eq!(difference(&all, &[]), all);
    }
}
