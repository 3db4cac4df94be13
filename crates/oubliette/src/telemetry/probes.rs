//! A probe that times seals for the figures.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use keyforest::Probe;

const BEGUN: &str = "keyforest.seal.begun";
const INSTALLED: &str = "keyforest.seal.installed";

/// Measures the time between two points of a seal and passes every point on.
pub struct SealTimer {
    inner: Arc<dyn Probe>,
    begun: Mutex<Option<Instant>>,
}

impl SealTimer {
    /// Around another probe.
    pub fn new(inner: Arc<dyn Probe>) -> Self {
        Self { inner, begun: Mutex::new(None) }
    }
}

impl Probe for SealTimer {
    fn reached(&self, point: &'static str) {
        if point == BEGUN || point == INSTALLED {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            match (point, *begun) {
                (BEGUN, _) => *begun = Some(Instant::now()),
                (_, Some(since)) => {
                    *begun = None;
                    metrics::histogram!("oubliette_seal_seconds").record(since.elapsed().as_secs_f64());
                }
                (_, None) => {}
            }
        }
        self.inner.reached(point);
    }
}
