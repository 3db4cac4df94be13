//! P1 below the files: the attacker owns every block that was ever written to the disk of the data folder, in the order in
//! which it was written, and the register as it is now.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyforest::Leaf;
use keyforest::attack::{Attacker, Closure};
use oubliette_store::remnants::{Marker, Scanner};

use crate::attacker::planting::{Planter, Secrets, Story};
use crate::attacker::{Archive, attack, copy_folder};
use crate::images::Images;
use crate::ledger::Ledger;
use crate::load::World;
use crate::program::Program;
use crate::random::Random;
use crate::rig::{Disk, Kind, Workspace, count, figure, has_commands, has_loop_devices, slow_lane};
use crate::session::Load;
use crate::writelog::{LoggedDisk, Replay, State, meter};

/// What stands in a file of the logged disk for a moment and must be found.
const CONTROL: &str = "zqcontrolvx";

/// A story with the moments of the log at which things were so.
struct Told {
    story: Story,
    /// The register before anything of it was erased.
    register: PathBuf,
    /// Entries of the log when all of it had been planted.
    planted: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_block_ever_written_and_the_current_register_nothing_erased_opens_and_everything_live_does() {
    let test = "blocks";
    let commands = ["qemu-storage-daemon", "fusermount3", "mkfs.ext4", "mkfs.xfs"];
    if !has_loop_devices(test) || !has_commands(test, &commands) {
        return;
    }
    let begun = Instant::now();
    let workspace = Workspace::new(test);
    let logged = LoggedDisk::create(&workspace, 512, 8192);
    let other = Disk::create(&workspace, "other", Kind::Ext4, 64);
    let register = other.path().join("register");
    let stories = tell(&workspace, &logged, &register).await;
    plant_control(logged.path());
    let now = workspace.path("register-now");
    copy_folder(&register, &now);
    let (log, size) = logged.finish();

    // Every block ever written, with what lay around it when it was written.
    let images = Images::create(&workspace);
    let mut markers: Vec<Marker> = stories.iter().flat_map(|told| told.story.markers()).collect();
    markers.push(Marker::Text(CONTROL.to_owned()));
    let mut blocks = Blocks::new(&markers);
    let mut replay = Replay::begin(&log, &images.image(), size).expect("the log can be read");
    let mut states = Vec::new();
    while let Some(state) = replay.next_state_seeing(&mut |bytes| blocks.see(bytes)).expect("the log can be replayed") {
        states.push(state);
    }
    let control = markers.len() - 1;
    assert!(blocks.found.remove(&control), "control: the marker planted in a file is not found in the log");
    assert!(blocks.found.is_empty(), "something personal was written to a block in clear: {:?}", blocks.found);

    // The disk as it was at its flushes.
    let chosen = choose(&states, &stories, count("IMAGES", 80, 500));
    let archive = archive(&workspace, &images, &log, size, &chosen);
    for pack in archive.packs() {
        blocks.attacker.archive(pack);
    }
    blocks.attacker.register(&fs::read(now.join("register")).expect("a register can be read"));
    let elsewhere = blocks.attacker.closure();
    let loot = attack(&archive, &now, &elsewhere).await;
    for told in &stories {
        for marker in told.story.forbidden() {
            assert!(!loot.has(&marker), "{marker} is erased and opens");
        }
        for marker in told.story.kept() {
            assert!(loot.has(&marker), "{marker} is live and does not open");
            let since = chosen.iter().enumerate().filter(|(_, state)| state.entry >= told.planted);
            for (number, state) in since {
                assert!(loot.state_has(number, &marker), "{marker} does not open at entry {}", state.entry);
            }
        }
    }

    // Controls: with the register of that time everything opened, on its own image and from the bare blocks. And no leaf
    // under which erased things lay can be derived any more, in whatever block its sealed form may stand.
    let mut leaves = Vec::new();
    for (number, told) in stories.iter().enumerate() {
        let state = in_force(&states, told.planted);
        let position = chosen.iter().position(|chosen| chosen.entry == state.entry).expect("chosen for this");
        let before = attack(&archive.only(position), &told.register, &Closure::default()).await;
        for marker in told.story.erased().iter().chain(&told.story.kept()) {
            assert!(before.has(marker), "control: {marker} should open before its erasure");
        }
        let of = |markers: &[String]| -> BTreeSet<Leaf> {
            markers.iter().flat_map(|marker| before.leaves_of(marker)).collect()
        };
        leaves.push((of(&told.story.erased()), of(&told.story.kept_contents())));
        for leaf in &leaves[number].0 {
            assert!(!elsewhere.reaches(*leaf), "leaf {leaf} is erased and can be derived");
        }
        for leaf in &leaves[number].1 {
            assert!(elsewhere.reaches(*leaf), "leaf {leaf} is live and cannot be derived from the blocks");
        }
        blocks.attacker.register(&fs::read(told.register.join("register")).expect("a register can be read"));
    }
    let with_old = blocks.attacker.closure();
    let erased: Vec<_> = leaves.iter().flat_map(|(erased, _)| erased).collect();
    assert!(erased.len() >= 15 * stories.len(), "only {} leaves were erased", erased.len());
    for leaf in &erased {
        assert!(with_old.reaches(**leaf), "control: leaf {leaf} should be derived with the old registers");
    }
    figure(
        test,
        &format!(
            "{} writes ({} MiB) of {} stories read, {} of {} states of the disk attacked, {} leaves erased for good, {} \
             plaintexts opened, {:.0} s",
            blocks.writes,
            blocks.bytes >> 20,
            stories.len(),
            chosen.len(),
            states.len(),
            erased.len(),
            loot.opened.len(),
            begun.elapsed().as_secs_f64()
        ),
    );
}

/// Plants and erases on a running program, which is killed after each story and stopped in order at the end.
async fn tell(workspace: &Workspace, logged: &LoggedDisk, register: &Path) -> Vec<Told> {
    let mut random = Random::new("blocks");
    let program = Program::create(workspace, &logged.path().join("data"), register).await;
    let keys = program.keys().clone();
    let secrets =
        Secrets { native: keys.native, elevateai: keys.elevateai, vonage: keys.vonage, creovai: keys.creovai };
    let entries = meter(logged.log());
    let world = Arc::new(World::with(&mut random, Ledger::default(), 6_000, 16));
    let mut stories = Vec::new();
    for number in 0..count("STORIES", 2, 6) {
        let mut running = program.start().await;
        let planter = Planter::sign_in(program.base(), &secrets).await;
        // In the slow lane in the midst of other clients' work.
        let load = slow_lane().then(|| Load::begin(&world, &running, &mut random));
        let story = Story::plant(&planter, number as u32).await;
        running.process.freeze();
        let (planted, old) = (entries(), workspace.path(&format!("register-{number}")));
        copy_folder(register, &old);
        running.process.thaw();
        story.erase(&planter).await;
        running.process.kill();
        if let Some(load) = load {
            load.end().await;
        }
        world.settle("during a story");
        stories.push(Told { story, register: old, planted });
    }
    let mut running = program.start().await;
    running.process.terminate();
    assert!(running.process.wait(Duration::from_secs(30)).is_some(), "it stops when asked\n{}", program.log_tail());
    stories
}

/// Puts a marker into a file of the disk, across two blocks and not as it is spelled, and removes the file.
fn plant_control(disk: &Path) {
    let path = disk.join("control");
    let mut file = File::create(&path).unwrap();
    let text: Vec<u8> = CONTROL.to_uppercase().encode_utf16().flat_map(u16::to_le_bytes).collect();
    file.write_all(&[&[0; 4090][..], &text].concat()).unwrap();
    file.sync_all().unwrap();
    fs::remove_file(&path).unwrap();
    File::open(disk).unwrap().sync_all().unwrap();
}

/// What stands in the blocks themselves, whatever file they belong to, if any.
struct Blocks {
    scanner: Scanner,
    buffer: Vec<u8>,
    attacker: Attacker,
    found: BTreeSet<usize>,
    writes: u64,
    bytes: u64,
}

impl Blocks {
    fn new(markers: &[Marker]) -> Self {
        Self {
            scanner: Scanner::new(markers).expect("markers that can be looked for"),
            buffer: Vec::new(),
            attacker: Attacker::new(),
            found: BTreeSet::new(),
            writes: 0,
            bytes: 0,
        }
    }

    fn see(&mut self, bytes: &[u8]) {
        let found = &mut self.found;
        let told = |_, marker, _| {
            found.insert(marker);
        };
        self.scanner.scan_reader(bytes, &mut self.buffer, told, |_| ()).expect("memory can be read");
        self.attacker.archive(bytes);
        self.writes += 1;
        self.bytes += bytes.len() as u64;
    }
}

/// The state the disk was in after so many entries.
fn in_force(states: &[State], entries: u64) -> State {
    states[states.partition_point(|state| state.first <= entries) - 1]
}

/// States evenly spread, the last one, and those in force when the stories' registers were copied.
fn choose(states: &[State], stories: &[Told], most: usize) -> Vec<State> {
    let mut chosen = BTreeSet::from([states.len() - 1]);
    let step = states.len().div_ceil(most.min(states.len()));
    chosen.extend((0..states.len()).step_by(step));
    for told in stories {
        chosen.insert(states.partition_point(|state| state.first <= told.planted) - 1);
    }
    chosen.into_iter().map(|number| states[number]).collect()
}

/// The data folder as the chosen states show it once the file system has recovered.
fn archive(workspace: &Workspace, images: &Images, log: &Path, size: u64, chosen: &[State]) -> Archive {
    let mut archive = Archive::default();
    let mut replay = Replay::begin(log, &images.image(), size).expect("the log can be read");
    let copy = images.path("state.raw");
    for state in chosen {
        while replay.next_state().expect("the log can be replayed").is_some_and(|at| at.entry < state.entry) {}
        images.copy(&copy);
        // Before a file system was made there is nothing to mount.
        match Disk::try_open(workspace, "state", Kind::Ext4, &copy) {
            Ok(disk) => {
                archive.take(&disk.path().join("data"));
                disk.close();
            }
            Err(_) => archive.take(Path::new("/nonexistent")),
        }
    }
    archive
}
