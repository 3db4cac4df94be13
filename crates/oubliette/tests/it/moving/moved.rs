//! A move without faults: what it shows, what it refuses, what is there afterwards.

use std::time::Duration;

use reqwest::StatusCode;

use super::{Rig, client};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_served_vault_is_moved_with_everything_in_it_and_serves_at_the_new_place_alone() {
    let rig = Rig::new();
    let mut old = rig.serve_old(None);
    let mut before = client(&mut old, "");
    before.token = rig.token();
    let mut kept = Vec::new();
    for (number, length) in [0, 100, 40_000, 300_000, 3_000_000].into_iter().enumerate() {
        kept.push(before.make(number, length).await.unwrap());
    }
    kept[0].screen = Some(vec![7; 2_000]);
    assert!(before.put(&kept[0].id, "screenRecording", "video/mp4", &[7; 2_000]).await);
    assert_eq!(before.speak(&kept[1].id, "de-DE").await, Some(StatusCode::OK));
    kept[1].language = Some("de-DE".to_owned());
    let gone = before.make(100, 5_000).await.unwrap();
    assert!(before.erase(&gone.id).await.unwrap().is_success());
    // More contents than one group has leaves for.
    for content in 0..12 {
        assert!(before.put(&kept[2].id, &format!("note-{content}?kind=attachment"), "text/plain", b"note").await);
    }

    let plan = rig.migrate(&["--dry-run", "--json"]).with_code(0).json();
    assert_eq!(plan["plan"]["tenants"], 1, "{plan}");
    assert_eq!(plan["plan"]["goesOn"], false, "a plan changes nothing: {plan}");
    assert_eq!(rig.migrate(&["--dry-run", "--json"]).with_code(0).json()["plan"]["goesOn"], false);
    assert!(rig.migrate(&[]).with_code(5).err.contains("nobody is there to ask"));

    let root = rig.old_root();
    assert!(rig.register_holds(&root));
    let moved = rig.migrate(&["--yes", "--json"]).with_code(0).json();
    assert_eq!(moved["figures"]["interactions"], 5, "{moved}");
    assert_eq!(moved["figures"]["proof"]["interactions"], 5, "{moved}");
    assert_eq!(old.wait(), 8, "the server of the old vault ends by itself");
    assert!(!rig.register_holds(&root), "the old root is gone");
    rig.assert_old_is_closed();
    let again = rig.migrate(&["--yes", "--json"]).with_code(0).json();
    assert_eq!(again["already"], true);

    let mut new = rig.serve_new();
    let after = client(&mut new, &before.token);
    for item in &kept {
        after.assert_whole(item).await;
        after.assert_found(item).await;
    }
    after.assert_gone(&gone).await;
    let mut ids = after.all().await;
    ids.sort();
    let mut expected: Vec<String> = kept.iter().map(|item| item.id.clone()).collect();
    expected.sort();
    assert_eq!(ids, expected, "nothing is there twice");
    // It lives on: numbers are not issued again, and what is erased there is erased.
    let fresh = after.make(200, 1_000).await.unwrap();
    assert!(!expected.contains(&fresh.id));
    assert!(after.erase(&kept[1].id).await.unwrap().is_success());
    after.assert_gone(&kept[1]).await;
    new.kill();
    let mut new = rig.serve_new();
    let after = client(&mut new, &before.token);
    after.assert_whole(&fresh).await;
    after.assert_gone(&kept[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_nobody_serves_is_moved_by_the_command_itself() {
    let rig = Rig::new();
    let mut old = rig.serve_old(None);
    let mut before = client(&mut old, "");
    before.token = rig.token();
    let item = before.make(1, 10_000).await.unwrap();
    old.stop();
    rig.migrate_through(LIMIT);
    rig.assert_old_is_closed();
    let mut new = rig.serve_new();
    let after = client(&mut new, &before.token);
    after.assert_whole(&item).await;
    after.assert_found(&item).await;
}

#[test]
fn a_place_that_holds_something_is_refused_and_left_alone() {
    let rig = Rig::new();
    let mut old = rig.serve_old(None);
    old.wait_for_endpoint();
    let mut other = rig.serve_new();
    other.wait_for_endpoint();
    let refused = rig.migrate(&["--yes"]).with_code(1);
    assert!(refused.err.contains("the new database holds another vault"), "{}", refused.err);
    other.stop();
    assert!(rig.migrate(&["--yes"]).with_code(1).err.contains("another vault"));
    let mut other = rig.serve_new();
    other.wait_for_endpoint();
    assert!(old.running(), "the old vault goes on");

    // The old register cannot be the new one, and a data folder is no new place.
    let data = rig.old.data();
    let config = std::fs::read_to_string(rig.new.join("oubliette.toml")).unwrap();
    let register = format!("register = \"{}.register\"\n", data.display());
    std::fs::write(
        rig.new.join("oubliette.toml"),
        config.replacen("[storage]\n", &format!("[storage]\n{register}"), 1),
    )
    .unwrap();
    assert!(rig.migrate(&["--yes"]).with_code(1).err.contains("names the register of the old vault"));
    // No place is sealed to beside what its mirrors hold.
    let mirrored = format!("{config}\n[mirrors]\nplaces = [\"far=folder:{}\"]\n", rig.new.join("far").display());
    std::fs::write(rig.new.join("oubliette.toml"), mirrored).unwrap();
    assert!(rig.migrate(&["--yes"]).with_code(1).err.contains("moved without mirrors"));
    std::fs::write(rig.new.join("oubliette.toml"), "[storage]\ndata = \"vault\"\n").unwrap();
    assert!(rig.migrate(&["--yes"]).with_code(1).err.contains("PostgreSQL and a bucket"));
}
