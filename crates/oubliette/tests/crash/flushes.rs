//! Recovery at every flush of a logged run: what the disk held at that moment, and the ledger as of that moment.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::check::hold;
use crate::clients::Keys;
use crate::images::Images;
use crate::ledger::Ledger;
use crate::load::World;
use crate::program::Program;
use crate::random::Random;
use crate::rig::{Disk, Kind, Workspace, count, figure, has_commands, has_loop_devices};
use crate::session::Load;
use crate::writelog::{LoggedDisk, Replay, meter};

/// Recoveries checked at once.
const WORKERS: usize = 2;

#[tokio::test]
async fn what_was_answered_holds_on_the_disk_as_it_was_at_every_flush() {
    let test = "flushes";
    if !has_loop_devices(test) || !has_commands(test, &["qemu-storage-daemon", "fusermount3", "mkfs.ext4", "mkfs.xfs"])
    {
        return;
    }
    let (wanted, begun) = (count("FLUSHES", 120, 2000) as u64, Instant::now());
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let logged = LoggedDisk::create(&workspace, 512, 8192);
    let images = Images::create(&workspace);
    let program = Program::create(&workspace, &logged.path().join("data"), &logged.path().join("register")).await;
    let keys = program.keys().clone();

    // The run: clients at work until there are enough flushes.
    let entries = meter(logged.log());
    let flushes = {
        let log = Mutex::new((logged.log(), 0_u64));
        move || {
            let mut log = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            while let Some(entry) = log.0.read().expect("the log can be read") {
                log.1 += u64::from(entry.flush);
            }
            log.1
        }
    };
    let mut running = program.start().await;
    let (first_entry, first_flush) = (entries(), flushes());
    let world = Arc::new(World::with(&mut random, Ledger::with_history(Box::new(entries)), 6_000, 16));
    let load = Load::begin(&world, &running, &mut random);
    let limit = Duration::from_secs(if wanted > 500 { 600 } else { 120 });
    while flushes() - first_flush < wanted && begun.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    load.end().await;
    world.settle("during the logged run");
    running.process.kill();
    let (log, size) = logged.finish();

    // The replay: recover at each flush.
    let replay = Replay::begin(&log, &images.image(), size).expect("the log can be read");
    let points = Mutex::new(Points { replay, first: first_entry, left: wanted, states: 0 });
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (mut random, keys) = (random.fork(), keys.clone());
            let (images, points, ledger) = (&images, &points, &world.ledger);
            scope.spawn(move || recover_all(worker, images, points, ledger, &keys, &mut random));
        }
    });
    let points = points.into_inner().expect("a failed check has ended the test");
    let (recovered, states) = (wanted - points.left, points.states);
    let tally = world.ledger.tally();
    figure(
        test,
        &format!(
            "recovered at {recovered} flushes ({states} different states) of a logged run with {} changes answered, {} live and {} erased items at its end, {:.0} s",
            world.answered.load(Ordering::Relaxed),
            tally.live,
            tally.deleted + tally.accepted,
            begun.elapsed().as_secs_f64()
        ),
    );
    assert!(recovered >= wanted.min(100), "only {recovered} flushes in the logged run");
}

/// The flushes that are still to be looked at.
struct Points {
    replay: Replay,
    first: u64,
    left: u64,
    states: usize,
}

impl Points {
    /// Goes on to the next state of the disk and copies it to `to`. The last entry at which the disk was in that state: what
    /// was answered until then must hold.
    fn next(&mut self, images: &Images, to: &Path) -> Option<u64> {
        loop {
            let state = self.replay.next_state().expect("the log can be replayed").filter(|_| self.left > 0)?;
            if state.entry >= self.first {
                self.left = self.left.saturating_sub(state.flushes);
                self.states += 1;
                images.copy(to);
                return Some(state.entry);
            }
        }
    }
}

/// Whoever fails ends the work of the others, too.
struct EndAll<'p>(&'p Mutex<Points>);

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(mut points) = self.0.lock()
        {
            points.left = 0;
        }
    }
}

fn recover_all(
    worker: usize,
    images: &Images,
    points: &Mutex<Points>,
    ledger: &Ledger,
    keys: &Keys,
    random: &mut Random,
) {
    let _end_all = EndAll(points);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let workspace = Workspace::new(&format!("flushes-{worker}"));
    let copy = images.path(&format!("recovered-{worker}.raw"));
    loop {
        let next = points.lock().expect("nobody fails while he asks").next(images, &copy);
        let Some(entry) = next else { return };
        runtime.block_on(recover(&workspace, &copy, ledger, entry, keys, random));
        let _ = fs::remove_file(workspace.path("program.log"));
    }
}

/// Recovers one state of the disk and holds the program to what had been answered by then.
async fn recover(workspace: &Workspace, copy: &Path, ledger: &Ledger, entry: u64, keys: &Keys, random: &mut Random) {
    let disk = Disk::open(workspace, "recovered", Kind::Ext4, copy);
    let program = Program::on(workspace, &disk.path().join("data"), &disk.path().join("register"), keys.clone());
    let mut running = program.start().await;
    let then = World::with(random, ledger.as_of(entry), 0, 0);
    hold(&then, &running.clients, random, false).await;
    then.settle(&format!("recovered at entry {entry}\n{}", program.log_tail()));
    running.process.kill();
    drop(running);
    disk.close();
}
