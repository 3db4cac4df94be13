//! A file system that turns read-only under a serving program, as the kernel does when it finds damage.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::check::hold;
use crate::clients::{Clients, Generation, Outcome};
use crate::ledger::{Fate, hash};
use crate::load::{World, now};
use crate::program::{Program, Running};
use crate::random::Random;
use crate::rig::{Disk, Kind, Workspace, count, figure, has_commands, has_loop_devices};
use crate::session::{Load, load_for, moment};

/// What became of the rounds.
#[derive(Default)]
struct Tally {
    /// The process ended itself with the documented code.
    ended: usize,
    /// Changes that were answered with 503.
    refused: usize,
    /// Live contents read from the disk that takes no writes.
    read: usize,
}

#[tokio::test]
async fn a_disk_that_turns_read_only_under_load_loses_nothing_that_was_answered() {
    let test = "turns-read-only";
    if !has_loop_devices(test) || !has_commands(test, &["mkfs.ext4"]) {
        return;
    }
    let (rounds, begun) = (count("READ_ONLY", 6, 40), Instant::now());
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let disk = Disk::create(&workspace, "disk", Kind::Ext4, 1024);
    let other = Disk::create(&workspace, "other", Kind::Ext4, 64);
    let program = Program::create(&workspace, &disk.path().join("data"), &other.path().join("register")).await;
    let world: Arc<World> = World::new(&mut random);
    let mut tally = Tally::default();
    for round in 0..rounds {
        let mut running = program.start().await;
        hold(&world, &running.clients, &mut random, false).await;
        world.settle(&format!("after the disk had turned read-only\n{}", program.log_tail()));
        let span = moment(&mut random, 1500);
        let load = load_for(&world, &mut running, &mut random, span).await;
        // Every other time in the midst of the load; else one change of each dialect is looked at by itself.
        if round % 2 == 0 {
            disk.turn_read_only();
            under_load(load, &world, &mut running, &mut random, &mut tally).await;
        } else {
            load.end().await;
            disk.turn_read_only();
            one_by_one(&world, &mut running, &mut random, &mut tally).await;
        }
        world.settle(&format!("read-only\n{}", program.log_tail()));
        running.process.kill();
        drop(running);
        disk.restore();
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
            "{rounds} times read-only under a serving program: {} times it ended itself, {} changes refused with 503, {} \
             contents still read; {} changes answered before, {:.0} s",
            tally.ended,
            tally.refused,
            tally.read,
            world.answered.load(Ordering::Relaxed),
            begun.elapsed().as_secs_f64()
        ),
    );
    assert!(tally.ended + tally.refused >= rounds, "some disk was never read-only");
}

/// The clients go on until the program has ended itself or for some seconds.
async fn under_load(mut load: Load, world: &World, running: &mut Running, random: &mut Random, tally: &mut Tally) {
    if load.fell_silent(Duration::from_secs(3)).await {
        ended(world, running, tally);
        load.end().await;
    } else {
        load.end().await;
        one_by_one(world, running, random, tally).await;
    }
}

/// Changes in every dialect, each refused or the last thing the program hears; reads as long as it runs.
async fn one_by_one(world: &World, running: &mut Running, random: &mut Random, tally: &mut Tally) {
    let clients = running.clients.clone();
    read(world, &clients, random, tally).await;
    let session = format!("read-only-{}", random.next());
    let wav = random.wav(20_000);
    let phone = "+15125550000";
    for what in [
        "native create",
        "elevateai declare",
        "creovai capture",
        "native put",
        "elevateai delete",
        "vonage delete",
        "creovai purge",
    ] {
        let taken = match what {
            "native create" | "elevateai declare" | "creovai capture" => None,
            _ => world.ledger.take(random.next(), |item| !item.contents.is_empty()),
        };
        let id = taken.as_ref().map(|(_, item)| item.id().to_owned());
        let outcome = match (what, &id) {
            ("native create", _) => clients.native_create(&session, phone, &now()).await.map(drop),
            ("elevateai declare", _) => clients.elevateai_declare_audio().await.map(drop),
            ("creovai capture", _) => {
                clients.creovai_call(Generation::V2, &session, phone, &now(), &wav).await.map(drop)
            }
            ("native put", Some(id)) => clients.native_put(id, "note-2", "text/plain", &wav).await,
            ("elevateai delete", Some(id)) => clients.elevateai_delete(id).await,
            ("vonage delete", Some(id)) => clients.vonage_delete_interaction(id).await,
            ("creovai purge", Some(id)) => clients.creovai_purge_ids(Generation::V1, &[id]).await.map(drop),
            _ => continue,
        };
        if let Some((number, mut item)) = taken {
            // It may have come as far as the memory: settled by what the disk says later.
            if what != "native put" {
                item.fate = Fate::Doubt;
            }
            world.ledger.put(number, item);
        }
        match outcome {
            Outcome::Doubt(Some(status)) if status == 503 => tally.refused += 1,
            Outcome::Doubt(None) => return ended(world, running, tally),
            other => world.complain(format!("{what} on a read-only disk: {other:?}")),
        }
    }
    read(world, &clients, random, tally).await;
}

/// A live content opens, or there is no program any more.
async fn read(world: &World, clients: &Clients, random: &mut Random, tally: &mut Tally) {
    let live = |item: &crate::ledger::Item| item.contents.iter().any(|content| content.fate == Fate::Live);
    let Some((number, item)) = world.ledger.take(random.next(), live) else { return };
    let content = item.contents.iter().find(|content| content.fate == Fate::Live).expect("taken because it has one");
    match clients.native_content(item.id(), &content.key).await {
        Some(reply) if reply.status == 200 && content.hashes.contains(&hash(&reply.body)) => tally.read += 1,
        Some(reply) => world.complain(format!("a live content on a read-only disk answers {}", reply.status)),
        None => {}
    }
    world.ledger.put(number, item);
}

fn ended(world: &World, running: &mut Running, tally: &mut Tally) {
    match running.media_failed() {
        Ok(()) => tally.ended += 1,
        Err(how) => world.complain(how),
    }
}

#[tokio::test]
async fn a_process_whose_medium_takes_no_flush_ends_with_the_documented_code() {
    let test = "exit-code";
    if !has_loop_devices(test) || !has_commands(test, &["xfs_io", "mkfs.ext4"]) {
        return;
    }
    // What supervisors rely on stands in the manual, so it is read there.
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let manual = fs::read_to_string(manual).unwrap();
    assert!(
        manual.lines().any(|line| line.starts_with("| 74 |") && line.contains("a flush failed")),
        "the manual says 74"
    );
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    for kind in [Kind::Ext4, Kind::Xfs] {
        let disk = Disk::create(&workspace, &format!("disk-{kind:?}"), kind, 512);
        let program = Program::create(&workspace, &disk.path().join("data"), &disk.path().join("register")).await;
        let mut running = program.start().await;
        let made = running.clients.native_create("exit-code", "+15125550000", &now()).await;
        assert!(matches!(made, Outcome::Done(_)), "{made:?}");
        assert!(running.process.ended().is_none());
        disk.cut();
        // The first change has to be flushed; it is not answered as done, and nothing is after it.
        let made = running.clients.native_create("exit-code-2", "+15125550000", &now()).await;
        assert!(matches!(made, Outcome::Doubt(_)), "{made:?}");
        running.media_failed().unwrap_or_else(|how| panic!("{how}\n{}", program.log_tail()));
        assert!(program.log_tail().contains("a flush failed"), "the log says why\n{}", program.log_tail());
        drop(running);
        disk.restore();
        let mut running = program.start().await;
        let world = World::new(&mut random);
        hold(&world, &running.clients, &mut random, true).await;
        world.settle(&format!("after the disk came back\n{}", program.log_tail()));
        running.process.terminate();
        let status = running.process.wait(Duration::from_secs(30)).expect("it stops when asked");
        assert_eq!(status.code(), Some(0), "control: an orderly end has another code");
        drop(running);
        disk.close();
    }
}
