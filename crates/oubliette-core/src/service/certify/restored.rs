//! After a restore's commit: the log is ahead of the rows, which are an older copy's.
//!
//! First the log is told of the restore itself. Then what the copy does not know to be told of is looked for in the log:
//! an erasure that was sealed before the copy's last commit was noted is found there by the root over its receipts. What is not
//! found (it shared its seal with others that the copy does not know) is stated again under the seal of the commit, in whose
//! state its leaves are punctured, too.

use std::sync::Arc;

use keyforest::LeafSet;
use oubliette_proof::entry::Entry;

use super::erasures::Whole;
use super::ledger::Ledger;
use super::round::{Made, Noted};
use crate::ports::{PurgeKind, Write};
use crate::service::VaultError;
use crate::service::attached::{self, RESTORE_UNTOLD, Untold};
use crate::service::log::{LogError, TransparencyLog};
use crate::service::vault::Inner;

/// What a restore noted for the log cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("the time of a restore is none that the log knows")]
struct Timeless;

impl Inner {
    /// Tells the log of a restore that was committed, once.
    pub async fn tell_of_restore(&self) -> Result<(), VaultError> {
        let Some(untold) = attached::untold(&*self.metadata).await? else { return Ok(()) };
        let log = Arc::clone(&self.log);
        let told = tokio::task::spawn_blocking(move || {
            let entry = untold.entry().ok_or_else(|| VaultError::internal(Timeless))?;
            if !is_told(&log, &untold, &entry).map_err(VaultError::internal)? {
                log.append(&[entry]).map_err(VaultError::internal)?;
            }
            Ok::<_, VaultError>(())
        });
        told.await.map_err(VaultError::internal)??;
        self.shared.probe.reached("restore.told");
        self.apply_unchecked("log.restore", vec![Write::PutValue(RESTORE_UNTOLD.to_owned(), None)]).await?;
        Ok(())
    }

    /// Contents whose rows the vault removes by itself because they have no key: who erases their interaction does not erase
    /// them. Only a restore brings such rows.
    pub(super) async fn contents_without_key(&self) -> Result<LeafSet, VaultError> {
        if self.commit_offset == 0 {
            return Ok(LeafSet::new());
        }
        let unswept = self.metadata.unswept_purges(None, usize::MAX).await.map_err(|error| self.port(error))?;
        let upkeep = unswept.iter().filter(|row| row.kind == PurgeKind::Upkeep);
        Ok(upkeep.flat_map(|row| row.set.leaves.iter()).collect())
    }

    /// Takes out erasures that earlier entries tell of and that the rows do not know to be told: one for each entry.
    pub(super) async fn recognised(
        self: &Arc<Self>,
        ledger: &Ledger,
        epoch: u64,
        whole: Vec<Whole>,
        made: &mut Vec<Made>,
    ) -> Result<Vec<Whole>, VaultError> {
        let mut left = Vec::with_capacity(whole.len());
        for one in whole {
            if !ledger.has_before(epoch, one.manifest.receipts()) {
                left.push(one);
                continue;
            }
            let (mut one, head) = self.root_of(vec![one]).await?;
            match ledger.before(epoch, head.root) {
                Some(number) => {
                    let log = Arc::clone(&self.log);
                    let number = log.entry_in_rows(number).ok_or(VaultError::Internal(None))?;
                    let bytes = tokio::task::spawn_blocking(move || log.entry(number)).await;
                    let bytes = bytes.map_err(VaultError::internal)?.map_err(VaultError::internal)?;
                    let entry = Entry::decode(&bytes).map_err(VaultError::internal)?;
                    made.push(Made { entry, noted: Noted::Seal(one) });
                }
                None => left.append(&mut one),
            }
        }
        Ok(left)
    }
}

fn is_told(log: &TransparencyLog, untold: &Untold, entry: &Entry) -> Result<bool, LogError> {
    for tile in log.tiles_from(untold.logged) {
        let (_, entries) = tile?;
        if entries.iter().any(|bytes| Entry::decode(bytes).is_ok_and(|there| there.body == entry.body)) {
            return Ok(true);
        }
    }
    Ok(false)
}
