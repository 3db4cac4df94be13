//! A primary that has key pages and no list of parties: did nobody ever join, or was the list lost?
//!
//! A mirror of this vault that has a list answers it, if it is a mirror of *this* key state: one from before the vault was moved
//! has a list too, and its own. Every page is sealed under a key that is drawn for it, so what the two have in common tells.

use std::io;

use keyforest::media::Medium;
use keyforest::pack_number;

use super::mark::Mark;
use super::{MirrorError, io_failed};
use crate::media::parties::number;
use crate::media::{Parties, PartyKind, Place};

/// Bytes of a pack before its first page.
const PACK_HEAD: u64 = 16;
/// Bytes of pages that are compared: fewer say nothing, more say no more.
const COMPARED: std::ops::RangeInclusive<u64> = 256..=4096;
/// Packs that are compared.
const PACKS: usize = 8;

/// What is asked of the mirrors of a primary that has no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// It has key pages.
    List,
    /// It has neither.
    All,
}

/// The list that a mirror has of the primary's key state. Reads only.
///
/// # Errors
/// One of the two cannot be read.
pub(super) fn list_at(primary: &dyn Place, mirror: &dyn Place, lack: Lack) -> io::Result<Option<Parties>> {
    if lack == Lack::List && !has_same_pages(primary, mirror)? {
        return Ok(None);
    }
    let medium: &dyn Medium = mirror;
    Parties::read(medium)
}

/// Whether a mirror's place has nothing but what a filling from this primary left there that was cut short: its mark has no epoch
/// yet, which it gets once the mirror is among the parties, so nothing was ever sealed that relies on it. No list lies there, for
/// there was none then, and the packs are the primary's. Reads only.
///
/// # Errors
/// One of the two cannot be read.
pub(super) fn is_cut_short(primary: &dyn Place, mirror: &dyn Place, mark: &Mark) -> io::Result<bool> {
    if mark.epoch > 0 {
        return Ok(false);
    }
    let there = mirror.list()?;
    if there.iter().any(|(name, len)| number(name).is_some() && *len > 0) {
        return Ok(false);
    }
    let says_something =
        |(name, len): &(String, u64)| pack_number(name).is_some() && *len >= PACK_HEAD + *COMPARED.start();
    Ok(!there.iter().any(says_something) || has_same_pages(primary, mirror)?)
}

/// Whether some pack begins with the same pages in both.
fn has_same_pages(one: &dyn Place, other: &dyn Place) -> io::Result<bool> {
    let there = other.list()?;
    let packs = one.list()?.into_iter().filter(|(name, _)| pack_number(name).is_some());
    let both = packs.filter_map(|(name, len)| {
        let (_, found) = there.iter().find(|(file, _)| *file == name)?;
        let common = len.min(*found).saturating_sub(PACK_HEAD).min(*COMPARED.end());
        (common >= *COMPARED.start()).then_some((name, common as usize))
    });
    for (name, len) in both.take(PACKS) {
        if one.read_at(&name, PACK_HEAD, len)? == other.read_back(&name, PACK_HEAD, len)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The list that was lost, as the first mirror has it that was looked at.
#[derive(Default)]
pub(super) struct Brought(Option<(Parties, String)>);

impl Brought {
    /// Takes note of what the mirror `name` has; whether there is a list of the mark's key state.
    pub(super) fn take_note(&mut self, name: &str, mark: &Mark, list: Option<Parties>) -> bool {
        let Some(list) = list.filter(|list| list.state() == mark.state) else { return false };
        self.0.get_or_insert_with(|| (list, name.to_owned()));
        true
    }

    /// Whether the mirror `name` is one of its parties.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|(list, _)| list.get(PartyKind::Mirror, name).is_some())
    }

    /// Refuses where the primary's own list is there and damaged: what is there is for an operator to replace.
    pub(super) fn replaces(&self, listed: &[(String, u64)]) -> Result<(), MirrorError> {
        let damaged = listed.iter().any(|(name, len)| number(name).is_some() && *len > 0);
        match &self.0 {
            Some((_, mirror)) if damaged => Err(MirrorError::ListDamaged(mirror.clone())),
            _ => Ok(()),
        }
    }

    /// Refuses where it was not taken over. After all was that could be.
    pub(super) fn is_here(&self, primary: &dyn Place) -> Result<(), MirrorError> {
        let Some((_, mirror)) = &self.0 else { return Ok(()) };
        let medium: &dyn Medium = primary;
        match Parties::read_whole(medium).map_err(io_failed("reading who takes part"))? {
            Some(_) => Ok(()),
            None => Err(MirrorError::ListLost(mirror.clone())),
        }
    }
}
