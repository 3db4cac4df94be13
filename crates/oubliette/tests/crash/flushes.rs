//! Recovery at every flush of a logged run: what the disk held at that moment, and the ledger as of that moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::check::hold;
use crate::ledger::Ledger;
use crate::load::World;
use crate::program::Program;
use crate::random::Random;
use crate::rig::{Disk, Kind, Workspace, count, figure, has_commands, has_loop_devices, must};
use crate::session::Load;
use crate::writelog::{LoggedDisk, Replay, meter};

#[tokio::test]
async fn what_was_answered_holds_on_the_disk_as_it_was_at_every_flush() {
    let test = "flushes";
    if !has_loop_devices(test) || !has_commands(test, &["qemu-storage-daemon", "fusermount3", "mkfs.ext4"]) {
        return;
    }
    let (wanted, begun) = (count("FLUSHES", 120, 2000) as u64, Instant::now());
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let logged = LoggedDisk::create(&workspace, 512, 8192);
    let program = Program::create(&workspace, &logged.path().join("data"), &logged.path().join("register")).await;
    let keys = program.keys().clone();

    // The run: clients at work until there are enough flushes.
    let entries = meter(logged.log());
    let flushes = {
        let log = std::sync::Mutex::new((logged.log(), 0_u64));
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
    let (image, copy) = (workspace.path("at-flush.raw"), workspace.path("recovered.raw"));
    let mut replay = Replay::begin(&log, &image, size).expect("the log can be read");
    let mut recovered = 0;
    while let Some(entry) = replay.next_flush().expect("the log can be replayed") {
        if entry < first_entry || recovered >= wanted {
            continue;
        }
        must("cp", ["--sparse=always", image.to_str().unwrap(), copy.to_str().unwrap()]);
        let disk = Disk::open(&workspace, "recovered", Kind::Ext4, &copy);
        let program = Program::on(&workspace, &disk.path().join("data"), &disk.path().join("register"), keys.clone());
        let mut running = program.start().await;
        let then = World::with(&mut random, world.ledger.as_of(entry), 0, 0);
        hold(&then, &running.clients, &mut random, false).await;
        then.settle(&format!("recovered at entry {entry}\n{}", program.log_tail()));
        running.process.kill();
        drop(running);
        disk.close();
        recovered += 1;
    }
    let tally = world.ledger.tally();
    figure(
        test,
        &format!(
            "recovered at {recovered} flushes of a logged run with {} live and {} erased items at its end, {:.0} s",
            tally.live,
            tally.deleted + tally.accepted,
            begun.elapsed().as_secs_f64()
        ),
    );
    assert!(recovered >= wanted.min(100), "only {recovered} flushes in the logged run");
}
