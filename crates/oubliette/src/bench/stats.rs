//! Medians and the processor's share.

use std::time::{Duration, Instant};

/// The median of some durations.
pub fn median(durations: &mut [Duration]) -> Duration {
    percentile(durations, 50)
}

/// A percentile (nearest rank) of some durations; zero of none.
pub fn percentile(durations: &mut [Duration], percent: usize) -> Duration {
    durations.sort_unstable();
    let rank = (durations.len() * percent).div_ceil(100).max(1) - 1;
    durations.get(rank).copied().unwrap_or_default()
}

/// Measures how busy the cores were with this process.
pub struct Cores {
    begun: Instant,
    used: Duration,
}

impl Cores {
    /// From now on.
    pub fn start() -> Self {
        Self { begun: Instant::now(), used: used() }
    }

    /// The share of all cores this process used since, from 0 to 1.
    pub fn share(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        (used() - self.used).as_secs_f64() / (self.begun.elapsed().as_secs_f64() * cores)
    }
}

fn used() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{median, percentile};

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut durations: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(median(&mut durations), Duration::from_millis(50));
        assert_eq!(percentile(&mut durations, 99), Duration::from_millis(99));
        assert_eq!(median(&mut []), Duration::ZERO);
    }
}
