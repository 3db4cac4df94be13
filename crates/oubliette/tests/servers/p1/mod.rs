//! P1 on servers: the attacker owns the folders of PostgreSQL, of its log's archive, of its base backup and of its standby,
//! of SeaweedFS and of OpenBao, all of them as they were at every commit and every step of every seal.
//!
//! What he reads of them he reads as anybody would: he starts servers of his own on archived folders and asks those. Rows he
//! has of every moment.

mod archive;
mod evidence;
mod openbao;
mod process;
mod rig;
mod told;

use std::collections::BTreeSet;
use std::time::Instant;

use keyforest::Leaf;
use keyforest::attack::Closure;

use self::told::Told;
use crate::attacker::Loot;
use crate::figures::figure;

/// Asserts that nothing erased opens and that all that lives does.
async fn nothing_erased_opens(told: &Told, roots: &[Vec<u8>], with: &str) -> (Closure, Loot) {
    let (keys, loot) = told.attack(roots).await;
    for story in &told.stories {
        for marker in story.forbidden() {
            assert!(!loot.has(&marker), "{marker} is erased and opens with {with}");
        }
        for marker in story.kept() {
            assert!(loot.has(&marker), "{marker} is live and does not open with {with}");
        }
    }
    (keys, loot)
}

/// Asserts that everything that ever was opens; gives the leaves of what is erased and of what is live.
async fn all_opens(told: &Told, roots: &[Vec<u8>], with: &str) -> [BTreeSet<Leaf>; 2] {
    let (_, loot) = told.attack(roots).await;
    let mut leaves = [BTreeSet::new(), BTreeSet::new()];
    for story in &told.stories {
        for marker in story.erased() {
            assert!(loot.has(&marker), "control: {marker} should open with {with}");
            leaves[0].extend(loot.leaves_of(&marker));
        }
        for marker in story.kept_contents() {
            assert!(loot.has(&marker), "control: {marker} should open with {with}");
            leaves[1].extend(loot.leaves_of(&marker));
        }
    }
    leaves
}

/// Asserts that not a single thing opens.
async fn nothing_opens(told: &Told, roots: &[Vec<u8>], with: &str) {
    let (keys, loot) = told.attack(roots).await;
    assert!(loot.opened.is_empty() && keys.pages_opened == 0, "something opens with {with}");
    assert!(!loot.closed.is_empty());
}

/// Asserts that leaves can be derived, or that none can.
fn derived(keys: &Closure, [erased, live]: &[BTreeSet<Leaf>; 2]) {
    assert!(erased.iter().all(|leaf| !keys.reaches(*leaf)), "an erased leaf can be derived");
    assert!(live.iter().all(|leaf| keys.reaches(*leaf)), "a live leaf cannot be derived");
}

/// With the root in OpenBao alone.
async fn with_openbao_alone(stories: u32, name: &str) {
    let begun = Instant::now();
    let told = Told::story("openbao", stories).await;
    // Control: before anything was erased, whoever might ask OpenBao opened all of it.
    let leaves = all_opens(&told, &told.asked_before, "what OpenBao gave before the erasure").await;

    // Without the unseal keys no state of OpenBao gives anything: it does not answer, and its folder is of no use.
    assert!(told.asked_sealed().await.is_empty(), "a sealed OpenBao gave a root");
    nothing_opens(&told, &told.bytes_of_openbao(), "OpenBao's folders and without its unseal keys").await;
    // The vault's token of today opens what is live, and nothing more.
    let (keys, loot) = nothing_erased_opens(&told, &told.asked_after, "the token of today").await;
    derived(&keys, &leaves);

    // Control: with the unseal keys, OpenBao's folders of all times give every root there ever was.
    let unsealed = told.asked_unsealed().await;
    all_opens(&told, &unsealed, "OpenBao's folders and its unseal keys").await;
    told.figures(name, &leaves, &loot, unsealed.len(), begun);
}

/// With the root split over a file and OpenBao.
async fn with_a_split_root(stories: u32, name: &str) {
    let begun = Instant::now();
    let told = Told::story("multi-share", stories).await;
    let (old, now) = (&told.register_before, &told.register_after);
    let before = told::joined(old, &told.asked_before);
    let leaves = all_opens(&told, &before, "both shares as they were before the erasure").await;

    // With every state of OpenBao and its unseal keys: the share in the file was overwritten.
    let unsealed = told.asked_unsealed().await;
    let joined = told::joined(now, &unsealed);
    let (keys, loot) = nothing_erased_opens(&told, &joined, "the file of today and all of OpenBao").await;
    derived(&keys, &leaves);
    // Nor does either store alone open anything at all.
    nothing_opens(&told, &unsealed, "all of OpenBao and without the file").await;
    nothing_opens(&told, &[old.clone(), now.clone()], "the file and without OpenBao").await;

    // Control: with the file of that time, too, it opens. So it is the file that it rests on.
    all_opens(&told, &told::joined(old, &unsealed), "the file of that time and all of OpenBao").await;
    told.figures(name, &leaves, &loot, unsealed.len(), begun);
}

impl Told {
    fn figures(&self, name: &str, leaves: &[BTreeSet<Leaf>; 2], loot: &Loot, roots: usize, begun: Instant) {
        figure(
            name,
            &format!(
                "{} states archived, {} MiB of new bytes looked at, {} versions of sealed rows, {} roots of {} given by {} \
                 states of OpenBao, {} leaves attacked, {} plaintexts opened, {} leaves erased for good, {:.0} s",
                self.archive.states.len(),
                self.archive.scanned >> 20,
                self.evidence.rows(),
                roots,
                self.evidence.wrapped.len(),
                self.started.get(),
                self.evidence.leaves().len(),
                loot.opened.len(),
                leaves[0].len(),
                begun.elapsed().as_secs_f64()
            ),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_unseal_keys_all_folders_of_all_servers_of_all_times_open_nothing_erased() {
    with_openbao_alone(1, "p1-openbao").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_unseal_keys_all_folders_of_all_times_open_nothing_erased_once_a_share_was_overwritten() {
    with_a_split_root(1, "p1-multi-share").await;
}

mod slow {
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "slow lane"]
    async fn of_many_calls_nothing_erased_opens_without_the_unseal_keys() {
        super::with_openbao_alone(8, "p1-openbao-slow").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "slow lane"]
    async fn of_many_calls_nothing_erased_opens_once_a_share_was_overwritten() {
        super::with_a_split_root(8, "p1-multi-share-slow").await;
    }
}
