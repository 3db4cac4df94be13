//! Nothing is put into a register that not every place of the key state knows of: any of them may be what is left tomorrow.

use std::time::{Duration, Instant};

use keyforest::media::Medium;
use oubliette_store::escrow::LiesIn;
use oubliette_store::media::{Folder, Parties, PartyKind};

use super::Rig;
use super::anew::set_up_anew;

const PATIENCE: Duration = Duration::from_secs(60);

/// The register that the list in a folder has for an agent.
fn noted(rig: &Rig, folder: &str, agent: usize) -> Option<LiesIn> {
    let folder = Folder::open(rig.place.join(folder)).unwrap();
    let medium: &dyn Medium = &folder;
    let parties = Parties::read(medium).unwrap()?;
    Some(parties.get(PartyKind::Agent, &format!("agent-{agent}"))?.lies_in)
}

/// Whether a recovery from this folder would wait for the agent to destroy what it holds.
fn knows(rig: &Rig, folder: &str, agent: usize) -> bool {
    let told = rig.told_register(agent);
    matches!(noted(rig, folder, agent), Some(LiesIn::Register(register)) if register.to_string() == told)
}

fn until(what: &str, log: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: {}", log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn move_away(rig: &Rig, mirror: &str, back: bool) {
    let (there, away) = (rig.place.join(mirror), rig.place.join(&format!("{mirror}-away")));
    let (from, to) = if back { (away, there) } else { (there, away) };
    std::fs::rename(from, to).unwrap();
}

#[test]
fn an_agent_that_comes_while_one_of_two_mirrors_is_away_is_given_nothing_before_that_one_knows_of_it() {
    let mut rig = Rig::with_mirrors(3, None, vec!["cellar", "attic"]);
    let public = rig.public();
    rig.configure_with("oubliette.toml", "vault", &public, None, &[0, 1]);
    rig.fill(2);
    // One whose register is another by now, and one that is new.
    rig.run(&["party", "drop", "agent-1", "--kind", "agent", "--reason", "disk-destroyed"]).with_code(0);
    set_up_anew(&mut rig, 1);
    move_away(&rig, "attic", false);
    rig.configure("oubliette.toml", "vault", &public, None);
    for start in ["first", "after a crash"] {
        let mut server = rig.place.serve(&["--config", "oubliette.toml"]);
        server.wait_for_endpoint();
        std::thread::sleep(Duration::from_secs(3));
        for agent in [1, 2] {
            assert_eq!(rig.holds(agent).unwrap(), [0_u64; 0], "{start}, agent {agent}: {}", server.log());
            assert!(!knows(&rig, "attic-away", agent));
        }
        assert_eq!(rig.holds(0).unwrap().len(), 1, "{start}: what it has is not taken from it");
        assert_eq!(rig.found("oubliette.toml", "S-0"), 1, "{start}: it is read");
        let told = rig.run(&["status"]);
        assert!(["attic", "agent-1", "agent-2"].iter().all(|name| told.out.contains(name)), "{}", told.out);
        assert!(told.out.contains("before every mirror"), "{}", told.out);
        server.kill();
    }
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    move_away(&rig, "attic", true);
    until(
        "all agents in line",
        || server.log(),
        || {
            let held = [0, 1, 2].map(|agent| rig.roots(agent));
            // What holds anything is known everywhere.
            for agent in [1, 2].into_iter().filter(|agent| !held[*agent].is_empty()) {
                assert!(["vault/packs", "cellar", "attic"].iter().all(|folder| knows(&rig, folder, agent)), "{agent}");
            }
            held[0].len() == 1 && held.iter().all(|roots| *roots == held[0])
        },
    );
    until("seals are made again", || server.log(), || rig.status()["sealing"] == true);
    rig.run(&["erase", "--session", "S-1", "--yes"]).with_code(0);
    server.stop();
}

#[test]
fn agents_that_are_there_before_the_first_mirror_are_known_to_it_when_it_joins() {
    let mut rig = Rig::new(3, Some("2/3"));
    rig.configure_with("oubliette.toml", "vault", &rig.public(), None, &[0, 1]);
    rig.fill(2);
    assert_eq!(rig.holds(1).unwrap().len(), 1);
    // A mirror that cannot be had yet, and one agent more. Those that are known hold on to what they have.
    rig.mirrors = vec!["cellar"];
    std::fs::write(rig.place.join("cellar"), b"no folder").unwrap();
    rig.configure("oubliette.toml", "vault", &rig.public(), Some("2/3"));
    let server = rig.place.serve(&["--config", "oubliette.toml"]);
    until("the vault is served", || server.log(), || rig.run(&["status"]).out.contains("cellar"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!([0, 1, 2].map(|agent| rig.holds(agent).unwrap().len()), [1, 1, 0], "{}", server.log());
    std::fs::remove_file(rig.place.join("cellar")).unwrap();
    until("all agents in line", || server.log(), || [0, 1, 2].iter().all(|agent| rig.roots(*agent).len() == 1));
    assert!([0, 1, 2].iter().all(|agent| knows(&rig, "cellar", *agent)));
    until("seals are made again", || server.log(), || rig.status()["sealing"] == true);
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
    server.stop();
}
