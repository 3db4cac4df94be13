//! Going through every interaction row, whatever the directory says: an older copy's blocks may be sealed under leaves that
//! were punctured since.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use keyforest::{Group, Leaf};

use super::VaultError;
use super::vault::Inner;
use crate::directory::{Entry, KeyKind, keys_of, tags};
use crate::model::{InteractionMeta, TenantId};
use crate::ports::InteractionRow;

/// Beyond every hour that a row can have.
const NO_HOUR: i64 = i64::MAX / 2;

/// Rows that a walk takes at a time.
const STEP: usize = 1_000;

/// A walk over all rows of all tenants, hour by hour.
pub struct Walk {
    tenants: VecDeque<TenantId>,
    from: i64,
    /// How far the walk is within the hour `from`.
    after: Option<Group>,
}

impl Walk {
    /// From the beginning.
    pub fn new(inner: &Inner) -> Self {
        // The key state knows every tenant that ever had an id.
        let tenants = inner.secrets.read().unwrap_or_else(PoisonError::into_inner);
        Self { tenants: tenants.tenants().map(|(tenant, _)| tenant).collect(), from: -NO_HOUR, after: None }
    }

    /// The next rows; `None` at the end.
    pub async fn next(&mut self, inner: &Inner) -> Result<Option<Vec<InteractionRow>>, VaultError> {
        let port = |error| inner.port(error);
        while let Some(tenant) = self.tenants.front().copied() {
            match inner.metadata.next_hour(tenant, self.from, NO_HOUR).await.map_err(port)? {
                Some(hour) => {
                    let after = self.after.take().filter(|_| hour == self.from);
                    let rows = inner.metadata.interactions_in_hour(tenant, hour, after, STEP).await.map_err(port)?;
                    (self.from, self.after) = match rows.last() {
                        Some(last) if rows.len() == STEP => (hour, Some(last.group)),
                        _ => (hour + 1, None),
                    };
                    return Ok(Some(rows));
                }
                None => {
                    self.tenants.pop_front();
                    (self.from, self.after) = (-NO_HOUR, None);
                }
            }
        }
        Ok(None)
    }
}

impl Inner {
    /// What a row says where it can be read; `None` where it is hidden or erased. May read a page: blocks.
    pub fn readable_meta(&self, row: &InteractionRow) -> Result<Option<InteractionMeta>, VaultError> {
        match self.readable(row.group.leaf(0)).and_then(|()| self.open_meta(row)) {
            Ok(meta) => Ok(Some(meta)),
            Err(VaultError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The look-up entry of a row where it can be read.
    pub fn entry_of(&self, row: &InteractionRow) -> Result<Option<Entry>, VaultError> {
        let entry = |meta| Entry { tenant: row.tenant, group: row.group, keys: keys_of(&meta, &self.settings) };
        Ok(self.readable_meta(row)?.map(entry))
    }

    /// Whether a leaf is neither hidden nor punctured.
    pub fn is_readable(&self, leaf: Leaf) -> Result<bool, VaultError> {
        match self.readable(leaf) {
            Ok(()) => Ok(true),
            Err(VaultError::Gone) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Fills the look-up map from what the interactions say of themselves. Until it is complete look-ups answer *not ready*.
pub async fn rebuild_lookups(inner: Weak<Inner>) {
    let mut pause = Duration::from_millis(50);
    loop {
        let Some(strong) = inner.upgrade() else { return };
        match rebuild(&strong).await {
            Ok(()) => {
                strong.lookups_ready.send_replace(true);
                return;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "rebuilding the look-up map is delayed");
                drop(strong);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

/// Adds to the look-up map what all rows say.
pub async fn rebuild(inner: &Arc<Inner>) -> Result<(), VaultError> {
    let mut walk = Walk::new(inner);
    while let Some(rows) = walk.next(inner).await? {
        if *inner.closing.borrow() {
            return Err(VaultError::Unavailable(None));
        }
        let work = Arc::clone(inner);
        let added = tokio::task::spawn_blocking(move || {
            let region = work.settings.default_region.as_deref();
            for row in &rows {
                let Some(entry) = work.entry_of(row)? else { continue };
                let of_key = |(kind, text): &(KeyKind, String)| tags(&work.lookup, row.tenant.0, *kind, text, region);
                let tags: Vec<u64> = entry.keys.iter().flat_map(of_key).collect();
                work.lookup.insert(&tags, row.group);
            }
            Ok::<_, VaultError>(())
        });
        added.await.map_err(VaultError::internal)??;
    }
    Ok(())
}
