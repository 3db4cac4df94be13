//! The key state changes its place and its root.
//!
//! Up to [`Moved::prove`] the new root lies in this process's memory alone: a move that is given up, or whose process dies,
//! leaves pages that nothing opens, and the old vault goes on. From [`Moved::finish`] on the old vault is held off for good
//! (its marker says so), and only then the new root gets a place of its own. While both roots exist, neither place serves.

use std::sync::Arc;
use std::time::Duration;

use keyforest::media::{Medium, MemorySlots, SlotDevice, SlotError};
use keyforest::{Forest, ForestConfig, Pins, Probe, Stores, destroy_roots, hand_root_over, holds_root};
use oubliette_core::ports::Write;
use oubliette_core::service::{Inspection, copy_log};
use oubliette_store::media::Place;
use uuid::Uuid;

use super::prove::{Proof, prove};
use super::{MoveError, points, rows};
use crate::opening::Engines;

/// A root store that does not answer is asked again for this long.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(1);

/// The key state at the new place, whose root nobody has but this process.
pub struct Copied {
    root: Arc<MemorySlots>,
    /// Its epoch.
    pub epoch: u64,
}

/// Writes the state in force to the new place's pages, under a root in memory, and the log beside it.
pub async fn copy(
    forest: &Arc<Forest>,
    packs: &Arc<dyn Medium>,
    target: &Engines,
    limits: ForestConfig,
    probe: &Arc<dyn Probe>,
) -> Result<Copied, MoveError> {
    let instance = target.metadata.instance().await?;
    // What the log has beyond this was appended since the last seal, and is copied too.
    let log_head = forest.pins().log_head;
    let pins = Pins { instance: *instance.instance.as_bytes(), commit_counter: instance.commit_counter, log_head };
    let (from, to) = (Arc::clone(packs), Arc::clone(&target.packs));
    super::blocking(move || copy_log(&*from, &*to)).await?.map_err(MoveError::Pages)?;
    let root = Arc::new(MemorySlots::default());
    let stores = stores(&target.packs, Arc::clone(&root) as Arc<dyn SlotDevice>, probe);
    let forest = Arc::clone(forest);
    let epoch = super::blocking(move || forest.copy_to(&stores, &limits, pins)).await??;
    Ok(Copied { root, epoch })
}

impl Copied {
    /// Opens the new place through the root in memory, and compares.
    pub async fn prove(
        &self,
        old: &Inspection,
        target: &Engines,
        limits: ForestConfig,
        probe: &Arc<dyn Probe>,
    ) -> Result<Proof, MoveError> {
        let stores = stores(&target.packs, Arc::clone(&self.root) as Arc<dyn SlotDevice>, probe);
        let forest = super::blocking(move || Forest::open(stores, limits)).await??.0;
        let new = Inspection {
            forest: Arc::new(forest),
            metadata: Arc::clone(&target.metadata),
            blobs: Arc::clone(&target.blobs),
            settings: old.settings.clone(),
        };
        prove(old, &new).await
    }

    /// Gives the root to the new place's own store.
    pub async fn place(self, target: &Engines) -> Result<(), MoveError> {
        let (root, register) = (self.root, Arc::clone(&target.register));
        insist("the new root store", move || hand_root_over(&*root, &*register)).await
    }
}

/// What is left once the new root is in its place: the old one is destroyed, the new place may serve.
pub async fn finish(
    old: &Arc<dyn SlotDevice>,
    target: &Engines,
    epoch: u64,
    probe: &Arc<dyn Probe>,
) -> Result<(), MoveError> {
    rows::apply(&*target.metadata, vec![Write::SetEpoch(epoch)]).await?;
    let register = Arc::clone(old);
    insist("the old register", move || destroy_roots(&*register)).await?;
    probe.reached(points::OLD_ROOT_DESTROYED);
    super::marker::set_arriving(&*target.metadata, None).await?;
    probe.reached(points::ARRIVED);
    Ok(())
}

/// Opens the new place's own root, if it holds one whose pages open; its epoch.
pub async fn placed(target: &Engines, limits: ForestConfig, probe: &Arc<dyn Probe>) -> Result<Option<u64>, MoveError> {
    let stores = stores(&target.packs, Arc::clone(&target.register), probe);
    super::blocking(move || {
        if !holds_root(&*stores.register)? {
            return Ok(None);
        }
        Ok(Some(Forest::open(stores, limits)?.1.epoch))
    })
    .await?
}

/// The old state, opened again from its own root.
pub async fn reopen(old: &Engines, limits: ForestConfig, probe: &Arc<dyn Probe>) -> Result<Arc<Forest>, MoveError> {
    let stores = stores(&old.packs, Arc::clone(&old.register), probe);
    Ok(Arc::new(super::blocking(move || Forest::open(stores, limits)).await??.0))
}

/// Whether the id is the forest's.
pub fn belongs(forest: &Forest, instance: Uuid) -> bool {
    forest.pins().instance == *instance.as_bytes()
}

fn stores(packs: &Arc<dyn Place>, register: Arc<dyn SlotDevice>, probe: &Arc<dyn Probe>) -> Stores {
    Stores { packs: Arc::clone(packs) as Arc<dyn Medium>, register, probe: Arc::clone(probe) }
}

/// Makes the same call again while a store does not answer: each of them may be made twice.
async fn insist(
    what: &'static str,
    work: impl Fn() -> Result<(), SlotError> + Clone + Send + 'static,
) -> Result<(), MoveError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match super::blocking(work.clone()).await? {
            Ok(()) => return Ok(()),
            Err(SlotError::Again(error)) if tokio::time::Instant::now() < deadline => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    what,
                    "a root store did not answer; asked again"
                );
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(MoveError::Root { what, source: error.into() }),
        }
    }
}
