//! One side set back where no seal and no mirror tells of it: the database after a while in which things only came in, the
//! key state with everything that lies beside it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyforest::Probe;
use oubliette::cli::chain;
use oubliette::opening::OpenVault;
use oubliette_core::model::ContentKind;
use oubliette_core::ports::{Clock, SystemClock};
use oubliette_core::service::{NewContent, body_of};
use reqwest::StatusCode;

use super::checks::{goes_on, holds};
use super::house::{House, Tool, copy_data, copy_tree};
use super::load::Load;
use super::servers::{asker, dump, sql, stop};
use crate::program::Place;
use crate::scaled::{Vault, serve, token};

/// A clock that can be put forward.
#[derive(Default)]
struct Forward(AtomicI64);

impl Clock for Forward {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.0.load(Ordering::Acquire))
    }
}

/// Lets the log be told of what came in, without a seal.
async fn until_told(opened: &OpenVault, clock: &Forward) {
    let (before, epoch) = (opened.vault.log().head().size, opened.vault.status().await.unwrap().epoch);
    clock.0.fetch_add(61, Ordering::AcqRel);
    for _ in 0..400 {
        if opened.vault.log().head().size > before {
            assert_eq!(opened.vault.status().await.unwrap().epoch, epoch, "a seal was made");
            // Noted in the rows, too.
            tokio::time::sleep(Duration::from_millis(300)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the log is told nothing");
}

/// What the program says of it, and the code it ends with.
fn refused(place: &House) -> (i32, String) {
    let data = place.data();
    let serve = ["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    // Its register was copied.
    let told = Place::new().run_with(&serve, &[("OUBLIETTE__STORAGE__ACCEPT_UNVERIFIED_REGISTER", "true")]);
    (told.code, told.err)
}

/// Leaves that contents have.
async fn leaves(opened: &OpenVault, load: &Load, id: &str) -> BTreeSet<u64> {
    let interaction = opened.vault.interaction(&load.actor, id).await.unwrap();
    let contents = opened.vault.contents(&load.actor, &interaction).await.unwrap();
    contents.into_iter().map(|content| content.leaf.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_know_nothing_of_what_the_log_tells_are_an_older_copy_although_no_seal_was_made() {
    let (house, clock) = (House::new(), Arc::new(Forward::default()));
    let opened = house.clocked(Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
    let mut load = Load::begin(&opened.vault, 21).await;
    for _ in 0..3 {
        load.capture(&opened.vault).await;
    }
    until_told(&opened, &clock).await;
    let held = load.known.clone();
    let (copy, same) = (house.path().join("copy"), house.path().join("same"));
    copy_data(&house.data(), &copy, Tool::Files);
    for _ in 0..2 {
        load.capture(&opened.vault).await;
    }
    until_told(&opened, &clock).await;
    copy_data(&house.data(), &same, Tool::Files);

    // As a kill leaves them: key state and log as they are now.
    let (older, current) = (house.with_copy(&copy), house.with_copy(&same));
    opened.close().await;
    let again = current.open().await.unwrap();
    holds(&again.vault, &load.actor, &load.known, &load.known).await;
    again.close().await;

    let (code, told) = refused(&older);
    assert_eq!(code, 9, "{told}");
    assert!(told.contains("1 entries of the log tell of what it does not know"), "{told}");
    let high_water = older.high_water();
    let attached = older.attach().await.unwrap();
    let view = attached.vault.restore_view().await.unwrap().unwrap();
    assert!(view.found >= view.pinned, "a seal told of it: {view:?}");
    holds(&attached.vault, &load.actor, &held, &held).await;
    attached.close().await;
    let attached = older.open().await.unwrap();
    attached.vault.commit_restore().await.unwrap();
    attached.close().await;

    let restored = older.open().await.unwrap();
    assert!(!restored.vault.attached());
    let mut load = load.restored(&restored.vault, &held, &held).await;
    goes_on(&restored.vault, &mut load, high_water).await;
    restored.close().await;
    older.open().await.unwrap().close().await;
}

/// Copies everything at one named moment.
struct At {
    point: &'static str,
    from: House,
    to: House,
}

impl Probe for At {
    fn reached(&self, point: &'static str) {
        if point == self.point && !self.to.data().exists() {
            copy_data(&self.from.data(), &self.to.data(), Tool::Files);
            copy_tree(&self.from.data().join("packs"), &self.to.data().join("packs"));
            copy_tree(&self.from.register(), &self.to.register());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_was_told_and_a_crash_kept_the_rows_from_noting_is_no_sign_of_an_older_copy() {
    for point in ["certify.planned", "certify.appended", "certify.noted"] {
        let at = Arc::new(At { point, from: House::new(), to: House::new() });
        let opened = at.from.probed(Arc::clone(&at) as Arc<dyn Probe>).await.unwrap();
        let mut load = Load::begin(&opened.vault, 22).await;
        load.capture(&opened.vault).await;
        let id = load.known.live.keys().next().cloned().unwrap();
        load.capture(&opened.vault).await;
        // Arrivals and a seal in one round.
        load.erase_known(&opened.vault, &id).await;
        opened.close().await;
        let again = at.to.open().await.unwrap_or_else(|error| panic!("{point}: {}", chain(&error)));
        holds(&again.vault, &load.actor, &load.known, &load.known).await;
        again.close().await;
        at.to.open().await.unwrap_or_else(|error| panic!("{point}, later: {}", chain(&error))).close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_in_good_order_every_older_copy_is_noticed() {
    let house = House::new();
    let opened = house.open().await.unwrap();
    let mut load = Load::begin(&opened.vault, 23).await;
    load.capture(&opened.vault).await;
    let copy = house.path().join("copy");
    copy_data(&house.data(), &copy, Tool::VacuumInto);
    let id = load.known.live.keys().next().cloned().unwrap();
    let new = NewContent::unique(ContentKind::Attachment, "text/plain");
    opened.vault.put_content(&load.actor, &id, new, body_of("late")).await.unwrap();
    opened.close().await;
    let (code, told) = refused(&house.with_copy(&copy));
    assert_eq!(code, 9, "{told}");
    house.open().await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_leaf_is_issued_again_even_where_nothing_tells_of_an_older_copy() {
    let house = House::new();
    let opened = house.open().await.unwrap();
    let mut load = Load::begin(&opened.vault, 24).await;
    load.capture(&opened.vault).await;
    let id = load.known.live.keys().next().cloned().unwrap();
    let copy = house.path().join("copy");
    copy_data(&house.data(), &copy, Tool::Files);
    let new = || NewContent::unique(ContentKind::Attachment, "text/plain");
    opened.vault.put_content(&load.actor, &id, new(), body_of("late")).await.unwrap();
    let issued = leaves(&opened, &load, &id).await;
    // A kill before the log was told: what came in after the copy is not missed, as the manual says.
    let killed = house.with_copy(&copy);
    opened.close().await;
    let high_water = killed.high_water();
    let again = killed.open().await.unwrap();
    assert!(!again.vault.attached());
    let before = leaves(&again, &load, &id).await;
    assert!(before.len() + 1 == issued.len());
    again.vault.put_content(&load.actor, &id, new(), body_of("other")).await.unwrap();
    again.vault.put_content(&load.actor, &id, new(), body_of("another")).await.unwrap();
    let after = leaves(&again, &load, &id).await;
    let fresh: Vec<_> = after.difference(&before).collect();
    assert!(fresh.len() == 2 && fresh.iter().all(|leaf| **leaf >= high_water && !issued.contains(leaf)), "{fresh:?}");
    // The second of them is in the group of the first.
    assert_eq!(fresh[0] / 8, fresh[1] / 8);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_and_key_pages_that_were_set_back_are_refused_beside_the_rows_as_they_are() {
    let house = House::new();
    let opened = house.open().await.unwrap();
    let mut load = Load::begin(&opened.vault, 25).await;
    load.capture(&opened.vault).await;
    load.capture(&opened.vault).await;
    opened.close().await;
    let before = House::new();
    copy_tree(&house.data(), &before.data());
    copy_tree(&house.register(), &before.register());

    // Even if nothing was erased: a start and a stop are seals.
    house.open().await.unwrap().close().await;
    let set_back = before.with_copy(&house.data());
    let is_refused = |place: &House| {
        let (code, told) = refused(place);
        assert!(code == 1 && told.contains("the key state is older than the database"), "{code}: {told}");
    };
    is_refused(&set_back);

    let opened = house.open().await.unwrap();
    let id = load.known.live.keys().next().cloned().unwrap();
    load.erase_known(&opened.vault, &id).await;
    opened.close().await;
    let set_back = before.with_copy(&house.data());
    is_refused(&set_back);
    let data = set_back.data();
    let attach = Place::new().run(&["restore", "attach", "--data", data.to_str().unwrap()]).with_code(1);
    assert!(attach.err.contains("the key state is older than the database"), "{}", attach.err);
    // What was refused was not changed: with its own key state the vault goes on.
    let own = house.with_copy(&set_back.data());
    let again = own.open().await.unwrap();
    holds(&again.vault, &load.actor, &load.known, &load.known).await;
    again.close().await;
}

fn replace(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy_tree(from, to);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_either_side_that_was_set_back_is_refused_without_an_erasure_in_between() {
    let vault = Vault::new();
    let place = vault.place("class = \"file\"\n[key_state]\nsecond = \"folder:second\"");
    let url = &vault.database.url;
    let start = || place.run(&["serve", "--config", "oubliette.toml", "--listen", "127.0.0.1:0"]);
    let mut server = serve(&place);
    server.wait_for_endpoint();
    let token = token(&place);
    stop(server);
    let (server, clients) = asker(&place, &token).await;
    let first = clients.call("first", b"RIFF first".to_vec()).await;
    let rows = place.join("rows.sql");
    dump(url, &rows);
    let second = clients.call("second", b"RIFF second".to_vec()).await;
    stop(server);

    // The rows: nothing but a stop came after the copy and what it lacks.
    let now = place.join("now.sql");
    dump(url, &now);
    let put_back = |file: &Path| {
        sql(url, &["-c", "DROP SCHEMA oubliette CASCADE"]);
        sql(url, &["-f", file.to_str().unwrap()]);
    };
    put_back(&rows);
    let told = start().with_code(9);
    assert!(told.err.contains("the database is older than the key state"), "{}", told.err);
    put_back(&now);

    // The keys: pages in both places and the register.
    let (keys, register) = (place.join("keys.sql"), place.join("vault.register"));
    let mut tool = std::process::Command::new("pg_dump");
    tool.args(["--schema=oubliette_keys", "--no-owner", "--file", keys.to_str().unwrap(), url]);
    assert!(tool.status().unwrap().success());
    copy_tree(&place.join("second"), &place.join("second.old"));
    copy_tree(&register, &place.join("register.old"));
    let (server, clients) = asker(&place, &token).await;
    for id in [&first, &second] {
        assert_eq!(clients.read(id).await.0, StatusCode::OK);
    }
    stop(server);
    sql(url, &["-c", "DROP SCHEMA oubliette_keys CASCADE"]);
    sql(url, &["-f", keys.to_str().unwrap()]);
    replace(&place.join("second.old"), &place.join("second"));
    replace(&place.join("register.old"), &register);
    let told = start().with_code(1);
    assert!(told.err.contains("the key state is older than the database"), "{}", told.err);
}
