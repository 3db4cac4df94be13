//! Agents that are set up anew under the name of one whose register still exists.

use std::time::{Duration, Instant};

use super::Rig;

/// Takes an agent's register away, to a place where it is kept, and starts the agent with none.
pub fn set_up_anew(rig: &mut Rig, number: usize) {
    rig.kill(number);
    let register = rig.place.join(&format!("agent-{number}.register"));
    std::fs::rename(&register, register.with_extension("kept")).unwrap();
    rig.start(number);
}

/// Brings back what [`set_up_anew`] took away.
pub fn bring_back(rig: &mut Rig, number: usize) {
    rig.kill(number);
    let register = rig.place.join(&format!("agent-{number}.register"));
    std::fs::rename(&register, register.with_extension("spare")).unwrap();
    std::fs::rename(register.with_extension("kept"), &register).unwrap();
    rig.start(number);
}

#[test]
fn a_fresh_register_under_an_old_name_confirms_nothing_for_the_one_that_was_kept() {
    let mut rig = Rig::new(2, None);
    rig.fill(3);
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
    let before = rig.holds(1).unwrap();
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    set_up_anew(&mut rig, 1);
    let mut erasing = rig.place.command(&["erase", "--session", "S-1", "--yes"]);
    let mut erasing = erasing.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    assert!(erasing.try_wait().unwrap().is_none(), "it is not answered while an old root is kept: {}", server.log());
    assert!(rig.holds(1).unwrap().is_empty(), "nothing was put to it either");
    for told in [rig.run(&["status"]).with_code(7).out, rig.run(&["doctor"]).with_code(7).out, server.log()] {
        let said = ["agent-1", "another register", "party drop agent-1 --kind agent"];
        assert!(said.iter().all(|said| told.contains(said)), "{told}");
    }
    bring_back(&mut rig, 1);
    assert!(erasing.wait().unwrap().success(), "{}", server.log());
    let end = Instant::now() + Duration::from_secs(60);
    while rig.status()["unsealed"] != 0 || rig.holds(0) != rig.holds(1) {
        assert!(Instant::now() < end, "{}", server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(rig.holds(1).unwrap() > before);
    server.stop();
}

#[test]
fn a_register_that_is_gone_for_good_is_let_go_and_its_agent_joins_anew_under_its_name() {
    let mut rig = Rig::new(3, Some("2/3"));
    rig.fill(3);
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
    set_up_anew(&mut rig, 2);
    // The others suffice, and what is amiss is said.
    rig.run(&["erase", "--session", "S-1", "--yes"]).with_code(0);
    assert!(rig.holds(2).unwrap().is_empty());
    rig.kill(1);
    let refused = rig.run(&["status"]).with_code(1);
    let said = ["1 of 3 escrow agents", "agent-2", "another register", "party drop agent-2 --kind agent"];
    assert!(said.iter().all(|said| refused.err.contains(said)), "{}", refused.err);
    rig.start(1);

    rig.run(&["party", "drop", "agent-2", "--kind", "agent", "--reason", "disk-destroyed"]).with_code(0);
    assert_eq!(rig.certified("S-2"), (3, 2));
    let end = Instant::now() + Duration::from_secs(60);
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    while rig.holds(2).unwrap().is_empty() || rig.holds(2) != rig.holds(0) {
        assert!(Instant::now() < end, "{}", server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    server.stop();
    // From then on the kept one is another's.
    bring_back(&mut rig, 2);
    rig.kill(0);
    let refused = rig.run(&["status"]).with_code(1);
    assert!(refused.err.contains("agent-2") && refused.err.contains("another register"), "{}", refused.err);
}
