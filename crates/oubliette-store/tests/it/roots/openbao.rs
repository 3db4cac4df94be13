//! Roots under keys of a real OpenBao.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyforest::media::{SlotDevice as _, SlotError};
use keyforest::{Change, Forest, ForestConfig, Leaf, LeafStatus, NoProbe, Pins, SealError, Stores};
use oubliette_store::media::Folder;
use oubliette_store::roots::{
    Carrier, FolderCarrier, KeyedError, KeyedSlots, Login, OpenBao, OpenBaoError, OpenBaoOptions, Weight,
};
use serde_json::json;
use tempfile::TempDir;

use super::bao::{Operator, Server, TlsServer, random};
use super::conformance::{Device, conforms, number, record};
use super::life::{World, live};
use super::proxy::{Proxy, Trouble};

/// A folder carrier that keeps every byte it was ever given, as a backup would.
pub struct Archiving {
    folder: FolderCarrier,
    archive: Archive,
}

pub type Archive = Arc<Mutex<BTreeSet<Vec<u8>>>>;

impl Archiving {
    pub fn open(path: PathBuf, archive: &Archive) -> Box<dyn Carrier> {
        Box::new(Self { folder: FolderCarrier::open(&path).unwrap(), archive: Arc::clone(archive) })
    }
}

impl Carrier for Archiving {
    fn read(&self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        self.folder.read(name)
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), SlotError> {
        self.archive.lock().unwrap().insert(value.to_vec());
        self.folder.write(name, value)
    }
}

/// Blocks that the keys of now open of all that was ever carried.
pub fn opened(operator: &Operator, mount: &str, archive: &Archive) -> Vec<Vec<u8>> {
    let records: Vec<Vec<u8>> = archive.lock().unwrap().iter().cloned().collect();
    let open = |bytes: &Vec<u8>| {
        let record: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let key = record["key"].as_str()?;
        let prefix = &key[..key.len() - 24];
        let contexts = [0, 1].map(|slot| format!("oubliette root slot {slot} of {prefix}"));
        let mut plain = operator.open(mount, bytes, &contexts)?;
        plain.resize(4096, 0);
        Some(plain)
    };
    records.iter().filter_map(open).collect()
}

fn slots(options: &OpenBaoOptions, home: &TempDir) -> Result<KeyedSlots<OpenBao>, KeyedError> {
    let bao = OpenBao::connect(options)
        .map_err(|error| KeyedError::Io { operation: "connecting", source: std::io::Error::other(error) })?;
    KeyedSlots::open(bao, Box::new(FolderCarrier::open(&home.path().join("wrapped")).unwrap()), "vault-1")
}

#[test]
fn slots_in_openbao_conform() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let mount = operator.mount();
    let options = operator.options(home.path(), &mount);
    conforms("openbao", &|| Arc::new(slots(&options, &home).unwrap()));
    assert_eq!(operator.keys(&mount).len(), 2, "one key for each slot that holds something");
}

#[test]
fn whoever_has_every_wrapped_root_and_the_token_opens_only_the_root_in_force() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let (mount, archive) = (operator.mount(), Archive::default());
    let bao = OpenBao::connect(&operator.options(home.path(), &mount)).unwrap();
    let slots = KeyedSlots::open(bao, Archiving::open(home.path().join("wrapped"), &archive), "vault-1").unwrap();
    let readable = || -> Vec<u64> {
        let mut found: Vec<u64> =
            opened(&operator, &mount, &archive).iter().filter_map(|block| number(block)).collect();
        found.sort_unstable();
        found
    };
    slots.write_slot(0, &record(1)).unwrap();
    for epoch in 2..7_u64 {
        let spare = (epoch as usize + 1) % 2;
        slots.write_slot(spare, &record(epoch)).unwrap();
        assert_eq!(readable(), [epoch - 1, epoch], "the control: before its destruction the old root opens");
        slots.destroy_slot(1 - spare).unwrap();
        assert_eq!(readable(), [epoch]);
    }
    assert!(archive.lock().unwrap().len() >= 6);
    let clear = archive.lock().unwrap().iter().any(|bytes| bytes.windows(4).any(|window| window == b"ROOT"));
    assert!(!clear, "a root lies in clear in the carrier");
    assert_eq!(operator.keys(&mount).len(), 1);
}

#[test]
fn the_documented_policy_suffices_and_forbids_copying_keys() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let (mount, name) = (operator.mount(), format!("p-{}", random()));
    let policy =
        include_str!("../../../../../docs/operating/openbao-policy.hcl").replace("oubliette/", &format!("{mount}/"));
    operator.order("POST", &format!("sys/policies/acl/{name}"), Some(json!({ "policy": policy })));
    let made = operator.order("POST", "auth/token/create", Some(json!({ "policies": [name], "period": "1h" })));
    let narrow =
        Operator { url: operator.url.clone(), token: made["auth"]["client_token"].as_str().unwrap().to_owned() };
    conforms("openbao", &|| Arc::new(slots(&narrow.options(home.path(), &mount), &home).unwrap()));

    let assessment = OpenBao::connect(&narrow.options(home.path(), &mount)).unwrap().assess().unwrap();
    assert!(assessment.verified, "{assessment:?}");
    assert_eq!(assessment.class, "openbao");
    let key = &operator.keys(&mount)[0];
    for (method, path) in [
        ("GET", format!("{mount}/export/encryption-key/{key}")),
        ("GET", format!("{mount}/backup/{key}")),
        ("DELETE", format!("{mount}/keys/{key}/soft-delete")),
        ("POST", format!("{mount}/keys/{key}/rotate")),
    ] {
        assert_eq!(narrow.ask(method, &path, None).unwrap().0, 403, "{path}");
    }
    let exportable = Some(json!({ "exportable": true }));
    assert_eq!(narrow.ask("POST", &format!("{mount}/keys/{key}/config"), exportable).unwrap().0, 403);
    // A missing key is not made by wrapping under it.
    let body = Some(json!({ "plaintext": "AAAA" }));
    assert_eq!(narrow.ask("POST", &format!("{mount}/encrypt/missing"), body).unwrap().0, 403);

    let broad = OpenBao::connect(&operator.options(home.path(), &mount)).unwrap().assess().unwrap();
    assert!(!broad.verified, "a root token may copy keys: {broad:?}");
    assert!(broad.findings.iter().filter(|finding| finding.weight == Weight::Lowers).count() >= 3);
}

#[test]
fn an_app_role_logs_in_again_when_its_token_ends() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let (mount, name) = (operator.mount(), random());
    operator.order("POST", &format!("sys/auth/a-{name}"), Some(json!({ "type": "approle" })));
    let policy =
        format!("path \"{mount}/*\" {{ capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\"] }}");
    operator.order("POST", &format!("sys/policies/acl/p-{name}"), Some(json!({ "policy": policy })));
    let role = json!({ "token_policies": [format!("p-{name}")], "token_ttl": "2s", "token_max_ttl": "3s" });
    operator.order("POST", &format!("auth/a-{name}/role/vault"), Some(role));
    let role_id = operator.order("GET", &format!("auth/a-{name}/role/vault/role-id"), None)["data"]["role_id"].clone();
    let secret = operator.order("POST", &format!("auth/a-{name}/role/vault/secret-id"), None);
    std::fs::write(home.path().join("secret"), secret["data"]["secret_id"].as_str().unwrap()).unwrap();
    let login = Login::AppRole {
        role_id: role_id.as_str().unwrap().to_owned(),
        secret_id_file: home.path().join("secret"),
        mount: format!("a-{name}"),
    };
    let options = OpenBaoOptions { mount, ..OpenBaoOptions::new(&operator.url, login) };
    let slots = slots(&options, &home).unwrap();
    let begun = Instant::now();
    let mut epoch = 0;
    while begun.elapsed() < Duration::from_millis(7_500) {
        epoch += 1;
        slots.write_slot(0, &record(epoch)).unwrap();
        std::thread::sleep(Duration::from_millis(if epoch % 2 == 0 { 3_200 } else { 300 }));
    }
    assert_eq!(number(&slots.read_slot(0).unwrap()[..]), Some(epoch));
}

#[test]
fn a_periodic_token_is_kept_alive_while_nothing_is_sealed_and_a_replaced_one_is_read_again() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let mount = operator.mount();
    let token = |period: &str| {
        let body = json!({ "policies": ["root"], "period": period });
        let made = operator.order("POST", "auth/token/create", Some(body));
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let first = Operator { url: operator.url.clone(), token: token("3s") };
    let options = first.options(home.path(), &mount);
    let slots = slots(&options, &home).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    slots.write_slot(0, &record(1)).unwrap();
    // The operator replaces it: the file has another one, the old one is revoked.
    std::fs::write(home.path().join("token"), token("1h")).unwrap();
    operator.order("POST", "auth/token/revoke", Some(json!({ "token": first.token })));
    slots.write_slot(1, &record(2)).unwrap();
    std::fs::write(home.path().join("token"), "s.nonsense").unwrap();
    assert_eq!(number(&slots.read_slot(1).unwrap()[..]), Some(2), "a token in use is not affected by the file");
}

#[test]
fn a_wrong_mount_or_token_stops_at_the_door() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let mount = operator.mount();
    let options = operator.options(home.path(), &mount);
    slots(&options, &home).unwrap().write_slot(0, &record(1)).unwrap();
    let keys = operator.keys(&mount);
    let elsewhere = OpenBaoOptions { mount: operator.mount(), ..options.clone() };
    assert!(matches!(slots(&elsewhere, &home), Err(KeyedError::KeysMissing { .. })));
    let nowhere = OpenBaoOptions { mount: "not-mounted".to_owned(), ..options.clone() };
    assert!(matches!(slots(&nowhere, &home), Err(KeyedError::Io { .. })));
    let missing = OpenBaoOptions { login: Login::TokenFile(home.path().join("none")), ..options.clone() };
    assert!(OpenBao::connect(&missing).is_err());
    std::fs::write(home.path().join("wrong"), "s.wrong").unwrap();
    let wrong = OpenBaoOptions { login: Login::TokenFile(home.path().join("wrong")), ..options.clone() };
    let error = OpenBao::connect(&wrong).err().unwrap();
    assert!(!format!("{error:?}").contains("s.wrong"));
    assert_eq!(operator.keys(&mount), keys);
    assert_eq!(number(&slots(&options, &home).unwrap().read_slot(0).unwrap()[..]), Some(1));
}

#[test]
fn a_key_whose_deletion_was_not_allowed_yet_and_a_soft_deleted_one_are_destroyed_all_the_same() {
    let (operator, home) = (Operator::shared(), TempDir::new().unwrap());
    let mount = operator.mount();
    let options = operator.options(home.path(), &mount);
    let opened = slots(&options, &home).unwrap();
    opened.write_slot(0, &record(1)).unwrap();
    let mine = operator.keys(&mount);
    let prefix = opened.prefix().to_owned();
    drop(opened);
    for (name, soft) in [("aaaaaaaaaaaaaaaaaaaaaaaa", false), ("bbbbbbbbbbbbbbbbbbbbbbbb", true)] {
        operator.order("POST", &format!("{mount}/keys/{prefix}{name}"), Some(json!({ "type": "aes256-gcm96" })));
        if soft {
            let allow = Some(json!({ "deletion_allowed": true }));
            operator.order("POST", &format!("{mount}/keys/{prefix}{name}/config"), allow);
            operator.order("DELETE", &format!("{mount}/keys/{prefix}{name}/soft-delete"), None);
        }
    }
    assert_eq!(operator.keys(&mount).len(), 3);
    drop(slots(&options, &home).unwrap());
    assert_eq!(operator.keys(&mount), mine);
}

struct Behind<'a> {
    operator: &'a Operator,
    proxy: &'a Proxy,
    mount: String,
    home: TempDir,
    archive: Archive,
    /// The process dies with the request of this number; 0 once it has.
    dies_at: AtomicU64,
}

impl Behind<'_> {
    fn new<'a>(operator: &'a Operator, proxy: &'a Proxy) -> Behind<'a> {
        Behind {
            operator,
            proxy,
            mount: operator.mount(),
            home: TempDir::new().unwrap(),
            archive: Archive::default(),
            dies_at: AtomicU64::new(0),
        }
    }
}

impl World for Behind<'_> {
    fn open(&self) -> Option<Device> {
        let options = OpenBaoOptions {
            address: self.proxy.url(),
            timeout: Duration::from_millis(400),
            ..self.operator.options(self.home.path(), &self.mount)
        };
        let bao = OpenBao::connect(&options).ok()?;
        let carrier = Archiving::open(self.home.path().join("wrapped"), &self.archive);
        Some(Arc::new(KeyedSlots::open(bao, carrier, "vault-1").ok()?))
    }
    fn is_dead(&self) -> bool {
        let at = self.dies_at.load(Ordering::SeqCst);
        at > 0 && self.proxy.seen() >= at
    }
    fn restart(&self) {
        self.dies_at.store(0, Ordering::SeqCst);
    }
    fn revealed(&self) -> BTreeSet<u64> {
        opened(self.operator, &self.mount, &self.archive).iter().filter_map(|block| number(block)).collect()
    }
}

#[test]
fn requests_and_answers_lost_singly_and_in_pairs_lose_no_root_and_keep_none() {
    let operator = Operator::shared();
    let proxy = Proxy::start(operator.host());
    proxy.plan(&[]);
    assert_eq!(live(&Behind::new(&operator, &proxy), 2), (0, 0));
    let requests = proxy.seen();
    assert!(requests > 20, "{:?}", proxy.log());
    let kinds = [Trouble::RequestLost, Trouble::AnswerLost, Trouble::AnswerLost, Trouble::Stalls, Trouble::ArrivesLate];
    let (mut deaths, mut repeats) = (0, 0);
    for step in 1..=requests {
        let kind = kinds[(step * 3 % 5) as usize];
        // Every third comes with another one soon after it, which often falls into the repetition or the recovery.
        let mut troubles = vec![(step, kind)];
        if step % 3 == 0 {
            troubles.push((step + 1 + step % 7, kinds[(step % 5) as usize]));
        }
        proxy.plan(&troubles);
        let world = Behind::new(&operator, &proxy);
        if step % 2 == 0 {
            world.dies_at.store(step, Ordering::SeqCst);
        }
        let (died, repeated) = live(&world, 2);
        deaths += died;
        repeats += repeated;
        if troubles.iter().any(|(_, kind)| *kind == Trouble::ArrivesLate) {
            // A key may be made after everybody has given it up: never used, and the next start destroys it.
            std::thread::sleep(Duration::from_secs(1));
            proxy.plan(&[]);
            drop(world.open().unwrap());
        }
        assert_eq!(operator.keys(&world.mount).len(), 1, "{troubles:?}");
    }
    println!("{requests} requests, {deaths} deaths, {repeats} repetitions");
    assert!(u64::from(deaths) >= requests / 2 - 1 && u64::from(repeats) > requests / 4, "{deaths} {repeats}");
}

fn stores(register: Device, home: &TempDir) -> Stores {
    let packs = Arc::new(Folder::open(home.path().join("packs")).unwrap());
    Stores { packs, register, probe: Arc::new(NoProbe) }
}

fn config() -> ForestConfig {
    ForestConfig { reserve_bytes: 1 << 16, provision_buckets: 4, ..ForestConfig::default() }
}

fn erase(leaf: u64) -> Change {
    Change { puncture: [Leaf(leaf)].into_iter().collect(), ..Change::default() }
}

#[test]
fn a_forest_waits_for_a_server_that_is_down_reads_on_and_goes_on_when_it_is_back() {
    let operator = Operator::shared();
    let proxy = Proxy::start(operator.host());
    let world = Behind::new(&operator, &proxy);
    let forest = Forest::create(stores(world.open().unwrap(), &world.home), config(), b"", Pins::default()).unwrap();
    assert_eq!(forest.register_class(), "openbao");
    forest.seal(&erase(1)).unwrap();
    let key = *forest.key(Leaf(7)).unwrap().expose();
    proxy.set_down(true);
    assert!(matches!(forest.seal(&erase(2)), Err(SealError::Stalled(_))));
    for _ in 0..3 {
        assert!(matches!(forest.finish_seal(), Err(SealError::Stalled(_))));
        assert_eq!(*forest.key(Leaf(7)).unwrap().expose(), key);
        assert_eq!((forest.epoch(), forest.status(Leaf(2)).unwrap()), (2, LeafStatus::Live), "not sealed, so not said");
    }
    proxy.set_down(false);
    assert_eq!(forest.finish_seal().unwrap().epoch, 3);
    assert_eq!(forest.status(Leaf(2)).unwrap(), LeafStatus::Punctured);
    assert_eq!(operator.keys(&world.mount).len(), 1);

    // And when the process ends while it waits, the next one brings it to an end or never began it.
    proxy.set_down(true);
    assert!(matches!(forest.seal(&erase(3)), Err(SealError::Stalled(_))));
    drop(forest);
    proxy.set_down(false);
    let (forest, report) = Forest::open(stores(world.open().unwrap(), &world.home), config()).unwrap();
    assert_eq!(report.epoch, 3);
    forest.seal(&erase(3)).unwrap();
    assert_eq!(*forest.key(Leaf(7)).unwrap().expose(), key);
}

#[test]
fn a_server_that_is_sealed_or_restarted_keeps_the_roots_and_forgets_the_old_ones() {
    let home = TempDir::new().unwrap();
    let mut server = Server::start();
    let mount = server.operator.mount();
    let options = server.operator.options(home.path(), &mount);
    let archive = Archive::default();
    let open = || {
        let bao = OpenBao::connect(&options).ok()?;
        let carrier = Archiving::open(home.path().join("wrapped"), &archive);
        KeyedSlots::open(bao, carrier, "vault-1").ok().map(|slots| Arc::new(slots) as Device)
    };
    let forest = Forest::create(stores(open().unwrap(), &home), config(), b"", Pins::default()).unwrap();
    forest.seal(&erase(1)).unwrap();
    server.seal();
    assert!(matches!(forest.seal(&erase(2)), Err(SealError::Stalled(_))));
    assert!(forest.key(Leaf(2)).is_ok());
    server.unseal();
    assert_eq!(forest.finish_seal().unwrap().epoch, 3);
    server.kill();
    assert!(matches!(forest.seal(&erase(3)), Err(SealError::Stalled(_))));
    drop(forest);
    server.run();
    assert!(open().is_none(), "sealed: nothing is opened and nothing touched");
    server.unseal();
    let (forest, report) = Forest::open(stores(open().unwrap(), &home), config()).unwrap();
    assert_eq!(report.epoch, 3);
    for erased in [1, 2] {
        assert_eq!(forest.status(Leaf(erased)).unwrap(), LeafStatus::Punctured);
    }
    forest.seal(&erase(3)).unwrap();
    assert_eq!(opened(&server.operator, &mount, &archive).len(), 1);
    assert!(archive.lock().unwrap().len() >= 4);
}

#[test]
fn a_standby_that_lags_behind_passes_nothing_off_as_gone() {
    let home = TempDir::new().unwrap();
    let active = Server::start();
    let mount = active.operator.mount();
    let standby = Server::join(&active);
    // The mount itself has to arrive first.
    let until = Instant::now() + Duration::from_secs(20);
    while standby.operator.ask("GET", &format!("{mount}/keys?list=true"), None).unwrap().1["errors"] != json!([]) {
        assert!(Instant::now() < until, "the standby never sees the mount");
        std::thread::sleep(Duration::from_millis(100));
    }
    // The control: asked like this, a standby denies a key that there is, and says of its deletion that it was not there.
    // How soon it does so is up to the machine.
    let denied = (0..1_000).any(|n| {
        standby.operator.order("POST", &format!("{mount}/keys/control-{n}"), Some(json!({ "type": "aes256-gcm96" })));
        standby.operator.ask("GET", &format!("{mount}/keys/control-{n}"), None).unwrap().0 == 404
    });
    assert!(denied, "this standby never lagged: the test shows nothing");

    conforms("openbao", &|| Arc::new(slots(&standby.operator.options(home.path(), &mount), &home).unwrap()));
    let archive = Archive::default();
    let bao = OpenBao::connect(&standby.operator.options(home.path(), &mount)).unwrap();
    let slots = KeyedSlots::open(bao, Archiving::open(home.path().join("other"), &archive), "vault-2").unwrap();
    for epoch in 1..12_u64 {
        slots.write_slot((epoch % 2) as usize, &record(epoch)).unwrap();
        slots.destroy_slot(((epoch + 1) % 2) as usize).unwrap();
        let left = opened(&active.operator, &mount, &archive);
        assert_eq!(left.iter().filter_map(|block| number(block)).collect::<Vec<_>>(), [epoch]);
    }
}

#[test]
fn a_server_is_believed_by_the_given_authority_alone() {
    let (server, home) = (TlsServer::start(), TempDir::new().unwrap());
    std::fs::write(home.path().join("token"), "root").unwrap();
    let plain = OpenBaoOptions::new(&server.url, Login::TokenFile(home.path().join("token")));
    let trusting = OpenBaoOptions { ca_file: Some(server.authority()), ..plain.clone() };
    let until = Instant::now() + Duration::from_secs(20);
    while let Err(error) = OpenBao::connect(&trusting) {
        assert!(Instant::now() < until, "{error:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(OpenBao::connect(&plain).is_err(), "the system knows no such authority");
    std::fs::write(home.path().join("empty.pem"), "nothing").unwrap();
    let without = OpenBaoOptions { ca_file: Some(home.path().join("empty.pem")), ..plain.clone() };
    assert!(matches!(OpenBao::connect(&without), Err(OpenBaoError::Options { .. })));
    let clear = OpenBaoOptions { address: server.url.replace("https", "http"), ..plain };
    assert!(OpenBao::connect(&clear).is_err());
}
