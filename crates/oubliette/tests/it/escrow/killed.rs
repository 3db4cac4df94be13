//! The real program with a mirror and agents, killed at every named moment of a seal: what is called sealed cannot be had
//! from anywhere, what is in force is never lost.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Rig;
use super::held::Held;

const PATIENCE: Duration = Duration::from_secs(60);

/// Named moments of the program that one erasure with its start, seal and certificate passes.
fn moments(rig: &Rig, of: &[&str]) -> Vec<String> {
    let listed = rig.run(&["doctor", "--list-crash-points"]).with_code(0).out;
    let moments: Vec<String> = listed
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| of.iter().any(|prefix| line.starts_with(prefix)))
        // Of what came in and of blobs that are removed, not of seals.
        .filter(|line| line != "certify.planned")
        .collect();
    assert!(of.iter().all(|prefix| moments.iter().any(|moment| moment.starts_with(prefix))), "{listed}");
    moments
}

/// Kills an erasure of one session at each moment, the first and the second time that it is passed: a start makes a seal of its
/// own. After each kill, and again after what `between` and another start have done, both invariants are looked at.
fn killed_at_each(rig: &mut Rig, moments: &[String], needed: usize, mut between: impl FnMut(&mut Rig)) {
    let mut claimed = 0;
    let mut answered = Vec::new();
    for (number, moment) in moments.iter().enumerate() {
        let session = format!("S-{number}");
        let erase = ["erase", "--session", &session, "--yes"];
        if moment.starts_with("recovery.") {
            // A start after an erasure was accepted and not sealed.
            assert_eq!(rig.killed_at(&erase, "sealer.before_seal:2").code, -1, "{moment}");
        }
        let mut killed = 0;
        for times in [1, 2] {
            let ran = rig.killed_at(&erase, &format!("{moment}:{times}"));
            assert!([-1, 0, 4].contains(&ran.code), "{moment}:{times}: {}: {}{}", ran.code, ran.out, ran.err);
            killed += usize::from(ran.code == -1);
            let held = Held::of(rig);
            held.survives(needed);
            claimed = held.forgets(needed).max(claimed);
            if ran.code == 0 {
                answered.push(session.clone());
            }
            between(rig);
        }
        assert!(killed > 0, "{moment} was never reached");
        let status = rig.status();
        assert_eq!(
            (&status["unsealed"], &status["sealing"]),
            (&Value::from(0), &Value::from(true)),
            "{moment}: {status}"
        );
        let held = Held::of(rig);
        held.survives(needed);
        claimed = held.forgets(needed).max(claimed);
    }
    assert!(claimed > moments.len() as u64, "{claimed} seals were claimed at the end, or nothing was looked at");
    for session in answered {
        assert_eq!(rig.found("oubliette.toml", &session), 0, "{session} was answered as erased");
    }
}

/// What was not erased is there, byte for byte.
#[tokio::main(flavor = "current_thread")]
async fn nothing_live_is_lost(rig: &Rig, sessions: std::ops::Range<usize>) {
    let mut server = rig.place.serve(&["--config", "oubliette.toml"]);
    let url = server.wait_for_endpoint();
    let arguments = ["token", "create", "--kind", "native", "--json"];
    let token = rig.run(&arguments).with_code(0).json()["secret"].as_str().unwrap().to_owned();
    let sample = std::fs::read(crate::program::repository().join("samples").join("survey.wav")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: String| {
        let answer = http.get(format!("{url}/api/v1/interactions/{path}")).bearer_auth(&token).send().await.unwrap();
        answer.error_for_status().unwrap().bytes().await.unwrap()
    };
    for session in sessions {
        let plan = rig.run(&["erase", "--session", &format!("S-{session}"), "--dry-run", "--json"]).with_code(0).json();
        let id = plan["plan"]["first"][0]["id"].as_str().unwrap().to_owned();
        let listed: Value = serde_json::from_slice(&get(format!("{id}/contents")).await).unwrap();
        let name = listed["items"][0]["key"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned();
        assert!(get(format!("{id}/contents/{name}")).await == sample, "S-{session}");
    }
    server.stop();
}

#[test]
fn with_one_of_three_down_seals_go_on_and_no_kill_leaves_an_old_root_or_loses_the_new() {
    let mut rig = Rig::with_mirrors(3, Some("2/3"), vec!["cellar"]);
    let all = [
        "keyforest.seal.",
        "keyforest.recover.",
        "escrow.",
        "sealer.",
        "recovery.",
        "commit.",
        "certify.",
        "log.append.",
    ];
    let moments = moments(&rig, &all);
    rig.fill(moments.len() + 2);
    rig.kill(2);
    killed_at_each(&mut rig, &moments, 2, |_| ());
    nothing_live_is_lost(&rig, moments.len()..moments.len() + 2);
    // Whoever was away the whole time forgets what it had.
    rig.start(2);
    rig.status();
    let (one, two) = (rig.holds(1), rig.holds(2));
    assert!(one == two && one.is_some_and(|held| held.len() == 1), "{two:?}");
}

#[test]
fn with_one_of_two_plain_agents_gone_after_each_kill_no_start_claims_anything_before_it_is_back() {
    let mut rig = Rig::with_mirrors(2, None, vec!["cellar"]);
    let moments = moments(&rig, &["keyforest.seal.", "escrow."]);
    rig.fill(moments.len() + 1);
    killed_at_each(&mut rig, &moments, 1, |rig| {
        rig.kill(1);
        let refused = rig.run(&["status"]).with_code(1);
        assert!(refused.err.contains("1 of 2 escrow agents"), "{}", refused.err);
        rig.start(1);
    });
    nothing_live_is_lost(&rig, moments.len()..moments.len() + 1);
}

/// Waits until a running vault has sealed and certified everything.
fn healed(rig: &Rig) {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = rig.status();
        if status["unsealed"] == 0 && status["uncertified"] == 0 && status["sealing"] == true {
            return;
        }
        assert!(Instant::now() < end, "{status}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A vault that serves while an agent goes down, takes an erasure that cannot be sealed, and is killed while that waits.
fn killed_waiting_for(rig: &mut Rig, agent: usize, session: &str) {
    let mut server = rig.place.serve(&["--config", "oubliette.toml"]);
    server.wait_for_endpoint();
    rig.kill(agent);
    let mut erasing = rig.place.command(&["erase", "--session", session, "--yes"]);
    let quiet = std::process::Stdio::null;
    let mut erasing = erasing.stdout(quiet()).stderr(quiet()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    while rig.status()["unsealed"] == 0 {
        assert!(Instant::now() < end, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((&rig.status()["unsealed"], &rig.status()["sealing"]), (&Value::from(1), &Value::from(false)));
    server.kill();
    assert!(!erasing.wait().unwrap().success(), "not answered before it is sealed");
}

/// A start after which everything accepted is sealed and certified; what was to go is gone.
fn comes_about(rig: &Rig, session: &str, before: u64) {
    let held = Held::of(rig);
    held.survives(1);
    assert_eq!(held.forgets(1), before, "nothing was claimed meanwhile");
    let mut server = rig.place.serve(&["--config", "oubliette.toml"]);
    server.wait_for_endpoint();
    healed(rig);
    assert_eq!(rig.found("oubliette.toml", session), 0);
    server.stop();
    let held = Held::of(rig);
    held.survives(1);
    assert!(held.forgets(1) > before);
}

#[test]
fn a_vault_that_is_started_without_its_mirror_serves_and_hides_and_seals_when_it_is_back() {
    let rig = Rig::with_mirrors(2, None, vec!["cellar"]);
    rig.fill(2);
    let (cellar, away) = (rig.place.join("cellar"), rig.place.join("away"));
    let accepted = rig.killed_at(&["erase", "--session", "S-0", "--yes"], "sealer.before_seal:2");
    assert_eq!(accepted.code, -1, "{}", accepted.err);
    let before = Held::of(&rig).forgets(1);
    std::fs::rename(&cellar, &away).unwrap();

    let mut server = rig.place.serve(&["--config", "oubliette.toml"]);
    server.wait_for_endpoint();
    assert_eq!((rig.found("oubliette.toml", "S-0"), rig.found("oubliette.toml", "S-1")), (0, 1));
    assert_eq!(rig.status()["unsealed"], 1);
    let warned = rig.run(&["doctor"]).with_code(7).out;
    assert!(warned.contains("cellar (folder)") && warned.contains("seals are not being made"), "{warned}");
    server.kill();
    std::fs::rename(&away, &cellar).unwrap();
    comes_about(&rig, "S-0", before);
    nothing_live_is_lost(&rig, 1..2);
}

#[test]
fn a_vault_killed_while_it_waits_for_an_agent_does_not_start_without_and_comes_about_when_it_is_back() {
    let mut rig = Rig::with_mirrors(2, None, vec!["cellar"]);
    rig.fill(2);
    killed_waiting_for(&mut rig, 1, "S-0");
    let before = Held::of(&rig).forgets(1);
    let refused = rig.run(&["status"]).with_code(1);
    assert!(refused.err.contains("1 of 2 escrow agents"), "{}", refused.err);
    rig.start(1);
    comes_about(&rig, "S-0", before);
    nothing_live_is_lost(&rig, 1..2);
}
