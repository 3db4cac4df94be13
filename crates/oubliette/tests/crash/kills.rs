//! SIGKILL at random moments.

use std::sync::Arc;
use std::time::Instant;

use crate::check::hold;
use crate::load::World;
use crate::program::Program;
use crate::random::Random;
use crate::rig::{Workspace, count, figure};
use crate::session::{load_for, moment};

#[tokio::test]
async fn what_was_answered_holds_after_kills_at_random_moments() {
    let test = "kills";
    let (kills, begun) = (count("KILLS", 60, 300), Instant::now());
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let program = Program::create(&workspace, &workspace.path("data"), &workspace.path("register")).await;
    let world: Arc<World> = World::new(&mut random);
    let mut early = 0;
    for _ in 0..kills {
        // One in four dies before it is ready: in the midst of its own recovery, perhaps.
        if random.once_in(4) {
            let mut process = program.spawn(&[]);
            tokio::time::sleep(moment(&mut random, 400)).await;
            process.kill();
            early += 1;
            continue;
        }
        let mut running = program.start().await;
        hold(&world, &running.clients, &mut random, false).await;
        world.settle(&format!("after a kill\n{}", program.log_tail()));
        let span = moment(&mut random, 1500);
        let load = load_for(&world, &mut running, &mut random, span).await;
        running.process.kill();
        load.end().await;
    }
    let mut running = program.start().await;
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("at the end\n{}", program.log_tail()));
    running.process.terminate();
    let tally = world.ledger.tally();
    figure(
        test,
        &format!(
            "{kills} kills ({early} while starting), {} changes answered, at the end {} live and {} erased items held, {:.0} s",
            world.answered.load(std::sync::atomic::Ordering::Relaxed),
            tally.live,
            tally.deleted,
            begun.elapsed().as_secs_f64()
        ),
    );
}
