//! Seals with agents: killed at every step, agents down, agents set back.

use super::Rig;

/// Every step of a seal and of a recovery at which something has just become durable or been destroyed.
const STEPS: [&str; 9] = [
    "keyforest.seal.pages_durable",
    "keyforest.seal.verified",
    "escrow.root_put",
    "keyforest.seal.new_root_durable",
    "escrow.register_destroyed",
    "keyforest.seal.old_root_destroyed",
    "keyforest.seal.installed",
    "keyforest.recover.root_rewritten",
    "keyforest.recover.other_destroyed",
];

#[test]
fn killed_at_every_step_with_one_of_three_down_nothing_is_lost_and_nothing_old_is_left() {
    let mut rig = Rig::new(3, Some("2/3"));
    rig.fill(STEPS.len() + 1);
    rig.kill(2);
    for (number, point) in STEPS.iter().enumerate() {
        let session = format!("S-{number}");
        let erase = ["erase", "--session", &session, "--yes"];
        // An opening makes seals of its own: the second time is the erasure's.
        let mut killed = 0;
        for times in [2, 1] {
            let ran = rig.killed_at(&erase, &format!("{point}:{times}"));
            assert!(ran.code == -1 || ran.code == 0 || ran.code == 4, "{point}: {}: {}{}", ran.code, ran.out, ran.err);
            killed += usize::from(ran.code == -1);
            let held = (rig.holds(0).unwrap(), rig.holds(1).unwrap());
            let common: Vec<u64> = held.0.iter().filter(|epoch| held.1.contains(epoch)).copied().collect();
            assert!(!common.is_empty(), "{point}: two agents bring no root back: {held:?}");
        }
        assert!(killed > 0, "{point} was never reached");
        let ran = rig.run(&erase);
        assert!(ran.code == 0 || ran.code == 4, "{point}: {}: {}", ran.code, ran.err);
        let epoch = rig.status()["epoch"].as_u64().unwrap();
        // The commands' own openings seal as well: what counts is that there is one root, the newest.
        let (zero, one) = (rig.holds(0).unwrap(), rig.holds(1).unwrap());
        assert!(zero.len() == 1 && zero == one && zero[0] >= epoch, "{point}: {zero:?} {one:?} at {epoch}");
        assert_eq!(rig.found("oubliette.toml", &session), 0, "{point}");
    }
    assert_eq!(rig.found("oubliette.toml", &format!("S-{}", STEPS.len())), 1, "what was not erased is there");
}

#[test]
fn of_two_plain_agents_one_is_down_deletions_stall_loudly_and_come_about_when_it_is_back() {
    let mut rig = Rig::new(2, None);
    rig.fill(2);
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    rig.kill(1);
    let mut erasing = rig.place.command(&["erase", "--session", "S-0", "--yes"]);
    let mut erasing = erasing.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(erasing.try_wait().unwrap().is_none(), "it is not answered before it is sealed: {}", server.log());
    let warned = rig.run(&["doctor"]).with_code(7);
    assert!(warned.out.contains("escrow agent agent-1"), "{}", warned.out);
    assert_eq!(rig.run(&["status", "--json"]).json()["unsealed"], 1);
    // Who does not wait for ever is told that it is accepted.
    let impatient = [("OUBLIETTE__ERASURE__SEAL_TIMEOUT_SECONDS", "1")];
    let due = rig.place.run_with(&["erase", "--session", "S-1", "--yes"], &impatient).with_code(6);
    assert!(due.err.contains("accepted and hidden and not sealed yet"), "{}", due.err);
    assert!(due.err.contains("It is sealed as soon as they are again"), "{}", due.err);
    rig.start(1);
    assert!(erasing.wait().unwrap().success(), "{}", server.log());
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while rig.status()["unsealed"] != 0 {
        assert!(std::time::Instant::now() < end, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(rig.found("oubliette.toml", "S-0"), 0);
    assert_eq!(rig.holds(0), rig.holds(1));
    server.stop();
}

#[test]
fn an_agent_that_comes_back_with_an_old_register_is_told_and_the_operator_too() {
    let mut rig = Rig::new(3, Some("2/3"));
    rig.fill(2);
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    let register = rig.place.join("agent-1.register").join("register");
    let copy = std::fs::read(&register).unwrap();
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
    rig.kill(1);
    std::fs::write(&register, copy).unwrap();
    rig.start(1);
    rig.run(&["erase", "--session", "S-1", "--yes"]).with_code(0);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !rig.run(&["status"]).out.contains("came back with a root that it had destroyed") {
        assert!(std::time::Instant::now() < end, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    server.stop();
}

#[test]
fn an_agent_serves_one_vault_and_nobody_without_a_certificate() {
    let rig = Rig::new(1, None);
    rig.fill(1);
    rig.configure("other.toml", "other", &rig.public(), None);
    let refused = rig.run(&["import", "calls", "--config", "other.toml"]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("escrow agents hold the new root"), "{}", refused.err);
    // An agent's certificate is one of a server: it opens no way to other agents.
    for name in ["pem", "key"] {
        std::fs::copy(rig.place.join(&format!("agent.{name}")), rig.place.join(&format!("vault.{name}"))).unwrap();
    }
    assert!(rig.link(0).status().is_err());
    rig.run(&["agent", "check", "--config", "agent-0.toml"]);
}
