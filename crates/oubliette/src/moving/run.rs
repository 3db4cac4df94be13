//! The move, from its marks to the hand-over, in the process that has the old vault open.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use keyforest::media::{Medium, SlotDevice};
use keyforest::{Forest, Group, Leaf, Probe};
use oubliette_core::ports::{BlobRef, Blobs, Clock, LiveBlobs, Metadata, PortError, Transaction, Write};
use oubliette_core::service::{Inspection, TransparencyLog, VaultSettings};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::blobs::BlobCopier;
use super::books::{self, BookCopier, NOTED_WITHIN};
use super::marker::{self, Arriving, Leaving, Stage};
use super::prove::Proof;
use super::rows::{RowCopier, STEP, Tally, live};
use super::target::{self, Found};
use super::watched::{Touched, UntilHandedOver, Watched};
use super::{MoveError, Shown, keys, nobody_owes, points};
use crate::config::Config;
use crate::opening::{Engines, forest_limits};

/// Rounds of catching up before changes are held off, whatever is left by then.
const ROUNDS: usize = 20;
/// Little enough to be brought into line while changes wait.
const LITTLE: usize = 500;
/// Erasures under way must be sealed by then, or changes are accepted again.
const SEALED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Erasures whose rows are still there are asked for all at once: each of them is small or few.
const UNSWEPT: usize = 1_000_000;

/// The old vault.
pub struct Source {
    /// Its rows, watched.
    pub metadata: Arc<Watched>,
    /// Its contents.
    pub blobs: Arc<dyn Blobs>,
    /// Its keys.
    pub forest: Arc<Forest>,
    /// Where its key pages and its log lie.
    pub packs: Arc<dyn Medium>,
    /// Its log, once it is open.
    pub log: Arc<OnceLock<Arc<TransparencyLog>>>,
    /// Its root.
    pub register: Arc<dyn SlotDevice>,
    /// Its right to use keys.
    pub lease: Arc<UntilHandedOver>,
    /// Its rules.
    pub settings: VaultSettings,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Told of named moments.
    pub probe: Arc<dyn Probe>,
}

/// What a move came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Live interactions.
    pub interactions: u64,
    /// Their contents.
    pub contents: u64,
    /// Directory blocks.
    pub directory_blocks: u64,
    /// Erasures.
    pub erasures: u64,
    /// Contents copied by this run.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Copies of contents erased meanwhile that the bucket keeps for a time. They have no key.
    pub retained: u64,
    /// Samples opened at the new place.
    pub proof: Proof,
    /// Seconds from the beginning of this run until changes were held off.
    pub copy_seconds: f64,
    /// Seconds from there until the old root was destroyed and the new place may serve.
    pub pause_seconds: f64,
    /// Epoch of the new root.
    pub epoch: u64,
}

impl Figures {
    fn add(&mut self, tally: Tally) {
        self.copied += tally.copied;
        self.bytes += tally.bytes;
        self.retained += tally.retained;
    }
}

/// Why it ended, and on which side of the point of no return.
pub enum Ended {
    /// The old vault goes on.
    Before(MoveError),
    /// The old vault never serves again; the same command finishes.
    After(MoveError),
}

/// Copies from one place to the other.
struct Copier<'a> {
    source: &'a Source,
    rows: RowCopier,
    books: BookCopier,
    stop: &'a CancellationToken,
}

/// Moves the vault. Before the point of no return every error leaves the old vault as it was.
pub async fn run(
    source: &Source,
    from: &Config,
    to: &Config,
    shown: &Arc<Shown>,
    stop: &CancellationToken,
) -> Result<Figures, Ended> {
    let before = Ended::Before;
    let begun = Instant::now();
    shown.say("opening the new place");
    let (engines, id) = arrive(source, from, to).await.map_err(before)?;
    let copied = copy_and_prove(source, to, &engines, shown, stop, begun).await;
    let proven = match copied {
        Ok(proven) => proven,
        Err(error) => {
            source.log.get().inspect(|log| log.go_on());
            source.metadata.open_gate().await;
            leave(engines).await;
            return Err(before(error));
        }
    };
    let Proven { keys, mut figures, held_off } = proven;
    let handed_over = Leaving { id, stage: Stage::HandedOver, to: target::name(to) };
    if let Err(error) = marker::set_leaving(&**source.metadata.inner(), &handed_over).await {
        // It may be durable all the same: nothing is accepted here any more, the next start finds out.
        leave(engines).await;
        return Err(Ended::After(error.into()));
    }
    source.probe.reached(points::HANDED_OVER);
    shown.say("handed over: the old vault serves no more, the new root takes its place");
    source.lease.hand_over();
    figures.epoch = keys.epoch;
    let done = async {
        keys.place(&engines).await?;
        source.probe.reached(points::ROOT_PLACED);
        shown.say("destroying the old register");
        keys::finish(&source.register, &engines, figures.epoch, &source.probe).await
    };
    let done = done.await;
    leave(engines).await;
    figures.pause_seconds = held_off.elapsed().as_secs_f64();
    done.map(|()| figures).map_err(Ended::After)
}

/// Opens the new place and marks both.
async fn arrive(source: &Source, from: &Config, to: &Config) -> Result<(Engines, Uuid), MoveError> {
    target::check(from, to)?;
    nobody_owes(source).await?;
    let rows = source.metadata.inner();
    let instance = rows.instance().await?.instance;
    let known = marker::leaving(&**rows).await?;
    let found = target::look(to, instance).await?;
    let id = match (&found, known) {
        (Found::Arriving(there), _) if there.instance == instance => there.id,
        (Found::Empty, Some(known)) => known.id,
        (Found::Empty, None) => Uuid::new_v4(),
        _ => return Err(MoveError::Refused("the new database holds this vault already, and no move is under way")),
    };
    let engines = target::open(to, instance, &source.probe).await?;
    source.metadata.watch().await;
    let marked = async {
        if found == Found::Empty {
            target::begin(&engines, &Arriving { id, instance }).await?;
        } else {
            target::clear_keys(&engines).await?;
        }
        // Whatever was handed in before the watching began is there when this is.
        marker::set_leaving(&**rows, &Leaving { id, stage: Stage::Copying, to: target::name(to) }).await?;
        Ok(())
    };
    if let Err(error) = marked.await {
        source.metadata.open_gate().await;
        leave(engines).await;
        return Err(error);
    }
    source.probe.reached(points::BEGUN);
    Ok((engines, id))
}

/// Lets go of the new place, so that whoever is to serve there need not wait.
pub(super) async fn leave(engines: Engines) {
    let Engines { metadata, claim, packs, register, blobs, .. } = engines;
    metadata.close().await;
    drop((packs, register, blobs));
    if let Some(claim) = claim {
        let _ = super::blocking(move || claim.release()).await;
    }
}

/// Everything is there, and the vault is held off.
struct Proven {
    keys: keys::Copied,
    figures: Figures,
    held_off: Instant,
}

async fn copy_and_prove(
    source: &Source,
    to: &Config,
    engines: &Engines,
    shown: &Arc<Shown>,
    stop: &CancellationToken,
    begun: Instant,
) -> Result<Proven, MoveError> {
    let rows: Arc<dyn Metadata> = Arc::clone(source.metadata.inner());
    let copier = Copier {
        source,
        rows: RowCopier {
            from: Arc::clone(&rows),
            forest: Arc::clone(&source.forest),
            to: Arc::clone(&engines.metadata),
            blobs: BlobCopier { from: Arc::clone(&source.blobs), to: Arc::clone(&engines.blobs) },
            shown: Arc::clone(shown),
        },
        books: BookCopier { from: Arc::clone(&rows), to: Arc::clone(&engines.metadata) },
        stop,
    };
    let mut figures = Figures::default();
    shown.begin("copying", rows.count_interactions().await?);
    copier.everything(&mut figures).await?;
    shown.begin("comparing", rows.count_interactions().await?);
    copier.everything(&mut figures).await?;
    shown.say("looking for every content in the bucket's listing");
    copier.listed(engines).await?;
    for _ in 0..ROUNDS {
        if source.metadata.noted() <= LITTLE {
            break;
        }
        copier.catch_up(&mut figures).await?;
    }
    source.probe.reached(points::COPIED);

    shown.say("changes are held off, reads go on");
    figures.copy_seconds = begun.elapsed().as_secs_f64();
    source.metadata.close_gate().await;
    let held_off = Instant::now();
    source.probe.reached(points::HELD_OFF);
    copier.seal_everything().await?;
    source.probe.reached(points::SETTLED);
    let old = Inspection {
        forest: Arc::clone(&source.forest),
        metadata: Arc::clone(&rows),
        blobs: Arc::clone(&source.blobs),
        settings: source.settings.clone(),
    };
    if !old.journal_is_done().await? {
        return Err(MoveError::Unsealed);
    }
    copier.come_to_rest(&mut figures).await?;
    copier.count(&mut figures).await?;
    shown.say("writing the key state under a fresh root");
    if let Some(log) = source.log.get().map(Arc::clone) {
        copier.hold_log_off(log, &mut figures).await?;
    }
    let keys = keys::copy(&source.forest, &source.packs, engines, forest_limits(to), &source.probe).await?;
    source.probe.reached(points::KEYS_COPIED);
    shown.say("opening samples at the new place");
    figures.proof = keys.prove(&old, engines, forest_limits(to), &source.probe).await?;
    source.probe.reached(points::PROVEN);
    copier.check_stop()?;
    Ok(Proven { keys, figures, held_off })
}

impl Copier<'_> {
    fn check_stop(&self) -> Result<(), MoveError> {
        if self.stop.is_cancelled() { Err(MoveError::Stopped) } else { Ok(()) }
    }

    /// Brings everything into line, from the first row to the last.
    async fn everything(&self, figures: &mut Figures) -> Result<(), MoveError> {
        self.books.books().await?;
        let mut all = Tally::default();
        let mut from = 0;
        // Groups issued while this runs are touched, and so noted.
        let end = self.source.forest.high_water().0 / Group::SIZE;
        while from < end {
            self.check_stop()?;
            let some: Vec<Group> = (from..(from + STEP as u64).min(end)).map(Group).collect();
            let tally = self.rows.groups(&some).await?;
            self.rows.shown.looked_at(tally.interactions);
            all.add(tally);
            from += STEP as u64;
        }
        figures.add(all);
        figures.contents = all.contents;
        figures.directory_blocks = self.books.directory().await?;
        let settled = self.books.purges().await?;
        figures.erasures = settled.purges;
        // Looked at again until they are sealed.
        self.source.metadata.note(Touched { purges: settled.unsealed.into_iter().collect(), ..Touched::default() });
        Ok(())
    }

    /// Brings into line what was touched; what cannot be yet is noted again.
    async fn catch_up(&self, figures: &mut Figures) -> Result<(), MoveError> {
        self.check_stop()?;
        let touched = self.source.metadata.take();
        let caught = self.bring_up(&touched).await;
        match caught {
            Ok((tally, unsealed)) => {
                figures.add(tally);
                self.source.metadata.note(unsealed);
                Ok(())
            }
            Err(error) => {
                self.source.metadata.note(touched);
                Err(error)
            }
        }
    }

    async fn bring_up(&self, touched: &Touched) -> Result<(Tally, Touched), MoveError> {
        if touched.books {
            self.books.books().await?;
        }
        let settled = self.books.these_purges(&touched.purges).await?;
        let leaves = books::leaves(touched.leaves.iter().copied().chain(settled.leaves));
        let found = self.rows.groups_of(&leaves).await?;
        let groups = books::groups(touched.groups.iter().copied().chain(settled.groups).chain(found));
        let mut all = Tally::default();
        for some in groups.chunks(STEP) {
            all.add(self.rows.groups(some).await?);
        }
        let blocks: Vec<u64> = touched.blocks.iter().copied().collect();
        self.books.blocks(&blocks).await?;
        Ok((all, Touched { purges: settled.unsealed.into_iter().collect(), ..Touched::default() }))
    }

    /// With changes held off: catches up until nothing is left, and looks once more at what was touched last.
    async fn come_to_rest(&self, figures: &mut Figures) -> Result<(), MoveError> {
        for _ in 0..ROUNDS {
            if self.source.metadata.noted() == 0 {
                return Ok(());
            }
            let touched = self.source.metadata.take();
            self.source.metadata.note(touched.clone());
            self.catch_up(figures).await?;
            let (tally, unsealed) = self.bring_up(&touched).await?;
            if tally.changed > 0 || !unsealed.purges.is_empty() {
                return Err(MoveError::Differs("rows change although changes are held off"));
            }
        }
        Err(MoveError::Differs("rows change although changes are held off"))
    }

    /// Nothing is stated here any more that the new place would not know.
    async fn hold_log_off(&self, log: Arc<TransparencyLog>, figures: &mut Figures) -> Result<(), MoveError> {
        let held = Arc::clone(&log);
        super::blocking(move || held.hold_off()).await?;
        self.books.wait_for_notes(&log).await?;
        // Whoever noted it is among those that were let through, and is through with it behind the gate.
        let through = tokio::time::timeout(NOTED_WITHIN, self.source.metadata.close_gate()).await;
        through.map_err(|_| MoveError::Unnoted)?;
        self.come_to_rest(figures).await?;
        if self.books.fits(&log).await? {
            return Ok(());
        }
        Err(MoveError::Differs("the log tells of what the new rows do not know"))
    }

    /// Waits until every erasure that was accepted is sealed, and the rows and the log say so.
    async fn seal_everything(&self) -> Result<(), MoveError> {
        let rows = self.source.metadata.inner();
        let deadline = Instant::now() + SEALED_WITHIN;
        loop {
            let unsealed = rows.unsealed_purges().await?;
            if unsealed.is_empty() && self.books.is_certified().await? {
                return Ok(());
            }
            let mut sealed = Vec::new();
            for purge in unsealed {
                let leaves: Vec<Leaf> = purge.set.expand().iter().collect();
                if live(&self.source.forest, leaves).await?.values().all(|live| !live) {
                    sealed.push(purge.id);
                }
            }
            if !sealed.is_empty() {
                self.source.metadata.note(Touched { purges: sealed.iter().copied().collect(), ..Touched::default() });
                let epoch = self.source.forest.epoch();
                let writes = vec![Write::SealPurges(sealed, epoch, self.source.clock.now()), Write::SetEpoch(epoch)];
                rows.apply(Transaction { name: "purge.sealed", checks: Vec::new(), writes }).await?;
            }
            if Instant::now() > deadline {
                return Err(MoveError::Unsealed);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Both places must count the same: rows here, less those of erased interactions that were not swept yet.
    async fn count(&self, figures: &mut Figures) -> Result<(), MoveError> {
        let rows = self.source.metadata.inner();
        let unswept = rows.unswept_purges(None, UNSWEPT).await?;
        let erased = books::groups(unswept.iter().flat_map(|purge| purge.set.interactions.iter().map(|leaf| leaf.0)));
        let mut dead = 0;
        for some in erased.chunks(STEP) {
            dead += rows.interactions(some).await?.len() as u64;
        }
        let there = self.rows.to.count_interactions().await?;
        if rows.count_interactions().await? != there + dead {
            return Err(MoveError::Differs("another number of interactions is there"));
        }
        figures.interactions = there;
        Ok(())
    }

    /// Compares the bucket's listing with the rows: every content must be there at its length.
    async fn listed(&self, engines: &Engines) -> Result<(), MoveError> {
        let live = There(Arc::clone(&engines.metadata));
        loop {
            self.check_stop()?;
            let report = engines.blobs.sweep_orphans(&live).await?;
            if report.missing > 0 {
                return Err(MoveError::Differs("the bucket does not list every content at its length"));
            }
            if !report.unfinished {
                return Ok(());
            }
        }
    }
}

/// The new rows, for the bucket's own comparison.
struct There(Arc<dyn Metadata>);

#[async_trait::async_trait]
impl LiveBlobs for There {
    async fn live(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        self.0.live_blobs(blobs).await
    }
    async fn switch(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        self.0.switch_blob(from, to).await
    }
    async fn with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        self.0.blobs_with_prefix(prefix).await
    }
}
