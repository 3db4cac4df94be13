//! P1: gone means gone (design §1). The attacker owns every state of the data folder that ever was, at every commit and
//! every step of every seal, and the register as it is now.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use keyforest::Probe;
use keyforest::attack::Closure;

use crate::attacker::planting::{Planter, Story};
use crate::attacker::{Archive, attack, copy_folder};
use crate::support::{TestVault, planter};

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
        *archivist.data.lock().unwrap() = Some(vault.backend.data());
        let planter = planter(&vault).await;
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
    copy_folder(&world.vault.backend.register(), &old);
    world.archivist.take();

    // Control: before anything is erased, the attacker opens all of it.
    let before = attack(&world.archivist.all(), &old, &nothing).await;
    for marker in story.erased().iter().chain(&story.kept()) {
        assert!(before.has(marker), "control: {marker} should open before its erasure");
    }

    story.erase(&world.planter).await;
    world.archivist.take();

    copy_folder(&world.vault.backend.register(), &now);
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
