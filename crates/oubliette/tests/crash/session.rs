//! One stretch of load with an end, common to all crash tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::load::{World, work};
use crate::program::Running;
use crate::random::Random;

/// Clients at work.
const CLIENTS: usize = 5;

/// Clients at work on a running program.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Sets them to work.
    pub fn begin(world: &Arc<World>, running: &Running, random: &mut Random) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(work(Arc::clone(world), running.clients.clone(), random.fork(), Arc::clone(&stop)));
        }
        Self { stop, clients }
    }

    /// Waits until every client found the program silent, at most so long.
    pub async fn fell_silent(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, async { while self.clients.join_next().await.is_some() {} }).await.is_ok()
    }

    /// Tells them to stop and waits for what they have under way.
    pub async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
    }
}

/// Lets clients work for so long; the program must still run then.
pub async fn load_for(world: &Arc<World>, running: &mut Running, random: &mut Random, span: Duration) -> Load {
    let load = Load::begin(world, running, random);
    tokio::time::sleep(span).await;
    if let Some(status) = running.process.ended() {
        world.complain(format!("the program ended by itself under load: {status}"));
    }
    load
}

/// A random stretch, short ones more often.
pub fn moment(random: &mut Random, most_ms: u64) -> Duration {
    let most = 1 + random.below(most_ms);
    Duration::from_millis(1 + random.below(most))
}
