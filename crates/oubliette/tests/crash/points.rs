//! Every named crash point: the process kills itself there, is started again, and is held to its word.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::check::hold;
use crate::load::World;
use crate::program::{Program, binary};
use crate::random::Random;
use crate::rig::{Workspace, figure, must, slow_lane};
use crate::session::Load;

/// How long load may go on until a point is reached.
const REACH_LIMIT: Duration = Duration::from_secs(20);

fn points() -> Vec<String> {
    let text = must(binary(), ["doctor", "--list-crash-points"]);
    let points: Vec<_> = text.lines().map(str::trim).filter(|line| line.contains('.')).map(str::to_owned).collect();
    assert!(points.len() > 10, "the program names its crash points: {text:?}");
    points
}

/// What a point belongs to decides how it is reached.
#[derive(PartialEq, Eq)]
enum Phase {
    Creation,
    Start,
    Load,
    /// No client brings it about; `log::a_process_that_dies_at_any_moment_of_the_log` (store) and `escrow::killed` (it) do.
    Elsewhere,
}

fn phase(point: &str) -> Phase {
    if point.contains(".create.")
        || point == "keyforest.pack.created"
        || point.starts_with("create.")
        || point.starts_with("genesis")
    {
        Phase::Creation
    } else if point.starts_with("escrow.")
        || point.starts_with("log.") && !["log.append.written", "log.append.durable"].contains(&point)
    {
        Phase::Elsewhere
    } else if point.contains("recover") {
        Phase::Start
    } else {
        Phase::Load
    }
}

#[tokio::test]
async fn what_was_answered_holds_after_a_crash_at_every_named_point() {
    let test = "points";
    let begun = Instant::now();
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let program = Program::create(&workspace, &workspace.path("data"), &workspace.path("register")).await;
    let world: Arc<World> = World::new(&mut random);
    let (mut crashes, mut unreached) = (0, Vec::new());
    let times: &[u64] = if slow_lane() { &[1, 2, 5, 9] } else { &[1, 4] };
    for point in points().iter().filter(|point| matches!(phase(point), Phase::Start | Phase::Load)) {
        for time in times {
            let at = format!("{point}:{time}");
            let reached = match phase(point) {
                Phase::Start => crash_while_starting(&world, &program, &mut random, point, *time).await,
                _ => crash_under_load(&world, &program, &mut random, &at).await,
            };
            if !reached {
                unreached.push(at);
                continue;
            }
            crashes += 1;
            // Twice at the same point, the second time with what the first one left.
            let mut running = program.start().await;
            hold(&world, &running.clients, &mut random, false).await;
            world.settle(&format!("after a crash at {at}\n{}", program.log_tail()));
            running.process.kill();
        }
    }
    let mut running = program.start().await;
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("at the end\n{}", program.log_tail()));
    running.process.kill();
    let first: Vec<_> = unreached.iter().filter(|at| at.ends_with(":1")).collect();
    figure(
        test,
        &format!(
            "{crashes} crashes at named points, never reached: {first:?}, {} changes answered, {:.0} s",
            world.answered.load(Ordering::Relaxed),
            begun.elapsed().as_secs_f64()
        ),
    );
    assert!(first.is_empty(), "points that the load never reaches: {first:?}");
}

/// Starts with a crash point and lets clients work until it is reached.
async fn crash_under_load(world: &Arc<World>, program: &Program<'_>, random: &mut Random, at: &str) -> bool {
    let Ok(mut running) = program.try_start(&[("OUBLIETTE_CRASH_AT", at)]).await else {
        return true; // reached before it was ready
    };
    let mut load = Load::begin(world, &running, random);
    let reached = load.fell_silent(REACH_LIMIT).await;
    running.process.kill();
    load.end().await;
    reached
}

/// Leaves work for a recovery, then starts with a crash point in it. What is left is a matter of luck: several tries.
async fn crash_while_starting(
    world: &Arc<World>,
    program: &Program<'_>,
    random: &mut Random,
    point: &str,
    time: u64,
) -> bool {
    let at = format!("{point}:{time}");
    for attempt in 0..8 {
        // Erasures that are planned but not sealed; two valid slots; a seal whose old root is gone but that nobody noted.
        let before = ["sealer.before_seal", "keyforest.seal.new_root_durable", "keyforest.seal.old_root_destroyed"];
        let before = format!("{}:{}", before[attempt % 3], 2 + random.below(6));
        crash_under_load(world, program, random, &before).await;
        match program.try_start(&[("OUBLIETTE_CRASH_AT", &at)]).await {
            Err(status) => return status.is_some(),
            Ok(mut running) => {
                // Upkeep after recovery goes on for a moment once it is ready.
                let reached = running.process.wait(Duration::from_millis(500)).is_some();
                running.process.kill();
                if reached || time > 1 {
                    return reached;
                }
            }
        }
    }
    false
}

#[tokio::test]
async fn a_crash_while_a_vault_is_made_leaves_a_folder_that_can_be_made_into_one() {
    let workspace = Workspace::new("creation");
    let mut random = Random::new("creation");
    for (number, point) in points().iter().filter(|point| phase(point) == Phase::Creation).enumerate() {
        let (data, register) = (workspace.path(&format!("data{number}")), workspace.path(&format!("register{number}")));
        let program = Program::on(&workspace, &data, &register, crate::clients::Keys::default());
        let mut process = program.spawn(&[("OUBLIETTE_CRASH_AT", point)]);
        assert!(process.wait(Duration::from_secs(30)).is_some(), "{point} is reached while a vault is made");
        let program = Program::create(&workspace, &data, &register).await;
        let world = World::new(&mut random);
        let mut running = program.start().await;
        let load = Load::begin(&world, &running, &mut random);
        tokio::time::sleep(Duration::from_millis(500)).await;
        load.end().await;
        hold(&world, &running.clients, &mut random, true).await;
        world.settle(&format!("a vault made after a crash at {point}\n{}", program.log_tail()));
        running.process.kill();
    }
}
