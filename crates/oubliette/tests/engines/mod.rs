//! The servers that the test command started (`scripts/engines.sh`), and places of each test's own on them.
//!
//! Without them a test fails: a missing server is never a skip.

use std::process::{Command, Stdio};

use oubliette_store::postgres::{Connector, Options, Session};
use uuid::Uuid;

/// What the test command says of a server.
pub fn engine(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run through ./test.sh, or see scripts/engines.sh"))
}

/// PostgreSQL's URL, as superuser.
pub fn postgres() -> String {
    engine("OUBLIETTE_TEST_POSTGRES")
}

/// The URL of another database on the same server.
pub fn beside(server: &str, database: &str) -> String {
    let (base, _) = server.rsplit_once('/').unwrap();
    format!("{base}/{database}")
}

/// A session on PostgreSQL that is not the vault's.
pub async fn session(url: &str) -> Session {
    let connector = Connector::new(&Options { url: url.to_owned(), ..Options::default() }).unwrap();
    connector.connect("public").await.unwrap()
}

/// A new database, dropped at the end.
pub struct Database {
    name: String,
    /// Where it is.
    pub url: String,
}

impl Database {
    /// On the shared server.
    pub fn fresh() -> Self {
        let (server, name) = (postgres(), format!("v{}", Uuid::new_v4().simple()));
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        assert!(Command::new("psql").args([&server, "-q", "-c", &create]).status().unwrap().success());
        Self { url: beside(&server, &name), name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = Command::new("psql").args([&postgres(), "-q", "-c", &drop]).status();
    }
}

/// An empty database that this test has to itself, until the session that holds it ends.
///
/// Making a database takes a tenth of a second and dropping one half a second, which many short tests would spend on nothing
/// else. So the next test takes over the one that an earlier test let go of. Nothing drops them but the end of the server.
pub struct Lent {
    /// Where it is.
    pub url: String,
    _held: Session,
}

/// First key of the locks by which databases are held ("lent").
const HELD: i32 = 0x6c65_6e74;

impl Lent {
    /// The first that nobody holds, emptied; a new one when all are held.
    pub async fn take() -> Self {
        let server = postgres();
        let held = session(&server).await;
        let mut number = 0_i32;
        while !held.query("SELECT pg_try_advisory_lock($1, $2)", &[&HELD, &number]).await.unwrap()[0].get::<_, bool>(0)
        {
            number += 1;
        }
        let name = format!("lent_{number}");
        let url = beside(&server, &name);
        let known = held.query("SELECT FROM pg_database WHERE datname = $1", &[&name]).await.unwrap();
        if known.is_empty() {
            held.batch(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        } else {
            // What is left of the test before says nothing that matters any more.
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
            held.query(end, &[&name]).await.unwrap();
            let inside = session(&url).await;
            let empty = "DROP SCHEMA IF EXISTS oubliette CASCADE; DROP SCHEMA IF EXISTS oubliette_keys CASCADE";
            inside.batch(empty).await.unwrap();
            inside.close().await;
        }
        Self { url, _held: held }
    }
}

/// Key and secret of the object store.
pub fn s3_keys() -> (String, String) {
    (engine("OUBLIETTE_TEST_S3_KEY"), engine("OUBLIETTE_TEST_S3_SECRET"))
}

/// A signed request to an object store: its answer's body.
pub fn s3(server: &str, arguments: &[&str], targets: &[String]) -> Vec<u8> {
    let (key, secret) = s3_keys();
    let mut curl = Command::new("curl");
    curl.args(["-s", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &format!("{key}:{secret}")]).args(arguments);
    curl.args(targets.iter().map(|target| format!("{server}/{target}")));
    let ran = curl.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{targets:?}: {}", ran.status);
    ran.stdout
}

/// Makes sure of a bucket, which may be there already.
pub fn bucket(server: &str, name: &str) {
    let told = s3(server, &["-X", "PUT", "-o", "/dev/null", "-w", "%{http_code}"], &[name.to_owned()]);
    assert!(told == b"200" || told == b"409", "{}", String::from_utf8_lossy(&told));
}

/// The bytes of every object of a bucket whose key begins with `prefix`, one behind the other.
pub fn objects(server: &str, bucket: &str, prefix: &str) -> Vec<u8> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        // As it is signed: values encoded, names in order.
        let after = keys.last().map(|key| key.replace('/', "%2F")).unwrap_or_default();
        let list = format!("{bucket}?list-type=2&max-keys=1000&prefix={prefix}&start-after={after}");
        let listed = String::from_utf8(s3(server, &["-f"], &[list])).unwrap();
        let more = listed.split("<Key>").skip(1).map(|rest| rest.split_once('<').unwrap().0.to_owned());
        let before = keys.len();
        keys.extend(more);
        if keys.len() == before || !listed.contains("<IsTruncated>true</IsTruncated>") {
            break;
        }
    }
    let targets: Vec<String> = keys.iter().map(|key| format!("{bucket}/{key}")).collect();
    if targets.is_empty() { Vec::new() } else { s3(server, &["-f"], &targets) }
}
