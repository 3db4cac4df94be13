//! Removing old copies, and the files that only they needed.

use std::collections::BTreeSet;

use super::index::Index;
use super::manifest::Manifest;
use super::{BackupError, Place, files, list, lock, place_failed};

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// Ids of the copies.
    pub copies: Vec<String>,
    /// Files that no copy needs any more.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Keeps the newest `keep` copies. What a copy that was never finished left goes as well, so none may be under way: a folder
/// is locked against that, a bucket cannot be. Blocks.
///
/// # Errors
/// The place cannot be read or written; a copy that is kept is damaged, and nothing was removed.
pub fn prune(place: &Place, keep: usize) -> Result<Pruned, BackupError> {
    let _lock = lock(place)?;
    let mut copies = list(place)?;
    let kept = copies.split_off(copies.len().saturating_sub(keep.max(1)));
    // Before anything is removed: a list that cannot be read would make its files look unneeded.
    let index = Index::on(&place.local("").unwrap_or_else(std::env::temp_dir))?;
    for manifest in &kept {
        files::read(place, manifest, &index)?;
    }
    let kept: BTreeSet<&str> = kept.iter().map(|manifest| manifest.id.as_str()).collect();
    let mut pruned = Pruned { copies: copies.iter().map(|copy| copy.id.clone()).collect(), ..Pruned::default() };
    // Manifests first: a copy is none from then on.
    let manifests: Vec<String> = pruned.copies.iter().map(|id| Manifest::path(id, "manifest.json")).collect();
    place.remove(&manifests).map_err(place_failed("removing a copy"))?;
    let listed = place.list("copies").map_err(place_failed("listing the copies"))?;
    let left = listed.into_iter().map(|(name, _)| name);
    let left = left.filter(|name| name.split('/').nth(1).is_none_or(|id| !kept.contains(id)));
    place.remove(&left.collect::<Vec<_>>()).map_err(place_failed("removing a copy"))?;
    index.take_up(place)?;
    index.unnamed(|some| {
        pruned.files += some.len() as u64;
        pruned.bytes += some.iter().map(|(_, length)| length).sum::<u64>();
        let names: Vec<String> = some.into_iter().map(|(path, _)| format!("blobs/{path}")).collect();
        place.remove(&names).map_err(place_failed("removing contents"))
    })?;
    Ok(pruned)
}
