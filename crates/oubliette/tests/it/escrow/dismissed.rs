//! Agents that were let go and owe it to forget what they hold: they are asked until they have, and the operator knows of them.

use std::time::{Duration, Instant};

use super::Rig;

const DROP: [&str; 7] = ["party", "drop", "agent-1", "--kind", "agent", "--reason", "moved"];

fn until(what: &str, log: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}: {}", log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn without_agent_1(rig: &Rig) {
    rig.configure_with("oubliette.toml", "vault", &rig.public(), None, &[0]);
}

#[test]
fn an_agent_that_was_let_go_by_a_process_that_was_killed_before_it_told_it_forgets_after_the_next_start() {
    let mut rig = Rig::new(2, None);
    rig.fill(2);
    assert_eq!(rig.killed_at(&DROP, "party.drop.forgotten").code, -1);
    assert_eq!(rig.holds(1).unwrap().len(), 1, "nobody has told it");
    without_agent_1(&rig);
    // While it cannot be reached the operator is told, with the epoch of what it has.
    rig.kill(1);
    let epoch = rig.agents[1].left[0].epoch;
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    let told = |text: &str| {
        ["agent-1", "let go", "may still hold", &format!("epoch {epoch}")].iter().all(|said| text.contains(said))
    };
    assert!(told(&server.log()), "{}", server.log());
    until("the cause is known", || server.log(), || rig.run(&["status"]).out.contains("out of reach"));
    assert!(told(&rig.run(&["doctor"]).with_code(7).out) && told(&rig.run(&["status"]).out));
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
    server.stop();
    assert!(told(&rig.run(&["party", "list"]).with_code(0).out));

    rig.start(1);
    assert_eq!(rig.holds(1).unwrap(), [epoch]);
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    until("it forgets", || server.log(), || rig.holds(1).unwrap().is_empty());
    until("that is noted", || server.log(), || !told(&rig.run(&["status"]).out));
    server.stop();
    assert!(!rig.run(&["party", "list"]).with_code(0).out.contains("agent-1"));
}

#[test]
fn one_that_was_let_go_keeps_what_it_holds_while_the_one_that_stays_does_not_say_that_it_has_the_root() {
    let mut rig = Rig::new(2, None);
    rig.fill(1);
    rig.kill(1);
    rig.run(&DROP).with_code(0);
    without_agent_1(&rig);
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    until("the cause is known", || server.log(), || rig.run(&["status"]).out.contains("out of reach"));
    // It has confirmed the root, and nothing is sealed after that.
    rig.kill(0);
    rig.start(1);
    let held = rig.holds(1).unwrap();
    assert_eq!(held.len(), 1);
    until(
        "it is not asked",
        || server.log(),
        || rig.run(&["status"]).out.contains("say that they still hold the root"),
    );
    assert_eq!(rig.holds(1).unwrap(), held);
    rig.start(0);
    until("it forgets", || server.log(), || rig.holds(1).unwrap().is_empty());
    server.stop();
}

#[test]
fn one_that_joins_anew_with_the_register_that_it_had_is_not_asked_to_forget_any_more() {
    let mut rig = Rig::new(2, None);
    rig.fill(1);
    rig.kill(1);
    let told = rig.run(&DROP).with_code(0).out;
    assert!(told.contains("NOT confirmed") && told.contains("asked again"), "{told}");
    rig.start(1);
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    until("both have one root", || server.log(), || rig.holds(1).unwrap().len() == 1 && rig.holds(0) == rig.holds(1));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(rig.holds(0), rig.holds(1), "{}", server.log());
    assert!(!rig.run(&["status"]).out.contains("let go"));
    server.stop();
    assert_eq!(rig.certified("S-0"), (2, 2));
}

#[test]
fn whose_register_is_destroyed_is_not_asked_any_more_when_the_operator_says_so() {
    let mut rig = Rig::new(3, None);
    rig.fill(1);
    rig.kill(1);
    rig.kill(2);
    let mut drop = DROP.to_vec();
    drop.insert(3, "agent-2");
    drop.push("--json");
    let told = rig.run(&drop).with_code(0).json();
    let entry = |at: usize| told["dropped"][at]["entry"].to_string();
    without_agent_1(&rig);
    rig.run(&["party", "forget", "99999"]).with_code(4);
    rig.run(&["party", "forget", &entry(0)]).with_code(0);
    let listed = rig.run(&["party", "list"]).with_code(0).out;
    assert!(!listed.contains("agent-1") && listed.contains("agent-2"), "{listed}");
    // Without the certificates of agents nobody can be asked, and it is told all the same.
    let text = std::fs::read_to_string(rig.place.join("oubliette.toml")).unwrap();
    let (before, after) = (text.split("[escrow]").next().unwrap(), text.split("[mirrors]").nth(1).unwrap());
    rig.run(&["party", "drop", "agent-0", "--kind", "agent", "--reason", "moved"]).with_code(0);
    std::fs::write(rig.place.join("oubliette.toml"), format!("{before}[mirrors]{after}")).unwrap();
    assert!(rig.run(&["doctor"]).with_code(7).out.contains("agent-2"));
    rig.run(&["party", "forget", &entry(1)]).with_code(0);
    assert!(!rig.run(&["doctor"]).out.contains("let go"));
}

#[test]
fn one_that_was_let_go_keeps_what_it_holds_until_who_takes_its_place_has_the_root() {
    let mut rig = Rig::with_mirrors(3, None, vec!["cellar"]);
    let public = rig.public();
    rig.configure_with("oubliette.toml", "vault", &public, None, &[1]);
    rig.fill(1);
    let (cellar, away) = (rig.place.join("cellar"), rig.place.join("away"));
    std::fs::rename(&cellar, &away).unwrap();
    rig.configure_with("oubliette.toml", "vault", &public, None, &[1, 2]);
    let told = rig.run(&DROP).with_code(0).out;
    assert!(told.contains("NOT confirmed") && told.contains("known to hold the root"), "{told}");
    rig.configure_with("oubliette.toml", "vault", &public, None, &[2]);
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    assert_eq!((rig.holds(1).unwrap().len(), rig.holds(2).unwrap().len()), (1, 0), "{}", server.log());
    rig.kill(2);
    std::fs::rename(&away, &cellar).unwrap();
    // Longer than from one asking to the next.
    std::thread::sleep(Duration::from_secs(40));
    assert_eq!(rig.holds(1).unwrap().len(), 1, "nobody else has the root: {}", server.log());
    rig.start(2);
    until("the other one has the root", || server.log(), || rig.holds(2).unwrap().len() == 1);
    until("it forgets", || server.log(), || rig.holds(1).unwrap().is_empty());
    server.stop();
}

#[test]
fn who_is_not_asked_any_more_is_not_asked_also_where_a_mirror_is_away_when_it_is_said() {
    let mut rig = Rig::with_mirrors(2, None, vec!["cellar"]);
    rig.fill(1);
    rig.kill(1);
    let mut drop = DROP.to_vec();
    drop.push("--json");
    let entry = rig.run(&drop).with_code(0).json()["dropped"][0]["entry"].to_string();
    without_agent_1(&rig);
    let (cellar, away) = (rig.place.join("cellar"), rig.place.join("away"));
    std::fs::rename(&cellar, &away).unwrap();
    let told = rig.run(&["party", "forget", &entry]).with_code(0).out;
    assert!(told.contains("not asked any more") && told.contains("cellar"), "{told}");
    rig.run(&["party", "forget", &entry]).with_code(4);
    std::fs::rename(&away, &cellar).unwrap();
    assert!(!rig.run(&["party", "list"]).with_code(0).out.contains("let go"));
    assert!(!rig.run(&["doctor"]).out.contains("let go"));
}
