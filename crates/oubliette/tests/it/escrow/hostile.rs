//! Agents that lie to who brings a root back.

use std::sync::Arc;

use keyforest::RootName;
use keyforest::media::SLOT_BYTES;
use oubliette_store::escrow::envelope::seal;
use oubliette_store::escrow::{Depot, Keep, Quorum, Stamp};
use oubliette_store::roots::FileRegister;

use super::Rig;
use super::lost::copy;

/// A whole record of this name, of a key that opens nothing.
fn invented(root: RootName) -> [u8; SLOT_BYTES] {
    let mut block = [0; SLOT_BYTES];
    block[..8].copy_from_slice(b"KFSLOT01");
    block[8..16].copy_from_slice(&root.epoch.to_le_bytes());
    block[16..48].fill(0x5a);
    block[48..80].copy_from_slice(&root.state);
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &block[..480]);
    block[480..512].copy_from_slice(sum.as_ref());
    assert_eq!(RootName::of(&block), Some(root));
    block
}

/// The agent holds an envelope that it made itself, of a root that it made itself: all it takes is the public key.
fn lies(rig: &mut Rig, number: usize, quorum: Quorum, root: impl FnOnce(RootName) -> RootName) {
    rig.kill(number);
    let folder = rig.place.join(&format!("agent-{number}.register"));
    let register = FileRegister::open(&folder, &folder.join("none")).unwrap();
    let depot = Depot::open(Arc::new(register), None).unwrap();
    let held = depot.holds().pop().unwrap();
    let block = invented(root(held.root));
    let key = rig.public().parse().unwrap();
    let envelope = seal(&block, held.instance, quorum, held.number, &held.agent, &key).unwrap();
    depot.keep(stamp(&depot, held.instance), &Keep::NothingUpTo(u64::MAX)).unwrap();
    depot.put(stamp(&depot, held.instance), envelope, None).unwrap();
    drop(depot);
    rig.start(number);
}

fn stamp(depot: &Depot, instance: [u8; 16]) -> Stamp {
    Stamp { session: depot.session(instance, 0).unwrap().session, number: 1 }
}

/// The machine burned: rows and contents are there as a copy, key pages at the mirror, all agents give what they have.
fn burned(rig: &mut Rig, shares: Option<&str>, pages: bool) {
    copy(&rig.place.join("vault"), &rig.place.join("copy"));
    for gone in ["vault", "vault.register"] {
        std::fs::remove_dir_all(rig.place.join(gone)).unwrap();
    }
    std::fs::remove_dir_all(rig.place.join("copy").join("packs")).unwrap();
    if !pages {
        rig.mirrors.clear();
    }
    rig.configure("new.toml", "copy", &rig.public(), shares);
    for number in 0..rig.agents.len() {
        rig.run(&["agent", "release", "--config", &format!("agent-{number}.toml")]).with_code(0);
    }
}

const RESTORE: [&str; 6] = ["recovery-key", "restore", "--config", "new.toml", "--key-file", "secret"];

#[test]
fn a_root_of_a_later_epoch_that_an_agent_invented_is_passed_over_and_the_agent_named() {
    let mut rig = Rig::with_mirrors(2, None, vec!["cellar"]);
    rig.fill(2);
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
    let plain = Quorum::plain(2).unwrap();
    lies(&mut rig, 0, plain, |root| RootName { epoch: root.epoch + 1000, state: [7; 32] });
    burned(&mut rig, None, true);
    let done = rig.run(&RESTORE).with_code(0).out;
    assert!(done.contains("agent agent-0: it gave a root of epoch") && done.contains("invented"), "{done}");
    assert!(!done.contains("agent agent-1: it"), "{done}");
    let epoch = rig.roots(1)[0].epoch;
    assert!(done.contains(&format!("root            epoch {epoch}, in the register")), "{done}");
}

#[test]
fn a_root_of_another_key_under_the_name_of_the_one_in_force_is_a_lie_that_is_told() {
    let mut rig = Rig::with_mirrors(2, None, vec!["cellar"]);
    rig.fill(2);
    lies(&mut rig, 0, Quorum::plain(2).unwrap(), |root| root);
    burned(&mut rig, None, true);
    let done = rig.run(&RESTORE).with_code(0).out;
    assert!(done.contains("agent agent-0: what it gave under the name of the root"), "{done}");
    assert!(done.contains("they open under the root") && !done.contains("agent agent-1: what"), "{done}");
    // The vault that was brought back is the one that was lost.
    rig.run(&["status", "--config", "new.toml"]);
    assert_eq!(rig.found("new.toml", "S-1"), 1);
}

#[test]
fn one_wrong_share_does_not_stand_in_the_way_of_two_right_ones() {
    let mut rig = Rig::with_mirrors(3, Some("2/3"), vec!["cellar"]);
    rig.fill(1);
    lies(&mut rig, 0, Quorum::shares(2, 3).unwrap(), |root| root);
    burned(&mut rig, Some("2/3"), true);
    let done = rig.run(&RESTORE).with_code(0).out;
    assert!(done.contains("agent agent-0: what it gave"), "{done}");
}

#[test]
fn without_key_pages_agents_that_do_not_agree_are_not_believed_and_with_them_they_are_told_apart() {
    let mut rig = Rig::with_mirrors(2, None, vec!["cellar"]);
    rig.fill(1);
    lies(&mut rig, 0, Quorum::plain(2).unwrap(), |root| RootName { epoch: root.epoch + 1, ..root });
    burned(&mut rig, None, false);
    let refused = rig.run(&RESTORE).with_code(1);
    let said = ["do not agree", "agent-0", "agent-1", "Key pages tell"];
    assert!(said.iter().all(|said| refused.err.contains(said)), "{}", refused.err);
    // Brought into the vault's place for them, they tell.
    copy(&rig.place.join("cellar"), &rig.place.join("copy").join("packs"));
    let done = rig.run(&RESTORE).with_code(0).out;
    assert!(
        done.contains("the data folder: they open under the root") && done.contains("agent agent-0: it gave"),
        "{done}"
    );
}
