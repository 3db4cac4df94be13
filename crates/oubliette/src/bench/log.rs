//! `bench erase`: what the log costs a delete. The same deletes in two vaults, one of which tells no log, in turn: what disturbs
//! one disturbs the other.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::erase::{SMALL, parallel};
use super::rig::{Background, Rig};
use super::stats::median;
use super::{Figures, put};

/// How often each vault has its turn.
const TURNS: usize = 8;
/// How long the log may take to hear of a turn's seals.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ratios of times with a log to times without; `deletes` in each vault.
pub(super) async fn overhead(folder: &Path, deletes: usize, figures: &mut Figures) -> Result<()> {
    let told = Rig::start(folder, Background::Kept).await?;
    let silent = Rig::start(folder, Background::Silent).await?;
    let done = compare(&told, &silent, deletes, figures).await;
    told.end().await?;
    silent.end().await?;
    done
}

async fn compare(told: &Rig, silent: &Rig, deletes: usize, figures: &mut Figures) -> Result<()> {
    let each = deletes.div_ceil(TURNS);
    let (mut ratios, mut ratios_told, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let of_told = told.fill(each, 1, SMALL, None).await?;
        let of_silent = silent.fill(each, 1, SMALL, None).await?;
        settle(told).await?;
        // The first of a pair is now one, now the other.
        let (with, without, wait);
        if turn % 2 == 0 {
            with = parallel(told, of_told).await?;
            wait = settle(told).await?;
            without = parallel(silent, of_silent).await?;
        } else {
            without = parallel(silent, of_silent).await?;
            with = parallel(told, of_told).await?;
            wait = settle(told).await?;
        }
        if turn > 0 {
            ratios.push(with.as_secs_f64() / without.as_secs_f64());
            ratios_told.push((with + wait).as_secs_f64() / without.as_secs_f64());
            behind.push(wait);
        }
    }
    put(figures, "log_overhead_ratio", middle(&mut ratios));
    put(figures, "log_overhead_ratio_until_told", middle(&mut ratios_told));
    put(figures, "log_behind_p50_ms", median(&mut behind).as_secs_f64() * 1e3);
    Ok(())
}

/// Waits until the log was told of every seal; how long.
async fn settle(rig: &Rig) -> Result<Duration> {
    let begun = Instant::now();
    while rig.server.vault.status().await?.uncertified > 0 {
        ensure!(begun.elapsed() < PATIENCE, "the log is not told of the seals");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(begun.elapsed())
}

fn middle(ratios: &mut [f64]) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}
