//! Disks that are lost, and the recovery key.

use super::Rig;

/// What a mirror has of the key state, and a backup of rows and contents.
pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_register_is_lost_and_two_agents_with_the_recovery_key_bring_everything_back() {
    let mut rig = Rig::new(3, Some("2/3"));
    rig.fill(3);
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
    // The disk with the register is gone; the data folder is a copy that was made of it.
    copy(&rig.place.join("vault"), &rig.place.join("copy"));
    std::fs::remove_dir_all(rig.place.join("vault")).unwrap();
    std::fs::remove_dir_all(rig.place.join("vault.register")).unwrap();
    rig.configure("new.toml", "copy", &rig.public(), Some("2/3"));
    rig.run(&["status", "--config", "new.toml"]).with_code(1);

    let restore = ["recovery-key", "restore", "--config", "new.toml", "--key-file", "secret"];
    let refused = rig.run(&restore).with_code(1);
    assert!(refused.out.contains("has not allowed it"), "{}", refused.out);
    rig.run(&["agent", "release", "--config", "agent-0.toml"]).with_code(0);
    let few = rig.run(&restore).with_code(1);
    assert!(few.err.contains("too few envelopes"), "{}", few.err);
    rig.run(&["agent", "release", "--config", "agent-2.toml"]).with_code(0);
    rig.kill(1);

    let other = rig.run(&["recovery-key", "create", "--secret-file", "wrong"]).with_code(0);
    assert!(!other.out.contains(&std::fs::read_to_string(rig.place.join("wrong")).unwrap()));
    let wrong = rig.run(&["recovery-key", "restore", "--config", "new.toml", "--key-file", "wrong"]).with_code(1);
    assert!(wrong.err.contains("another recovery key"), "{}", wrong.err);

    let done = rig.run(&restore).with_code(0);
    assert!(done.out.contains("in the register"), "{}", done.out);
    let again = rig.run(&restore).with_code(1);
    assert!(again.err.contains("holds a root already"), "{}", again.err);
    assert_eq!(rig.found("new.toml", "S-0"), 0, "what was erased stays erased");
    assert_eq!(rig.found("new.toml", "S-1"), 1);
    rig.run(&["erase", "--config", "new.toml", "--session", "S-1", "--yes"]).with_code(0);
    assert_eq!(rig.found("new.toml", "S-2"), 1);
}

#[test]
fn a_recovery_key_in_shares_is_printed_once_and_read_back_from_any_two() {
    let rig = Rig::new(1, None);
    let made = rig.run(&["recovery-key", "create", "--shares", "2/3"]).with_code(0);
    let public = made.out.lines().find(|line| line.starts_with("oubliette-recovery-1:")).unwrap();
    let shares: Vec<&str> = made
        .out
        .lines()
        .filter(|line| line.len() > 60 && line.contains('-') && !line.contains(' ') && *line != public)
        .collect();
    assert_eq!(shares.len(), 3, "{}", made.out);
    std::fs::write(rig.place.join("two"), format!("{}\n\n {}\n", shares[2], shares[0].to_lowercase())).unwrap();
    let check = rig.run(&["recovery-key", "check", "--key-file", "two"]).with_code(7);
    assert!(check.out.contains(public) && check.out.contains("not the recovery key of the configuration"));
    std::fs::write(rig.place.join("one"), shares[1]).unwrap();
    let few = rig.run(&["recovery-key", "check", "--key-file", "one"]).with_code(1);
    assert!(few.err.contains("2 shares"), "{}", few.err);
    let own = rig.run(&["recovery-key", "check", "--key-file", "secret"]).with_code(0);
    assert!(own.out.contains("it is the recovery key of the configuration"));
    rig.run(&["recovery-key", "create", "--shares", "1/3"]).with_code(1);
    let taken = rig.run(&["recovery-key", "create", "--secret-file", "secret"]).with_code(1);
    assert_eq!(taken.out, "", "a public key whose secret is kept nowhere");
}
