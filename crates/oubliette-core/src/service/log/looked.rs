//! A look at the vault's log before anything of the vault is changed.

use std::sync::Arc;

use keyforest::media::Medium;
use keyforest::{Pins, Probe};
use oubliette_proof::entry::Entry;

use super::rows::entry_from;
use super::start::{self, Found};
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
    /// Gives entries to `step` one after the other, from the one that rows know by `number` on, and none before the log's own
    /// `own`; what the last of them came to. `None` without any, and of a log that is not the one that was pinned.
    pub(in crate::service) async fn fold<T: Send + 'static>(
        self,
        number: u64,
        own: u64,
        mut step: impl FnMut(&Entry) -> T + Send + 'static,
    ) -> Result<(Self, Option<T>), VaultError> {
        let Ok(found) = self.0 else { return Ok((self, None)) };
        let Some(from) = entry_from(found.ordinal(), number).filter(|_| found.agrees.is_ok()) else {
            return Ok((Self(Ok(found)), None));
        };
        let (found, last) = start::blocking(move || {
            let mut last = None;
            for number in from.max(own)..found.kept.head().size {
                // Entries of a newer program are none of ours.
                last = Entry::decode(&found.kept.entry(number)?).ok().map(|entry| step(&entry)).or(last);
            }
            Ok((found, last))
        })
        .await?;
        Ok((Self(Ok(found)), last))
    }
}
