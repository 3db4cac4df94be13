//! Killed at every named moment, alone and in pairs: the same command goes on, and at no time do both places serve.

use std::time::Duration;

use super::client::{Client, Item};
use super::{Rig, client};

const LIMIT: Duration = Duration::from_secs(60);
/// From here on the old vault never serves again.
const NO_RETURN: [&str; 4] = ["move.handed_over", "move.root_placed", "move.old_root_destroyed", "move.arrived"];

struct Lived {
    kept: Vec<Item>,
    gone: Vec<Item>,
    token: String,
}

/// A small vault that was served and killed at `point` of a move.
async fn killed_at(rig: &Rig, point: &str) -> Lived {
    let mut old = rig.serve_old(Some(point));
    let mut before = client(&mut old, "");
    before.token = rig.token();
    let mut kept = Vec::new();
    for number in 0..6 {
        kept.push(before.make(number, 100 + number * 90_000).await.unwrap());
    }
    let gone = vec![kept.remove(2)];
    assert!(before.erase(&gone[0].id).await.unwrap().is_success());
    let root = rig.old_root();
    let ran = rig.migrate(&["--yes"]);
    assert_ne!(ran.code, 0, "{}", ran.out);
    assert_ne!(old.wait(), 8, "{}", old.log());
    assert!(old.log().contains(&format!("crashing at {point}")), "{}", old.log());
    let destroyed = ["move.old_root_destroyed", "move.arrived"].contains(&point);
    assert_eq!(rig.register_holds(&root), !destroyed);
    Lived { kept, gone, token: before.token }
}

async fn check(after: &Client, lived: &Lived) {
    for item in &lived.kept {
        after.assert_whole(item).await;
        after.assert_found(item).await;
    }
    for item in &lived.gone {
        after.assert_gone(item).await;
    }
    assert_eq!(after.all().await.len(), lived.kept.len(), "nothing is lost and nothing is there twice");
}

async fn goes_on_after_a_kill_at(point: &str) {
    let rig = Rig::new();
    let mut lived = killed_at(&rig, point).await;
    let mut root = rig.old_root_if_any();
    if NO_RETURN.contains(&point) {
        rig.assert_old_is_closed();
        if point != "move.arrived" {
            rig.assert_new_is_closed();
        }
    } else {
        rig.assert_new_is_closed();
        // The old vault is the truth: it serves, takes in and erases as before.
        let mut old = rig.serve_old(None);
        let between = client(&mut old, &lived.token);
        check(&between, &lived).await;
        let erased = lived.kept.remove(0);
        assert!(between.erase(&erased.id).await.unwrap().is_success());
        lived.gone.push(erased);
        lived.kept.push(between.make(50, 20_000).await.unwrap());
        root = Some(rig.old_root());
        rig.migrate_through(LIMIT);
        assert_eq!(old.wait(), 8);
    }
    rig.migrate_through(LIMIT);
    if let Some(root) = root {
        assert!(!rig.register_holds(&root));
    }
    rig.assert_old_is_closed();
    let mut new = rig.serve_new();
    check(&client(&mut new, &lived.token), &lived).await;
}

macro_rules! kills {
    ($($name:ident: $point:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                goes_on_after_a_kill_at($point).await;
            }
        )*

        #[test]
        fn every_moment_of_a_move_has_its_test() {
            let mut tested = vec![$($point),*];
            tested.sort_unstable();
            let mut all = oubliette::moving::points::ALL.to_vec();
            all.sort_unstable();
            assert_eq!(tested, all);
        }
    };
}

kills! {
    a_move_killed_when_it_has_begun_goes_on: "move.begun",
    a_move_killed_when_all_is_copied_goes_on: "move.copied",
    a_move_killed_while_changes_are_held_off_goes_on: "move.held_off",
    a_move_killed_when_everything_is_sealed_and_told_goes_on: "move.settled",
    a_move_killed_with_the_new_root_in_memory_goes_on: "move.keys_copied",
    a_move_killed_when_it_is_proven_goes_on: "move.proven",
    a_move_killed_at_the_hand_over_is_finished: "move.handed_over",
    a_move_killed_with_both_roots_there_is_finished: "move.root_placed",
    a_move_killed_when_the_old_root_is_gone_is_finished: "move.old_root_destroyed",
    a_move_killed_at_its_end_is_finished: "move.arrived",
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_again_and_again_while_it_is_finished_is_finished_in_the_end() {
    let rig = Rig::new();
    let lived = killed_at(&rig, "move.handed_over").await;
    let root = rig.old_root();
    for point in ["move.root_placed", "move.root_placed", "move.old_root_destroyed", "move.arrived"] {
        rig.assert_old_is_closed();
        rig.assert_new_is_closed();
        let begun = std::time::Instant::now();
        let mut ran = rig.migrate_killed_at(Some(point), &["--yes"]);
        // The claim of the process before may still stand for a moment.
        while !ran.err.contains("crashing at") {
            assert!(begun.elapsed() < LIMIT, "{}{}", ran.out, ran.err);
            std::thread::sleep(Duration::from_millis(500));
            ran = rig.migrate_killed_at(Some(point), &["--yes"]);
        }
        assert!(ran.err.contains(point), "{}", ran.err);
    }
    assert!(!rig.register_holds(&root));
    rig.migrate_through(LIMIT);
    let mut new = rig.serve_new();
    check(&client(&mut new, &lived.token), &lived).await;
}
