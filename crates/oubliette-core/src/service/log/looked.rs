//! A look at the vault's log before anything of the vault is changed, and going through entries from the newest back.

use std::ops::ControlFlow;
use std::sync::Arc;

use keyforest::media::Medium;
use keyforest::{Pins, Probe};
use oubliette_proof::entry::Entry;

use super::kept::Kept;
use super::rows::entry_from;
use super::start::{self, Found};
use super::{LogError, TransparencyLog};
use crate::secrets::Secrets;
use crate::service::VaultError;

/// What was found: it is opened by [`start::start`].
pub(in crate::service) struct Looked(pub(super) Result<Found, VaultError>);

/// Looks for the log that these secrets have the keys of.
pub(in crate::service) async fn look_for(
    medium: &Arc<dyn Medium>,
    probe: &Arc<dyn Probe>,
    secrets: &Secrets,
    pins: &Pins,
) -> Looked {
    Looked(start::look_by_keys(medium, probe, secrets.log_keys(), pins.log_head).await)
}

impl Looked {
    /// Its entries; `None` where no log is found that may be opened.
    pub(in crate::service) fn entries(&self) -> Option<Entries> {
        let found = self.0.as_ref().ok()?;
        found.agrees.is_ok().then(|| Entries(Arc::clone(&found.kept)))
    }
}

impl TransparencyLog {
    /// Its entries.
    pub(in crate::service) fn entries(&self) -> Entries {
        Entries(Arc::clone(&self.kept))
    }
}

/// The entries of a log.
pub(in crate::service) struct Entries(Arc<Kept>);

impl Entries {
    /// Gives entries to `step` with `state`, the newest first, back to the one that rows know by `number` and none before the
    /// log's own `own`. Ends earlier where `step` says so, and at the first that cannot be read, which is told.
    pub(in crate::service) async fn back<T: Send + 'static>(
        self,
        number: u64,
        own: u64,
        mut state: T,
        step: fn(&mut T, &Entry) -> ControlFlow<()>,
    ) -> Result<(T, Option<LogError>), VaultError> {
        let Some(from) = entry_from(self.0.files.ordinal, number) else { return Ok((state, None)) };
        start::blocking(move || {
            let end = self.0.head().size;
            for tile in self.0.tiles(from.max(own)..end).rev() {
                let entries = match tile {
                    Ok((_, entries)) => entries,
                    Err(error) => return Ok((state, Some(error))),
                };
                // Entries of a newer program are none of ours.
                let known = entries.iter().rev().filter_map(|entry| Entry::decode(entry).ok());
                if known.map(|entry| step(&mut state, &entry)).any(|step| step.is_break()) {
                    break;
                }
            }
            Ok((state, None))
        })
        .await
    }
}
