//! Roots under keys of a real SoftHSM token. The module reads its configuration from the environment when it is loaded, so
//! every test runs once more as a process of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use keyforest::media::SlotDevice as _;
use keyforest::{Change, Forest, ForestConfig, Leaf, LeafStatus, NoProbe, Pins, Stores};
use oubliette_store::media::Folder;
use oubliette_store::roots::{
    FolderCarrier, KeyedError, KeyedSlots, Keys as _, Pin, Pkcs11Error, Pkcs11Options, Token, TokenChoice,
};
use tempfile::TempDir;

use super::conformance::{conforms, number, record};
use super::openbao::{Archive, Archiving};

const HOME: &str = "OUBLIETTE_TEST_SOFTHSM_HOME";

fn module() -> PathBuf {
    let name = "OUBLIETTE_TEST_SOFTHSM";
    PathBuf::from(
        std::env::var(name).unwrap_or_else(|_| panic!("{name}: run `./test.sh test`, or start scripts/engines.sh")),
    )
}

/// Runs `body` with a fresh token `vault` in a process of its own. `test` is the whole name of the calling test.
fn with_token(test: &str, body: impl FnOnce(&Path)) {
    if let Ok(home) = std::env::var(HOME) {
        return body(Path::new(&home));
    }
    let home = TempDir::new().unwrap();
    std::fs::create_dir(home.path().join("tokens")).unwrap();
    let conf = home.path().join("softhsm2.conf");
    let tokens = home.path().join("tokens");
    std::fs::write(&conf, format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display()))
        .unwrap();
    std::fs::write(home.path().join("pin"), "5678\n").unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "vault", "--so-pin", "1234", "--pin", "5678"])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("SOFTHSM2_CONF", &conf)
        .env(HOME, home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success(), "{said}\n{}", String::from_utf8_lossy(&again.stderr));
    assert!(said.contains("1 passed"), "{test} is not the test's name: {said}");
}

fn options(home: &Path) -> Pkcs11Options {
    Pkcs11Options { module: module(), token: TokenChoice::Label("vault".to_owned()), pin: Pin::File(home.join("pin")) }
}

fn slots(home: &Path) -> Result<KeyedSlots<Token>, KeyedError> {
    let carrier = Box::new(FolderCarrier::open(&home.join("wrapped")).unwrap());
    KeyedSlots::open(Token::open(&options(home)).unwrap(), carrier, "vault-1")
}

#[test]
fn slots_in_a_token_conform() {
    with_token("roots::pkcs11::slots_in_a_token_conform", |home| {
        conforms("pkcs11", &|| Arc::new(slots(home).unwrap()));
        let token = Token::open(&options(home)).unwrap();
        assert_eq!(token.list("").unwrap().len(), 2, "one key for each slot that holds something");
        let assessment = token.assess().unwrap();
        assert!(assessment.findings.iter().any(|finding| finding.text.contains("SoftHSM")), "{assessment:?}");
    });
}

#[test]
fn whoever_has_every_wrapped_root_and_the_pin_opens_only_the_root_in_force() {
    with_token("roots::pkcs11::whoever_has_every_wrapped_root_and_the_pin_opens_only_the_root_in_force", |home| {
        let archive = Archive::default();
        let token = Token::open(&options(home)).unwrap();
        let slots = KeyedSlots::open(token, Archiving::open(home.join("wrapped"), &archive), "vault-1").unwrap();
        let readable = || -> BTreeSet<u64> {
            let attacker = Token::open(&options(home)).unwrap();
            let open = |bytes: &Vec<u8>| {
                let record: serde_json::Value = serde_json::from_slice(bytes).ok()?;
                let key = record["key"].as_str()?;
                let contexts = [0, 1].map(|slot| format!("oubliette root slot {slot} of {}", slots.prefix()));
                let wrapped = record["wrapped"].as_str()?.as_bytes();
                let mut plain = contexts
                    .iter()
                    .find_map(|context| attacker.unwrap(key, context.as_bytes(), wrapped).ok().flatten())?
                    .to_vec();
                plain.resize(4096, 0);
                number(&plain)
            };
            archive.lock().unwrap().iter().filter_map(open).collect()
        };
        slots.write_slot(0, &record(1)).unwrap();
        for epoch in 2..6_u64 {
            let spare = (epoch as usize + 1) % 2;
            slots.write_slot(spare, &record(epoch)).unwrap();
            assert_eq!(readable(), [epoch - 1, epoch].into(), "the control: before its destruction the old root opens");
            slots.destroy_slot(1 - spare).unwrap();
            assert_eq!(readable(), [epoch].into());
        }
    });
}

#[test]
fn a_forest_over_a_token_seals_and_comes_back_in_a_new_process() {
    with_token("roots::pkcs11::a_forest_over_a_token_seals_and_comes_back_in_a_new_process", |home| {
        let config = || ForestConfig { reserve_bytes: 1 << 16, provision_buckets: 4, ..ForestConfig::default() };
        let stores = || Stores {
            packs: Arc::new(Folder::open(home.join("packs")).unwrap()),
            register: Arc::new(slots(home).unwrap()),
            probe: Arc::new(NoProbe),
        };
        let erase = |leaf| Change { puncture: [Leaf(leaf)].into_iter().collect(), ..Change::default() };
        let forest = Forest::create(stores(), config(), b"", Pins::default()).unwrap();
        for leaf in 1..5 {
            forest.seal(&erase(leaf)).unwrap();
        }
        let key = *forest.key(Leaf(9)).unwrap().expose();
        drop(forest);
        let (forest, report) = Forest::open(stores(), config()).unwrap();
        assert_eq!((report.epoch, forest.register_class().as_ref()), (5, "pkcs11"));
        assert_eq!(forest.status(Leaf(4)).unwrap(), LeafStatus::Punctured);
        assert_eq!(*forest.key(Leaf(9)).unwrap().expose(), key);
        drop(forest);
        assert_eq!(Token::open(&options(home)).unwrap().list("oubliette-").unwrap().len(), 1);
    });
}

#[test]
fn a_wrong_pin_or_label_or_module_stops_at_the_door() {
    with_token("roots::pkcs11::a_wrong_pin_or_label_or_module_stops_at_the_door", |home| {
        let label = Pkcs11Options { token: TokenChoice::Label("other".to_owned()), ..options(home) };
        assert!(matches!(Token::open(&label), Err(Pkcs11Error::Choice(0))));
        let module = Pkcs11Options { module: home.join("none.so"), ..options(home) };
        assert!(matches!(Token::open(&module), Err(Pkcs11Error::Module(_))));
        let missing = Pkcs11Options { pin: Pin::Variable("OUBLIETTE_TEST_NO_SUCH_PIN".to_owned()), ..options(home) };
        assert!(matches!(Token::open(&missing), Err(Pkcs11Error::Session(_))));
        std::fs::write(home.join("pin"), "0000").unwrap();
        let error = Token::open(&options(home)).err().unwrap();
        assert!(matches!(error, Pkcs11Error::Session(_)) && !format!("{error:?}").contains("0000"), "{error:?}");
        std::fs::write(home.join("pin"), "5678").unwrap();
        Token::open(&options(home)).unwrap();
    });
}

#[test]
fn keys_that_a_crash_left_in_a_token_are_destroyed() {
    with_token("roots::pkcs11::keys_that_a_crash_left_in_a_token_are_destroyed", |home| {
        let opened = slots(home).unwrap();
        opened.write_slot(0, &record(1)).unwrap();
        let orphan = format!("{}0123456789abcdef01234567", opened.prefix());
        opened.keys().mint(&orphan).unwrap();
        drop(opened);
        let opened = slots(home).unwrap();
        assert_eq!(opened.keys().list("").unwrap().len(), 1);
        assert_eq!(number(&opened.read_slot(0).unwrap()[..]), Some(1));
    });
}
