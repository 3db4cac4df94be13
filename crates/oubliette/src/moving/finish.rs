//! The rest of a move whose process ended after the point of no return. Neither place serves until it is through.

use std::sync::Arc;

use keyforest::Probe;
use keyforest::media::Medium;
use oubliette_core::service::Inspection;

use super::marker::{self, Stage};
use super::target::{self, Found};
use super::{Figures, MoveError, keys, points, run};
use crate::config::Config;
use crate::opening::{self, Engines, forest_limits};

/// Finishes the move of the vault in this data folder, which is not open in any other process.
pub async fn finish(from: &Config, to: &Config) -> Result<Figures, MoveError> {
    target::check(from, to)?;
    let probe = opening::program_probe();
    let _lock = opening::lock_data(from)?;
    let old = opening::embedded(from, &probe, None).await?;
    let done = finish_from(&old, to, &probe).await;
    old.metadata.close().await;
    done
}

async fn finish_from(old: &Engines, to: &Config, probe: &Arc<dyn Probe>) -> Result<Figures, MoveError> {
    let instance = old.metadata.instance().await?.instance;
    let leaving = marker::leaving(&*old.metadata).await?.filter(|leaving| leaving.stage == Stage::HandedOver);
    let Some(leaving) = leaving else { return Err(MoveError::Refused("no move of this vault waits to be finished")) };
    match target::look(to, instance).await? {
        Found::Arrived => return Ok(Figures::default()),
        Found::Arriving(there) if there.id == leaving.id => {}
        _ => {
            return Err(MoveError::Refused("the vault was handed over to another place than this configuration names"));
        }
    }
    let engines = target::open(to, instance, probe).await?;
    let done = bring_home(old, &engines, to, probe).await;
    run::leave(engines).await;
    done
}

async fn bring_home(
    old: &Engines,
    engines: &Engines,
    to: &Config,
    probe: &Arc<dyn Probe>,
) -> Result<Figures, MoveError> {
    let mut figures = Figures { interactions: engines.metadata.count_interactions().await?, ..Figures::default() };
    figures.epoch = match keys::placed(engines, forest_limits(to), probe).await? {
        Some(epoch) => epoch,
        None => {
            // Its root died with the process that had it: the old state, which nobody has changed since, is written again.
            let forest = keys::reopen(old, forest_limits(to), probe).await?;
            if !keys::belongs(&forest, engines.metadata.instance().await?.instance) {
                return Err(MoveError::Refused("the register is another vault's"));
            }
            target::clear_keys(engines).await?;
            let old_packs: Arc<dyn Medium> = Arc::clone(&old.packs) as _;
            let copied = keys::copy(&forest, &old_packs, engines, forest_limits(to), probe).await?;
            let inspection = Inspection {
                forest,
                metadata: Arc::clone(&old.metadata),
                blobs: Arc::clone(&old.blobs),
                settings: to.vault_settings()?,
            };
            figures.proof = copied.prove(&inspection, engines, forest_limits(to), probe).await?;
            let epoch = copied.epoch;
            copied.place(engines).await?;
            epoch
        }
    };
    probe.reached(points::ROOT_PLACED);
    keys::finish(&old.register, engines, figures.epoch, probe).await?;
    Ok(figures)
}
