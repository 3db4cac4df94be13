//! Places of each test's own.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyforest::media::Medium;
use keyforest::{Change, Forest, ForestConfig, Leaf, NoProbe, Stores};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::signer::Signer;
use oubliette_store::media::postgres::{Claiming, KeyDatabase, KeyDatabaseOptions};
use oubliette_store::media::{Objects, ObjectsOptions};
use oubliette_store::postgres::Options;
use oubliette_store::roots::FileRegister;

use crate::postgres::support::Database;

/// Waits on a runtime of its own.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub fn database() -> Database {
    wait(Database::fresh())
}

/// Short times, so that faults show.
pub fn options(url: &str) -> KeyDatabaseOptions {
    let server = Options { url: url.to_owned(), connect_timeout: Duration::from_secs(2), ..Options::default() };
    KeyDatabaseOptions { server, claiming: Claiming::Wait(Duration::from_secs(20)), patience: Duration::from_secs(10) }
}

pub fn claim(url: &str) -> KeyDatabase {
    KeyDatabase::open(options(url)).unwrap()
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: start the servers with scripts/engines.sh, or run ./test.sh"))
}

/// The bucket of these tests, through `endpoint` or straight.
pub fn bucket(endpoint: Option<&str>) -> AmazonS3 {
    let build = |endpoint: &str| {
        AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name("key-pages")
            .with_access_key_id(variable("OUBLIETTE_TEST_S3_KEY"))
            .with_secret_access_key(variable("OUBLIETTE_TEST_S3_SECRET"))
            .with_retry(object_store::RetryConfig {
                max_retries: 2,
                retry_timeout: Duration::from_secs(2),
                ..Default::default()
            })
            .build()
            .unwrap()
    };
    let straight = variable("OUBLIETTE_TEST_S3");
    let store = build(&straight);
    wait(async {
        let url = store.signed_url(reqwest::Method::PUT, &"".into(), Duration::from_secs(60)).await.unwrap();
        let made = reqwest::Client::new().put(url.as_str()).send().await.unwrap().status();
        assert!(made.is_success() || made.as_u16() == 409, "{made}");
    });
    endpoint.map_or(store, build)
}

/// A folder of the bucket that nobody else uses.
pub fn prefix() -> String {
    format!("test/{}", uuid::Uuid::new_v4().simple())
}

/// Objects for the process that holds `claim`, through `endpoint` or straight.
pub fn objects_through(endpoint: Option<&str>, prefix: &str, claim: &KeyDatabase) -> Objects {
    open_objects(endpoint, prefix, |newest| claim.number_above(newest))
}

/// Objects alone, as nobody but a test uses them.
pub fn objects(prefix: &str) -> Objects {
    open_objects(None, prefix, |newest| Ok(newest + 1))
}

/// Objects that may be refused.
pub fn try_objects(prefix: &str, above: impl FnOnce(u64) -> std::io::Result<u64>) -> std::io::Result<Objects> {
    through(None, prefix, above)
}

fn open_objects(endpoint: Option<&str>, prefix: &str, above: impl FnOnce(u64) -> std::io::Result<u64>) -> Objects {
    through(endpoint, prefix, above).unwrap()
}

fn through(
    endpoint: Option<&str>,
    prefix: &str,
    above: impl FnOnce(u64) -> std::io::Result<u64>,
) -> std::io::Result<Objects> {
    let options = ObjectsOptions { prefix: prefix.to_owned(), limit: Duration::from_secs(5) };
    Objects::open(Arc::new(bucket(endpoint)), &options, above)
}

/// Small packs, so that they roll and are rewritten.
pub fn config() -> ForestConfig {
    ForestConfig { page_memory: 4096, pack_bytes: 24 << 10, reserve_bytes: 0, provision_buckets: 2 }
}

/// A medium with a register in `home`.
pub fn stores(packs: Arc<dyn Medium>, home: &Path) -> Stores {
    let data = home.join("vault");
    std::fs::create_dir_all(&data).unwrap();
    let register = FileRegister::open(&FileRegister::default_directory(&data), &data).unwrap();
    Stores { packs, register: Arc::new(register), probe: Arc::new(NoProbe) }
}

/// What the register's file holds, also while a forest has it open.
pub fn register(home: &Path) -> Vec<u8> {
    let folder = FileRegister::default_directory(&home.join("vault"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let slots: Vec<u8> = files.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    assert!(slots.len() >= 8192, "{files:?}");
    slots
}

pub fn erase(leaf: u64) -> Change {
    Change { puncture: [Leaf(leaf)].into_iter().collect(), ..Change::default() }
}

/// Seals, trying again while it is put off; how often it was.
pub fn seal_in_the_end(forest: &Forest, change: &Change) -> u32 {
    for put_off in 0..200 {
        match forest.seal(change) {
            Ok(_) => return put_off,
            Err(keyforest::SealError::NotDone(_)) => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("never sealed");
}
