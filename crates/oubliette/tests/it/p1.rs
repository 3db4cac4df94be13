//! P1: gone means gone (design §1). The attacker owns every state of the data folder that ever was, at every commit and
//! every step of every seal, and the register as it is now.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyforest::Probe;
use keyforest::attack::Closure;

use crate::attacker::planting::{Marks, Planter, Secrets, Story};
use crate::attacker::{Archive, attack, copy_folder};
use crate::support::TestVault;

/// Copies the data folder at every named moment.
#[derive(Default)]
struct Archivist {
    data: Mutex<Option<PathBuf>>,
    archive: Mutex<Archive>,
}

impl Probe for Archivist {
    fn reached(&self, _point: &'static str) {
        if let Some(data) = &*self.data.lock().unwrap() {
            self.archive.lock().unwrap().take(data);
        }
    }
}

impl Archivist {
    /// All states so far.
    fn all(&self) -> Archive {
        self.archive.lock().unwrap().clone()
    }

    fn take(&self) {
        let data = self.data.lock().unwrap().clone().unwrap();
        self.archive.lock().unwrap().take(&data);
    }
}

struct World {
    vault: TestVault,
    archivist: Arc<Archivist>,
    planter: Planter,
}

impl World {
    async fn start() -> Self {
        let archivist = Arc::new(Archivist::default());
        let vault = TestVault::probed(Arc::clone(&archivist) as Arc<dyn Probe>).await;
        *archivist.data.lock().unwrap() = Some(vault.data());
        let (vonage, creovai) = (&vault.first.vonage, &vault.first.creovai);
        let secrets = Secrets {
            native: vault.first.native.clone(),
            elevateai: vault.first.elevateai.clone(),
            vonage: (vonage.id.clone(), vonage.secret.clone()),
            creovai: (creovai.id.clone(), creovai.secret.clone()),
        };
        let planter = Planter::sign_in(&vault.base, &secrets).await;
        Self { vault, archivist, planter }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_old_states_and_the_current_register_nothing_erased_opens_and_everything_live_does() {
    let world = World::start().await;
    let nothing = Closure::default();
    let story = Story::plant(&world.planter, 1).await;
    let room = tempfile::tempdir().unwrap();
    let (old, now) = (room.path().join("old"), room.path().join("now"));
    copy_folder(&world.vault.register(), &old);
    world.archivist.take();

    // Control: before anything is erased, the attacker opens all of it.
    let before = attack(&world.archivist.all(), &old, &nothing).await;
    for marker in story.erased().iter().chain(&story.kept()) {
        assert!(before.has(marker), "control: {marker} should open before its erasure");
    }

    story.erase(&world.planter).await;
    world.archivist.take();

    copy_folder(&world.vault.register(), &now);
    let archive = world.archivist.all();
    assert!(archive.snapshots.len() > 100, "only {} states archived", archive.snapshots.len());
    let loot = attack(&archive, &now, &nothing).await;
    for marker in story.forbidden() {
        assert!(!loot.has(&marker), "{marker} is erased and opens");
    }
    for marker in story.kept() {
        assert!(loot.has(&marker), "{marker} is live and does not open");
    }
    assert!(!loot.closed.is_empty());

    // Control: with the old register too he opens what was erased. So the register is what it rests on.
    let with_old = attack(&archive, &old, &nothing).await;
    for marker in story.erased() {
        assert!(with_old.has(&marker), "control: {marker} should open with the old register");
    }

    // Nothing personal ever reached a file in clear, live or not.
    let markers = story.markers();
    assert!(archive.remnants(&markers).is_empty(), "something personal stands in clear in an archived file");
    // Control: the scan does see what is there.
    let planted = tempfile::tempdir().unwrap();
    std::fs::write(planted.path().join("log"), format!("xx{}yy", story.live[0].word.to_uppercase())).unwrap();
    let mut control = Archive::default();
    control.take(planted.path());
    assert_eq!(control.remnants(&markers).len(), 1);
}

/// What is clear in the database and on disk of one state: shapes, never values that are random in each world.
async fn shape(world: &World) -> Vec<String> {
    use oubliette_core::ports::Metadata as _;
    let metadata = &world.vault.metadata;
    let tenant = world.vault.first.id;
    let mut shape = Vec::new();
    let mut hour = 0;
    while let Some(found) = metadata.next_hour(tenant, hour, i64::MAX / 2).await.unwrap() {
        for row in metadata.interactions_in_hour(tenant, found).await.unwrap() {
            shape.push(format!(
                "interaction {:?} {:?} hour {} block {} next {} sealed {}",
                row.kind,
                row.state,
                row.start_hour,
                row.directory_block,
                row.next_leaf,
                row.sealed_meta.len()
            ));
            for content in metadata.contents(&[row.group]).await.unwrap() {
                shape.push(format!(
                    "content {:?} {:?} sealed {}",
                    content.kind,
                    content.size_class,
                    content.sealed_meta.len()
                ));
            }
        }
        hour = found + 1;
    }
    for row in metadata.directory(0, 1_000).await.unwrap() {
        shape.push(format!("block {} entries {} sealed {}", row.block, row.entries, row.sealed.len()));
    }
    for purge in metadata.purges(tenant, None, 100).await.unwrap() {
        shape.push(format!(
            "purge {} {} interactions {} groups {} leaves {}",
            purge.interactions,
            purge.contents,
            purge.set.interactions.len(),
            purge.set.groups.len(),
            purge.set.leaves.len()
        ));
    }
    shape
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_an_erased_call_was_the_same_customers_as_a_live_one_shows_nowhere() {
    let mut worlds = Vec::new();
    for same_customer in [true, false] {
        let world = World::start().await;
        let kept = Marks { phone: "+15125550001".to_owned(), word: "zqkeptvx".to_owned() };
        let phone = if same_customer { "+15125550001" } else { "+15125550002" };
        let erased = Marks { phone: phone.to_owned(), word: "zqgonevx".to_owned() };
        let mut states = Vec::new();
        let id = world.planter.native_call(&erased).await;
        states.push(shape(&world).await);
        world.planter.native_call(&kept).await;
        states.push(shape(&world).await);
        world.planter.vonage_delete(&format!("/interactions/{id}")).await;
        // Rows go a little later; what is compared is the end.
        for _ in 0..200 {
            if world.vault.app.vault.status().await.unwrap().unswept == 0 && world.vault.count().await == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        states.push(shape(&world).await);
        worlds.push(states);
    }
    assert_eq!(worlds[0], worlds[1]);
    assert_eq!(worlds[0].len(), 3);
    assert_ne!(worlds[0][1], worlds[0][2], "control: the shapes do tell that something was erased");
}
