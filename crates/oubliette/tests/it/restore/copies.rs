//! Every copy that was made while clients worked is restored beside the newest key state.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyforest::attack::Closure;
use oubliette::backup::{BackupView, Backups, fetch, place};
use oubliette::config::Config;
use oubliette_core::service::{Vault, VaultError};
use oubliette_proof::tree::TreeHead;

use super::checks::{goes_on, holds, is_read_only, surely_held};
use super::house::{House, Tool, copy_data};
use super::load::{Knowledge, Load};
use super::proofs::{certificate_of, files, goes_on_from};
use crate::attacker::{Archive, attack, copy_folder};

/// Copies made.
const COPIES: usize = 56;
/// Things done between two copies.
const STEPS: usize = 8;
/// Copies after whose restore the attacker comes with copies of the whole time.
const ATTACKED: [usize; 2] = [12, 40];
/// Of the whole time he has every so many: more of them hold little that is new, and each takes him a while.
const STOLEN: usize = 3;
/// Certificates asked for after a restore, of each sort.
const CERTIFIED: usize = 6;
/// Vaults restored at the same time.
const PARALLEL: usize = 4;

/// A copy and what is known to be in it.
struct Copy {
    folder: PathBuf,
    held: Knowledge,
}

/// A vault that clients worked with, stopped, and the copies made meanwhile.
struct World {
    house: House,
    copies: Vec<Copy>,
    newest: Knowledge,
    load: Load,
    /// The log's head in the end.
    head: TreeHead,
    /// After the restore of every so many he comes with some newer copies; the slow lane has 1.
    attacked_each: usize,
}

impl World {
    async fn make(attacked_each: usize) -> Self {
        let house = House::new();
        let opened = house.open().await.unwrap();
        let mut load = Load::begin(&opened.vault, 7).await;
        let mut copies = Vec::new();
        for number in 0..COPIES {
            for _ in 0..STEPS {
                load.step(&opened.vault).await;
            }
            let folder = house.path().join(format!("copy-{number}"));
            // Every fourth copy is made while clients go on.
            let busy = number % 4 == 3;
            let before = load.known.clone();
            let (data, to) = (house.data(), folder.clone());
            let mut copying = match number % 3 {
                0 => tokio::task::spawn_blocking(move || copy_data(&data, &to, Tool::Files)),
                1 => tokio::task::spawn_blocking(move || copy_data(&data, &to, Tool::VacuumInto)),
                _ => tokio::spawn(backup(opened.backups.clone(), house.path().join("backups"), to)),
            };
            while busy && !copying.is_finished() {
                load.step(&opened.vault).await;
            }
            (&mut copying).await.unwrap();
            copies.push(Copy { folder, held: surely_held(&before, &load.known) });
        }
        // Whatever the last copies hold, too, is erased in part.
        for _ in 0..2 * STEPS {
            load.step(&opened.vault).await;
        }
        load.purge(&opened.vault).await;
        let head = opened.vault.log().head();
        opened.close().await;
        let newest = load.known.clone();
        Self { house, copies, newest, load, head, attacked_each }
    }

    /// Restores one copy: refused as it is, attached, read, committed, and gone on with.
    async fn restore(&self, number: usize) {
        let copy = &self.copies[number];
        let place = self.house.with_copy(&copy.folder);
        let high_water = place.high_water();
        assert!(is_behind(&place).await, "copy {number} is served as if it were new");

        // An opening begins another file of the journal and removes those that nobody needs. No seal goes without pages.
        let is_journal = |path: &PathBuf| path.to_string_lossy().contains("journal-");
        let keys = || {
            let mut pages = files(&place.data().join("packs"));
            pages.retain(|path, _| !is_journal(path));
            pages
        };
        let found = keys();
        let attached = place.attach().await.unwrap();
        assert!(attached.vault.attached());
        // As the command does first: contents that were moved while the copy was made are found again.
        let view = attached.vault.restore_view().await.unwrap().unwrap();
        holds(&attached.vault, &self.load.actor, &copy.held, &self.newest).await;
        is_read_only(&attached.vault, &self.load.actor, &copy.held).await;
        assert_eq!(view.missing_contents, 0, "copy {number} lacks bytes");
        assert_eq!(view.due, 0);
        attached.close().await;
        assert!(keys() == found, "the key state or the log was changed while copy {number} was attached");

        if number % 8 == 1 {
            // Nothing was lost by trying: the newest data serves as if no copy had ever been there.
            let back = place.with_copy(&self.house.data());
            let opened = back.open().await.unwrap();
            assert!(!opened.vault.attached());
            holds(&opened.vault, &self.load.actor, &self.newest, &self.newest).await;
            opened.close().await;
        }

        // Served again it is what it was, as often as one likes; nothing was destroyed.
        let again = place.open().await.unwrap();
        assert!(again.vault.attached());
        let view_again = again.vault.restore_view().await.unwrap().unwrap();
        assert_eq!((view_again.id, view_again.doomed), (view.id, view.doomed));
        again.vault.commit_restore().await.unwrap();
        again.close().await;

        let restored = place.open().await.unwrap();
        assert!(!restored.vault.attached());
        holds(&restored.vault, &self.load.actor, &copy.held, &self.newest).await;
        let mut load = self.load.restored(&restored.vault, &copy.held, &self.newest).await;
        let lost: Vec<_> = self.newest.live.keys().filter(|id| !load.known.live.contains_key(*id)).collect();
        for id in &lost {
            let told = restored.vault.interaction(&load.actor, id).await.err();
            assert!(matches!(told, Some(VaultError::Gone)), "what the copy did not know answers {told:?}");
            let told = restored.vault.item_certificate(&load.actor, id, None).await.err();
            assert!(matches!(told, Some(VaultError::NoReceipt)), "what the copy did not know is certified: {told:?}");
        }
        self.certificates(&restored.vault, &copy.held).await;
        goes_on(&restored.vault, &mut load, high_water).await;
        let late = load.known.erased.difference(&self.newest.erased).next();
        if let Some(id) = late {
            assert!(
                certificate_of(&restored.vault, &load.actor, id).await.is_some(),
                "{id} was erased and is not certified"
            );
        }
        let doomed = load.known.live.keys().next().cloned();
        let attacked = ATTACKED.contains(&number) || number.is_multiple_of(self.attacked_each);
        // Of the first copies nothing may be left alive.
        if let Some(id) = doomed.filter(|_| attacked) {
            self.attack_after(number, &place, &restored.vault, &mut load, &id, &lost).await;
        }
        restored.close().await;
        let restarted = place.open().await.unwrap();
        holds(&restarted.vault, &load.actor, &load.known, &load.known).await;
        let report = goes_on_from(&restarted.vault, &self.head);
        assert_eq!((report.kinds.get("restore"), report.unknown), (Some(&1), 0), "copy {number}: {report:?}");
        restarted.close().await;
        if number.is_multiple_of(8) {
            // The copy itself, once it was committed, is an old one again.
            let rolled_back = place.with_copy(&copy.folder);
            assert!(is_behind(&rolled_back).await, "copy {number} is not noticed after its restore");
            self.restore_another(&place, &load, (number + COPIES / 2) % COPIES).await;
        }
    }

    /// Over a vault that was restored once another copy is: what both held and nobody erased is there, and the log goes on.
    async fn restore_another(&self, place: &House, load: &Load, number: usize) {
        let copy = &self.copies[number];
        let place = place.with_copy(&copy.folder);
        assert!(is_behind(&place).await, "copy {number} is served as if it were new");
        let attached = place.attach().await.unwrap();
        attached.vault.commit_restore().await.unwrap();
        attached.close().await;
        let restored = place.open().await.unwrap();
        holds(&restored.vault, &load.actor, &copy.held, &load.known).await;
        self.certificates(&restored.vault, &copy.held).await;
        let report = goes_on_from(&restored.vault, &self.head);
        assert_eq!((report.kinds.get("restore"), report.unknown), (Some(&2), 0), "copy {number}: {report:?}");
        restored.close().await;
    }

    /// What the copy knew to be erased is certified.
    async fn certificates(&self, vault: &Vault, held: &Knowledge) {
        let some = |ids: Vec<&String>| {
            let step = (ids.len() / CERTIFIED).max(1);
            ids.into_iter().rev().step_by(step).cloned().collect::<Vec<_>>()
        };
        for id in some(held.erased.iter().collect()) {
            assert!(certificate_of(vault, &self.load.actor, &id).await.is_some(), "{id} was certified");
        }
        // Whatever is said of the others holds.
        for id in some(self.newest.erased.difference(&held.erased).collect()) {
            certificate_of(vault, &self.load.actor, &id).await;
        }
    }

    /// Erases an interaction of the restored vault. Whoever has other copies, newer ones too, opens nothing of it, and nothing
    /// of what only newer ones held.
    async fn attack_after(
        &self,
        number: usize,
        place: &House,
        vault: &Vault,
        load: &mut Load,
        id: &str,
        lost: &[&String],
    ) {
        let word = word_of(&load.known.live[id].session);
        let mut archive = Archive::default();
        let last = self.copies.len() - 1;
        let some = [number, (number + 1).min(last), usize::midpoint(number, last)];
        for (other, copy) in self.copies.iter().enumerate() {
            if some.contains(&other) || (ATTACKED.contains(&number) && other % STOLEN == 0) {
                archive.take(&copy.folder);
            }
        }
        archive.take(&self.house.data());
        archive.take(&place.data());
        let nothing = Closure::default();
        let register = House::new();
        if number == ATTACKED[0] {
            // He has it before it is erased.
            copy_folder(&place.register(), &register.path().join("before"));
            let loot = attack(&archive, &register.path().join("before"), &nothing).await;
            assert!(loot.has(&word), "control: it should open before its erasure");
        }

        load.erase_known(vault, id).await;
        archive.take(&place.data());
        copy_folder(&place.register(), &register.path().join("after"));
        let loot = attack(&archive, &register.path().join("after"), &nothing).await;
        assert!(!loot.has(&word), "{id} was erased after the restore and opens with another copy");
        for id in lost {
            let word = word_of(&self.newest.live[*id].session);
            assert!(!loot.has(&word), "{id} came in after copy {number}, and opens after its restore");
        }
        for bytes in &load.known.erased_bytes {
            let text = String::from_utf8_lossy(bytes);
            assert!(!loot.has(text.split(' ').next().unwrap()), "an erased content opens");
        }
        for item in load.known.live.values() {
            let word = word_of(&item.session);
            assert!(loot.has(&word), "control: {word} is live and should open");
        }
    }
}

/// The word that stands in everything of an interaction.
fn word_of(session: &str) -> String {
    session.trim_end_matches("-session").to_owned()
}

/// `oubliette backup` and `oubliette backup fetch`.
async fn backup(backups: Backups, copies: PathBuf, to: PathBuf) {
    let copies = copies.to_str().unwrap().to_owned();
    backups.start(copies.clone()).unwrap();
    let made = loop {
        match backups.now() {
            BackupView::UnderWay => tokio::time::sleep(Duration::from_millis(5)).await,
            BackupView::Done { made } => break made,
            other => panic!("{other:?}"),
        }
    };
    let fetched = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&to).unwrap();
        fetch(&place(&Config::default(), &copies).unwrap(), &made.manifest.id, &to)
    });
    fetched.await.unwrap().unwrap();
}

/// Whether serving this database is refused as one that is older than its key state.
async fn is_behind(place: &House) -> bool {
    match place.open().await {
        Err(error) => {
            let text = oubliette::cli::chain(&error);
            assert!(text.contains("oubliette restore attach"), "{text}");
            true
        }
        Ok(opened) => {
            opened.close().await;
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_copy_gives_back_what_is_live_and_nothing_that_was_erased() {
    restore_each(8).await;
}

mod slow {
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "minutes: the attacker comes after the restore of every copy"]
    async fn every_copy_gives_back_what_is_live_and_nothing_erased_after_it_opens_with_newer_ones() {
        super::restore_each(1).await;
    }
}

async fn restore_each(attacked_each: usize) {
    let world = Arc::new(World::make(attacked_each).await);
    assert!(world.newest.erased.len() > 40 && world.newest.live.len() > 20, "too little was done");
    assert!(world.newest.revoked.len() > 3, "too few credentials were revoked");
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..PARALLEL).map(|_| {
        let (world, next) = (Arc::clone(&world), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= world.copies.len() {
                    return;
                }
                world.restore(number).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}
