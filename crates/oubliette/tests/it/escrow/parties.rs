//! Agents as parties of the vault: told in certificates, remembered, let go by a signed decision.

use oubliette_proof::entry::{Body, Party};
use oubliette_proof::note::VerifierKey;

use super::Rig;
use crate::mirrors::Client;

#[test]
fn an_agent_leaves_by_a_signed_decision_and_certificates_say_how_many_confirmed() {
    let mut rig = Rig::new(4, Some("2/4"));
    rig.fill(4);
    assert_eq!(rig.certified("S-0"), (4, 3));
    let listed = rig.run(&["party", "list"]).with_code(0).out;
    assert_eq!(listed.lines().filter(|line| line.starts_with("agent ")).count(), 4, "{listed}");

    // Out of the configuration is not out of the seals.
    let public = rig.public();
    rig.kill(0);
    rig.run(&["party", "drop", "agent-9", "--kind", "agent", "--reason", "gone"]).with_code(4);
    rig.configure_with("oubliette.toml", "vault", &public, Some("2/3"), &[1, 2, 3]);
    let refused = rig.run(&["status"]).with_code(3);
    assert!(refused.err.contains("the agent agent-0") && refused.err.contains("--kind agent"), "{}", refused.err);
    let drop = ["party", "drop", "agent-0", "--kind", "agent", "--reason", "machine-lost", "--json"];

    // What it holds of the last root stays there: all others must have destroyed theirs, once.
    rig.kill(1);
    let waits = rig.run(&drop).with_code(1);
    assert!(waits.err.contains("3 are needed since the agents were changed"), "{}", waits.err);
    rig.start(1);
    let told = rig.run(&drop).with_code(0).json();
    let dropped = &told["dropped"][0];
    assert_eq!(dropped["forgot"], false, "nobody answers there: {dropped}");
    rig.run(&drop).with_code(4);
    assert_eq!(rig.certified("S-1"), (3, 2));
    // From then on the quorum is enough again.
    rig.kill(1);
    assert_eq!(rig.certified("S-2"), (3, 2));
    assert_eq!(rig.found("oubliette.toml", "S-3"), 1);

    let mut server = rig.place.serve(&["--config", "oubliette.toml"]);
    let url = server.wait_for_endpoint();
    let number = usize::try_from(dropped["entry"].as_u64().unwrap()).unwrap();
    let reading = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client { url, token: String::new(), http: reqwest::Client::builder().no_proxy().build().unwrap() };
    let (origin, mut entries) = reading.block_on(client.log());
    let Body::PartyDropped(decision) = entries.swap_remove(number).body else { panic!("entry {number}") };
    let decided = &decision.decision;
    assert_eq!((decided.party, decided.name.as_str()), (Party::Agent, "agent-0"));
    assert!(decided.last_epoch > 0 && dropped["lastEpoch"] == decided.last_epoch, "{dropped}");
    decision.verify(&origin, &VerifierKey::parse(told["key"].as_str().unwrap()).unwrap()).unwrap();
    server.stop();
}

#[test]
fn an_agent_in_reach_forgets_when_it_is_let_go_and_whether_it_did_is_said() {
    let mut rig = Rig::new(3, None);
    rig.fill(1);
    rig.kill(2);
    let drop = ["party", "drop", "agent-1", "agent-2", "--kind", "agent", "--reason", "moved"];
    let told = rig.run(&drop).with_code(0).out;
    let of = |name: &str| told.split_once(&format!("the agent {name} ")).unwrap().1.lines().nth(1).unwrap().to_owned();
    assert!(of("agent-1").contains("has confirmed it"), "{told}");
    assert!(of("agent-2").contains("NOT confirmed") && of("agent-2").contains("out of reach"), "{told}");
    assert!(rig.holds(1).unwrap().is_empty());
    rig.start(2);
    assert_eq!(rig.holds(2).unwrap().len(), 1);
    rig.configure_with("oubliette.toml", "vault", &rig.public(), None, &[0]);
    assert_eq!(rig.certified("S-0"), (1, 1));
}

#[test]
fn agents_that_are_gone_together_are_let_go_together() {
    let mut rig = Rig::new(3, None);
    rig.fill(2);
    rig.kill(0);
    rig.kill(2);
    let alone = rig.run(&["party", "drop", "agent-0", "--kind", "agent", "--reason", "fire"]).with_code(1);
    assert!(alone.err.contains("escrow agents"), "{}", alone.err);
    let both = rig.run(&["party", "drop", "agent-0", "agent-2", "--kind", "agent", "--reason", "fire"]).with_code(0);
    assert!(both.out.contains("agent-0") && both.out.contains("agent-2"), "{}", both.out);
    rig.configure_with("oubliette.toml", "vault", &rig.public(), None, &[1]);
    assert_eq!(rig.certified("S-0"), (1, 1));
    assert_eq!(rig.found("oubliette.toml", "S-1"), 1);
}
