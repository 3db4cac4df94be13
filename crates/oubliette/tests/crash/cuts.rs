//! Power cuts: data and register on a file system that is shut down in the midst of the load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::check::hold;
use crate::load::World;
use crate::program::Program;
use crate::random::Random;
use crate::rig::{Disk, Kind, Workspace, count, figure, has_commands, has_loop_devices};
use crate::session::{load_for, moment};

async fn what_was_answered_holds_after_power_cuts(kind: Kind) {
    let test = format!("cuts-{kind:?}").to_lowercase();
    if !has_loop_devices(&test) || !has_commands(&test, &["xfs_io", "mkfs.xfs", "mkfs.ext4"]) {
        return;
    }
    let (cuts, begun) = (count("CUTS", 10, 50), Instant::now());
    let mut random = Random::new(&test);
    let workspace = Workspace::new(&test);
    // One disk for both: a power cut takes them in the same moment.
    let disk = Disk::create(&workspace, "disk", kind, 1536);
    let program = Program::create(&workspace, &disk.path().join("data"), &disk.path().join("register")).await;
    let world: Arc<World> = World::new(&mut random);
    let mut early = 0;
    for _ in 0..cuts {
        if random.once_in(5) {
            let mut process = program.spawn(&[]);
            tokio::time::sleep(moment(&mut random, 400)).await;
            process.freeze();
            disk.cut();
            process.kill();
            early += 1;
        } else {
            let mut running = program.start().await;
            hold(&world, &running.clients, &mut random, false).await;
            world.settle(&format!("after a power cut\n{}", program.log_tail()));
            let span = moment(&mut random, 2000);
            let load = load_for(&world, &mut running, &mut random, span).await;
            // The whole machine stops in one moment. (A flush that is under way while the file system is shut down may be
            // told as done by the kernel: no client of a machine without power would hear of it.)
            running.process.freeze();
            disk.cut();
            running.process.kill();
            load.end().await;
        }
        disk.restore();
    }
    let mut running = program.start().await;
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("at the end\n{}", program.log_tail()));
    running.process.kill();
    drop(running);
    disk.close();
    let tally = world.ledger.tally();
    figure(
        &test,
        &format!(
            "{cuts} cuts ({early} while starting), {} changes answered, at the end {} live and {} erased items held, {:.0} s",
            world.answered.load(Ordering::Relaxed),
            tally.live,
            tally.deleted,
            begun.elapsed().as_secs_f64()
        ),
    );
}

#[tokio::test]
async fn what_was_answered_holds_after_power_cuts_on_ext4() {
    what_was_answered_holds_after_power_cuts(Kind::Ext4).await;
}

#[tokio::test]
async fn what_was_answered_holds_after_power_cuts_on_xfs() {
    what_was_answered_holds_after_power_cuts(Kind::Xfs).await;
}

/// The control: if flushes were lies, the cuts would show it. A harness that sees nothing here sees nothing anywhere.
#[tokio::test]
async fn a_program_whose_flushes_are_lies_is_caught_by_a_power_cut() {
    let test = "cuts-control";
    if !has_loop_devices(test) || !has_commands(test, &["xfs_io", "mkfs.ext4", "strace"]) {
        return;
    }
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let disk = Disk::create(&workspace, "disk", Kind::Ext4, 1536);
    let program = Program::create(&workspace, &disk.path().join("data"), &disk.path().join("register")).await;
    let world: Arc<World> = World::new(&mut random);
    let mut running = program.start_lying("fsync,fdatasync,sync_file_range").await.expect("it starts all the same");
    let load = load_for(&world, &mut running, &mut random, std::time::Duration::from_secs(2)).await;
    disk.cut();
    running.process.kill();
    load.end().await;
    drop(running);
    disk.restore();
    assert!(world.ledger.tally().live > 0, "something was answered as stored");
    let caught = match program.try_start(&[]).await {
        // It may well refuse: the keys on the disk belong to another database than the one on the disk.
        Err(_) => true,
        Ok(mut running) => {
            hold(&world, &running.clients, &mut random, true).await;
            running.process.kill();
            !world.complaints.lock().unwrap().is_empty()
        }
    };
    assert!(caught, "flushes were lies and nothing was lost");
    disk.close();
}
