//! A root split over several stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keyforest::media::{SLOT_BYTES, SLOT_RECORD, SlotDevice as _, SlotError};
use keyforest::{Change, Forest, ForestConfig, Leaf, LeafStatus, NoProbe, Pins, SealError, Stores};
use oubliette_store::media::Folder;
use oubliette_store::roots::{
    FileRegister, FolderCarrier, KeyedSlots, MultiShare, OpenBao, RootOptions, RootPlace, RootsError, ShareError,
    folder_carriers,
};
use tempfile::TempDir;

use super::bao::Operator;
use super::conformance::{Device, conforms, number, record};
use super::life::{World, live};
use super::moody::Moody;
use super::pretend::{FAULTS, Pretend};

fn file(home: &TempDir) -> Device {
    Arc::new(FileRegister::open(&home.path().join("register"), &home.path().join("data")).unwrap())
}

fn pretended(all: &Pretend, name: &'static str) -> Option<Device> {
    Some(Arc::new(KeyedSlots::open(all.keys(name), all.carrier(name), "vault").ok()?))
}

/// The shares that somebody has, put together wherever all of one write are among them.
fn joined(stores: &[Vec<Vec<u8>>]) -> BTreeSet<u64> {
    let mut writes: BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>> = BTreeMap::new();
    for (index, blocks) in stores.iter().enumerate() {
        for block in blocks {
            let mut block = block.clone();
            block.resize(SLOT_BYTES, 0);
            let write = block[SLOT_RECORD + 8..SLOT_RECORD + 24].to_vec();
            writes.entry(write).or_insert_with(|| vec![None; stores.len()])[index] = Some(block);
        }
    }
    let whole = writes.values().filter_map(|shares| shares.iter().cloned().collect::<Option<Vec<_>>>());
    whole
        .filter_map(|shares| {
            let mut record = vec![0; SLOT_BYTES];
            for share in shares {
                record[..SLOT_RECORD].iter_mut().zip(share).for_each(|(record, share)| *record ^= share);
            }
            number(&record)
        })
        .collect()
}

struct ThreeStores {
    all: Pretend,
    quorum: Option<usize>,
}

const NAMES: [&str; 3] = ["one", "two", "three"];

impl World for ThreeStores {
    fn open(&self) -> Option<Device> {
        let stores = NAMES.iter().map(|name| pretended(&self.all, name)).collect::<Option<Vec<_>>>()?;
        Some(Arc::new(MultiShare::new(stores, self.quorum).unwrap()))
    }
    fn is_dead(&self) -> bool {
        self.all.is_dead()
    }
    fn restart(&self) {
        self.all.restart();
    }
    fn revealed(&self) -> BTreeSet<u64> {
        let mut stores = vec![Vec::new(); 3];
        for block in self.all.opened() {
            let index = usize::from(block[SLOT_RECORD + 24]);
            stores[index].push(block);
        }
        joined(&stores)
    }
}

#[test]
fn a_split_over_a_file_and_openbao_conforms() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let mount = operator.mount();
    let options = operator.options(home.path(), &mount);
    conforms("multi-share(file,openbao)", &|| {
        let carrier = Box::new(FolderCarrier::open(&home.path().join("wrapped")).unwrap());
        let bao = KeyedSlots::open(OpenBao::connect(&options).unwrap(), carrier, "vault-1").unwrap();
        Arc::new(MultiShare::new(vec![file(&home), Arc::new(bao)], None).unwrap())
    });
}

#[test]
fn a_fault_at_any_step_of_any_store_loses_no_root_and_keeps_none() {
    let quiet = ThreeStores { all: Pretend::default(), quorum: None };
    assert_eq!(live(&quiet, 3), (0, 0));
    let steps = quiet.all.steps();
    assert!(steps > 100, "{steps}");
    for step in 1..=steps {
        for fault in FAULTS {
            let world = ThreeStores { all: Pretend::with_faults(&[(step, fault)]), quorum: None };
            let (deaths, repeats) = live(&world, 3);
            assert!(deaths + repeats >= 1, "{fault:?} at {step} went unnoticed");
            assert_eq!(world.all.key_names().len(), 3, "{fault:?} at {step}");
        }
    }
}

#[test]
fn faults_in_pairs_lose_no_root_and_keep_none_whether_all_or_one_must_confirm() {
    let mut lives = 0_u32;
    for quorum in [None, Some(1)] {
        for first in (60..160).step_by(4) {
            for (second, two) in (first + 1..first + 12).zip(FAULTS.iter().cycle()) {
                for one in FAULTS {
                    let all = Pretend::with_faults(&[(first, one), (second, *two)]);
                    live(&ThreeStores { all, quorum }, 3);
                    lives += 1;
                }
            }
        }
    }
    assert!(lives > 2_000, "{lives}");
}

#[test]
fn one_destroyed_share_is_enough_and_the_others_follow() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (first, _, ever_first) = Moody::over(file(&one));
    let (second, away, ever_second) = Moody::over(file(&two));
    let split = MultiShare::new(vec![first, second], Some(1)).unwrap();
    assert_eq!(split.class(), "multi-share(file,file;destroyed=1)");
    split.write_slot(0, &record(1)).unwrap();
    assert_eq!(joined(&[ever_first.lock().unwrap().clone(), ever_second.lock().unwrap().clone()]), [1].into());
    assert!(joined(&[vec![], ever_second.lock().unwrap().clone()]).is_empty());
    let raw = ever_second.lock().unwrap()[0].clone();
    assert!(number(&raw).is_none(), "a share is not the record");

    away.store(true, Ordering::SeqCst);
    split.destroy_slot(0).unwrap();
    assert_eq!(split.unconfirmed(), 1);
    assert!(matches!(split.write_slot(0, &record(2)), Err(SlotError::Again(_))), "a new root needs every store");
    away.store(false, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(20);
    while split.unconfirmed() > 0 {
        assert!(Instant::now() < until, "what was left is never destroyed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(number(&split.read_slot(0).unwrap()[..]).is_none());
}

#[test]
fn unless_told_otherwise_every_store_must_confirm() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (second, away, _) = Moody::over(file(&two));
    let split = MultiShare::new(vec![file(&one), second], None).unwrap();
    split.write_slot(0, &record(1)).unwrap();
    away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(split.destroy_slot(0), Err(SlotError::Again(_))));
    }
    away.store(false, Ordering::SeqCst);
    split.destroy_slot(0).unwrap();
    assert_eq!(split.unconfirmed(), 0);
}

#[test]
fn shares_of_different_writes_or_in_the_wrong_order_are_no_record() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (first, second) = (file(&one), file(&two));
    let split = MultiShare::new(vec![Arc::clone(&first), Arc::clone(&second)], None).unwrap();
    split.write_slot(0, &record(1)).unwrap();
    let earlier = second.read_slot(0).unwrap();
    split.write_slot(0, &record(1)).unwrap();
    assert_eq!(number(&split.read_slot(0).unwrap()[..]), Some(1));
    let later = second.read_slot(0).unwrap();
    second.write_slot(0, &earlier).unwrap();
    assert_eq!(*split.read_slot(0).unwrap(), [0; SLOT_BYTES], "a crash between the two writes looks like this");
    second.write_slot(0, &later).unwrap();
    assert_eq!(number(&split.read_slot(0).unwrap()[..]), Some(1));
    let swapped = MultiShare::new(vec![second, first], None).unwrap();
    assert_eq!(*swapped.read_slot(0).unwrap(), [0; SLOT_BYTES]);
}

#[test]
fn a_split_makes_sense_or_is_refused() {
    let home = TempDir::new().unwrap();
    let device = file(&home);
    let of = |count: usize| (0..count).map(|_| Arc::clone(&device)).collect::<Vec<_>>();
    assert_eq!(MultiShare::new(of(1), None).err(), Some(ShareError::Count));
    assert_eq!(MultiShare::new(of(9), None).err(), Some(ShareError::Count));
    for quorum in [0, 3] {
        assert_eq!(MultiShare::new(of(2), Some(quorum)).err(), Some(ShareError::Quorum));
    }
    let split = MultiShare::new(of(2), None).unwrap();
    let full = [1; SLOT_BYTES];
    assert!(matches!(split.write_slot(0, &full), Err(SlotError::End(_))), "there is no room for a share of that");
}

#[test]
fn a_forest_over_a_split_waits_for_any_of_its_stores() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let config = || ForestConfig { reserve_bytes: 1 << 16, provision_buckets: 4, ..ForestConfig::default() };
    let open = |second: Device| -> Stores {
        let split = MultiShare::new(vec![file(&one), second], None).unwrap();
        let packs = Arc::new(Folder::open(one.path().join("packs")).unwrap());
        Stores { packs, register: Arc::new(split), probe: Arc::new(NoProbe) }
    };
    let erase = |leaf| Change { puncture: [Leaf(leaf)].into_iter().collect(), ..Change::default() };
    let (second, away, _) = Moody::over(file(&two));
    let forest = Forest::create(open(second), config(), b"", Pins::default()).unwrap();
    assert_eq!(forest.register_class(), "multi-share(file,file)");
    forest.seal(&erase(1)).unwrap();
    away.store(true, Ordering::SeqCst);
    assert!(matches!(forest.seal(&erase(2)), Err(SealError::Stalled(_))));
    assert!(matches!(forest.finish_seal(), Err(SealError::Stalled(_))));
    assert!(forest.key(Leaf(2)).is_ok());
    away.store(false, Ordering::SeqCst);
    assert_eq!(forest.finish_seal().unwrap().epoch, 3);
    drop(forest);
    let (forest, report) = Forest::open(open(file(&two)), config()).unwrap();
    assert_eq!((report.epoch, report.overwrote_slot), (3, false));
    assert_eq!(forest.status(Leaf(2)).unwrap(), LeafStatus::Punctured);
}

#[test]
fn a_chosen_root_store_opens_with_what_is_known_of_it() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let bao = RootOptions::OpenBao(operator.options(home.path(), &operator.mount()));
    let register = RootOptions::File { directory: home.path().join("register") };
    let carriers = folder_carriers(home.path().join("data/roots"));
    let place = RootPlace { data: &home.path().join("data"), instance: "vault-1", carrier: &carriers };
    let split = |stores: Vec<RootOptions>| RootOptions::MultiShare { stores, destroy_quorum: None };

    let open = split(vec![register.clone(), bao.clone()]).open(&place).unwrap();
    assert_eq!(open.device.class(), "multi-share(file,openbao)");
    assert_eq!(open.assessment.class, "multi-share(file,openbao)");
    let of_openbao = open.assessment.findings.iter().any(|finding| finding.text.starts_with("openbao: "));
    assert!(of_openbao, "{:?}", open.assessment);
    open.device.write_slot(0, &record(1)).unwrap();
    assert!(home.path().join("data/roots/share-1-openbao/slot-0").exists());
    drop(open);
    for (options, class) in [(&register, "file"), (&bao, "openbao")] {
        assert_eq!(options.open(&place).unwrap().assessment.class, class);
    }
    assert!(matches!(split(vec![bao.clone(), bao.clone()]).open(&place), Err(RootsError::SameStore)));
    let nested = split(vec![register, split(vec![bao.clone(), bao])]);
    assert!(matches!(nested.open(&place), Err(RootsError::Nested)));
}
