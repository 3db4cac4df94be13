//! Crashing on purpose: compiled in only with the feature `crashpoints`.
//!
//! `OUBLIETTE_CRASH_AT=POINT` or `POINT:N` kills the process with SIGKILL when the point is reached (for the N-th time).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use keyforest::{NoProbe, Probe};

const VARIABLE: &str = "OUBLIETTE_CRASH_AT";

/// Every named point of all layers that a vault passes by itself; those of a move are in [`crate::moving::points`].
pub fn points() -> Vec<&'static str> {
    let core = oubliette_core::service::CRASH_POINTS.iter().flat_map(|points| points.iter());
    keyforest::CRASH_POINTS
        .iter()
        .chain(core)
        .chain(oubliette_store::metadata::sqlite::CRASH_POINTS)
        .chain(oubliette_store::escrow::escrowed::CRASH_POINTS)
        .copied()
        .collect()
}

/// The probe the environment asks for.
pub fn probe_from_environment() -> Arc<dyn Probe> {
    match std::env::var(VARIABLE) {
        Ok(wanted) => {
            let (point, count) = wanted.rsplit_once(':').unwrap_or((&wanted, "1"));
            Arc::new(CrashAt {
                point: point.to_owned(),
                count: count.parse().unwrap_or(1),
                seen: Mutex::new(HashMap::new()),
            })
        }
        Err(_) => Arc::new(NoProbe),
    }
}

struct CrashAt {
    point: String,
    count: u64,
    seen: Mutex<HashMap<&'static str, u64>>,
}

impl Probe for CrashAt {
    fn reached(&self, point: &'static str) {
        if point != self.point {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = seen.entry(point).or_default();
        *count += 1;
        if *count == self.count {
            eprintln!("crashing at {point}");
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal may take a moment; nothing may happen after the point.
            loop {
                std::thread::park();
            }
        }
    }
}
