//! Disks that fail: flushes that answer EIO, a device that takes nothing any more, a full disk, a read-only one.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::check::hold;
use crate::clients::Outcome;
use crate::load::{World, now};
use crate::program::{Program, Running};
use crate::random::Random;
use crate::rig::{Disk, Kind, Workspace, count, figure, has_commands, has_loop_devices};
use crate::session::Load;

/// How long load may go on until the fault is met.
const REACH_LIMIT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_flush_that_fails_ends_the_process_and_loses_nothing() {
    let test = "bad-flush";
    if !has_loop_devices(test) || !has_commands(test, &["strace", "xfs_io", "mkfs.ext4"]) {
        return;
    }
    let (faults, begun) = (count("FAULTS", 16, 80), Instant::now());
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let disk = Disk::create(&workspace, "disk", Kind::Ext4, 1536);
    let program = Program::create(&workspace, &disk.path().join("data"), &disk.path().join("register")).await;
    let world: Arc<World> = World::new(&mut random);
    let (mut met, mut cuts) = (0, 0);
    for fault in 0..faults {
        // Each thread counts for itself: small numbers reach every flush of a seal in some thread or other.
        let (calls, nth) = (
            ["fdatasync", "fsync", "fsync,fdatasync,sync_file_range"][fault % 3],
            1 + fault as u64 / 3 + random.below(6),
        );
        let mut running = match program.start_failing(calls, nth).await {
            Ok(running) => running,
            Err(status) => {
                assert!(
                    status.is_some_and(|status| matches!(status.code(), Some(1 | 74))),
                    "a start that meets a bad flush ends: {status:?}"
                );
                met += 1;
                continue;
            }
        };
        let mut load = Load::begin(&world, &running, &mut random);
        let ended = load.fell_silent(REACH_LIMIT).await;
        met += usize::from(ended);
        if ended {
            running.media_failed().unwrap_or_else(|how| world.complain(how));
        }
        running.process.kill();
        load.end().await;
        drop(running);
        // Recovery reads what the cache shows, which may be more than the disk has; then the disk shows what it has.
        let mut running = program.start().await;
        hold(&world, &running.clients, &mut random, false).await;
        world.settle(&format!("after {calls} number {nth} failed\n{}", program.log_tail()));
        let load = Load::begin(&world, &running, &mut random);
        tokio::time::sleep(Duration::from_millis(random.below(200))).await;
        if random.once_in(2) {
            running.process.freeze();
            disk.cut();
            cuts += 1;
            running.process.kill();
            load.end().await;
            drop(running);
            disk.restore();
        } else {
            running.process.kill();
            load.end().await;
        }
    }
    let mut running = program.start().await;
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("at the end\n{}", program.log_tail()));
    running.process.kill();
    drop(running);
    disk.close();
    figure(
        test,
        &format!(
            "{met} of {faults} runs met a failing flush, {cuts} power cuts after the restart, {} changes answered, {:.0} s",
            world.answered.load(Ordering::Relaxed),
            begun.elapsed().as_secs_f64()
        ),
    );
    assert!(met * 2 > faults, "most runs meet their fault ({met} of {faults})");
}

#[tokio::test]
async fn a_full_disk_refuses_clearly_still_erases_and_heals() {
    let test = "full-disk";
    if !has_loop_devices(test) || !has_commands(test, &["mkfs.ext4"]) {
        return;
    }
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let disk = Disk::create(&workspace, "disk", Kind::Ext4, 192);
    let program = Program::create(&workspace, &disk.path().join("data"), &disk.path().join("register")).await;
    let world: Arc<World> = World::new(&mut random);
    let mut running = program.start().await;
    let load = Load::begin(&world, &running, &mut random);
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.end().await;

    // Somebody else's file takes all the space.
    let filler = disk.path().join("filler");
    fill(&filler);
    let id = refuse_until_clear(&running, &mut random).await;

    // Reads go on, and so do erasures: the key state has room of its own.
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("on a full disk\n{}", program.log_tail()));
    let mut erased = 0;
    for _ in 0..5 {
        let Some((number, mut item)) = world.ledger.take(random.next(), |_| true) else { break };
        match running.clients.elevateai_delete(item.id()).await {
            Outcome::Done(()) => {
                item.fate = crate::ledger::Fate::Deleted;
                erased += 1;
            }
            other => panic!("a delete on a full disk: {other:?}\n{}", program.log_tail()),
        }
        world.ledger.put(number, item);
    }
    assert_eq!(erased, 5, "there were live items to erase");
    assert!(running.process.ended().is_none(), "a full disk does not end the program\n{}", program.log_tail());

    fs::remove_file(&filler).unwrap();
    heals(&running, id.as_deref(), &mut random).await;
    let load = Load::begin(&world, &running, &mut random);
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.end().await;
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("after space came back\n{}", program.log_tail()));
    running.process.kill();

    // A start on a full disk is either served or refused in words, and harms nothing.
    fill(&filler);
    match program.try_start(&[]).await {
        Ok(mut running) => running.process.kill(),
        Err(status) => assert!(status.is_some_and(|status| status.code().is_some()), "{status:?}"),
    }
    fs::remove_file(&filler).unwrap();
    let mut running = program.start().await;
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("after a start on a full disk\n{}", program.log_tail()));
    running.process.kill();
    drop(running);
    disk.close();
    figure(test, &format!("refused, {erased} of 5 erased while full, healed without a restart"));
}

fn fill(filler: &std::path::Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(filler).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![7; size]).and_then(|()| file.sync_data()).is_ok() {}
    }
}

/// Stores until the program refuses with a server's error, and never with anything else. Gives the last interaction made.
async fn refuse_until_clear(running: &Running, random: &mut Random) -> Option<String> {
    let mut last = None;
    for step in 0..200 {
        let session = format!("full-{step}");
        match running.clients.native_create(&session, "+15125550000", &now()).await {
            Outcome::Done(id) => {
                let outcome =
                    running.clients.native_put(&id, "callRecording", "audio/wav", &random.bytes(200_000)).await;
                last = Some(id);
                if let Outcome::Doubt(Some(status)) = outcome {
                    assert!(status == 503 || status == 507, "a full disk is told as {status}");
                    return last;
                }
                assert!(matches!(outcome, Outcome::Done(())), "a put on a full disk: {outcome:?}");
            }
            Outcome::Doubt(Some(status)) => {
                assert!(status == 503 || status == 507, "a full disk is told as {status}");
                return last;
            }
            other => panic!("a full disk: {other:?}"),
        }
    }
    panic!("the disk never gets full");
}

/// Within a while everything is taken again.
async fn heals(running: &Running, id: Option<&str>, random: &mut Random) {
    let begun = Instant::now();
    loop {
        let session = format!("healed-{}", random.next());
        let made = running.clients.native_create(&session, "+15125550000", &now()).await;
        let id = match (&made, id) {
            (Outcome::Done(id), _) => Some(id.clone()),
            (_, id) => id.map(str::to_owned),
        };
        if let (Outcome::Done(_), Some(id)) = (&made, id) {
            let put = running.clients.native_put(&id, "callRecording", "audio/wav", &random.bytes(50_000)).await;
            if matches!(put, Outcome::Done(())) {
                return;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "space is back, but nothing is taken: {made:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_read_only_disk_is_told_at_the_start_and_harms_nothing() {
    let test = "read-only-disk";
    if !has_loop_devices(test) || !has_commands(test, &["mkfs.ext4"]) {
        return;
    }
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let disk = Disk::create(&workspace, "disk", Kind::Ext4, 512);
    let program = Program::create(&workspace, &disk.path().join("data"), &disk.path().join("register")).await;
    let world: Arc<World> = World::new(&mut random);
    let mut running = program.start().await;
    let load = Load::begin(&world, &running, &mut random);
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.process.kill();
    load.end().await;
    drop(running);
    disk.read_only(true).expect("nobody has files open");
    match program.try_start(&[]).await {
        Err(Some(status)) => assert!(status.code().is_some_and(|code| code != 0), "{status:?}"),
        Err(None) => panic!("the program neither serves nor ends\n{}", program.log_tail()),
        Ok(_) => panic!("the program serves from a disk that takes nothing"),
    }
    let told = program.log_tail();
    assert!(told.to_lowercase().contains("read-only"), "the error says why:\n{told}");
    disk.read_only(false).expect("writable again");
    let mut running = program.start().await;
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("writable again\n{}", program.log_tail()));
    running.process.kill();
    drop(running);
    disk.close();
    figure(test, "refused to start in words, served again once writable");
}
