//! The stores on servers: rows, key pages and journal in PostgreSQL, contents and the second place of the key pages in a
//! bucket, the root split over a file and OpenBao. Opened as the program opens them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyforest::{Forest, ForestConfig, Probe, Stores};
use oubliette::config::{Config, MetadataPlace, Openbao, Postgres, Root, S3, Storage};
use oubliette::opening::{Claim, Engines, Opening, RegisterPolicy, scaled};
use oubliette_core::ports::{NoLenders, SystemClock};
use oubliette_core::service::{VaultParts, VaultSettings, genesis};
use tempfile::TempDir;
use uuid::Uuid;

use crate::engines::{self, Lent, engine};
use crate::program::Place;
use crate::quiet;
use crate::support::TestVault;

/// The bucket of all these tests; each has a prefix of its own in it.
const BUCKET: &str = "dialects";

/// Where the vault under test lies.
pub struct Backend {
    /// First: it confirms itself in the database until it is dropped.
    _claim: Option<Claim>,
    places: Places,
    folder: TempDir,
    _lent: Option<Lent>,
}

/// Which servers, and what on them is one vault's.
pub struct Places {
    /// URL of the database.
    pub database: String,
    /// URL of the object store.
    pub s3: String,
    /// A bucket in it.
    pub bucket: String,
    /// What all keys of the vault begin with.
    pub prefix: String,
    /// URL of OpenBao.
    pub openbao: String,
    /// A token for it.
    pub token: String,
    /// The class of the root store.
    pub root: &'static str,
}

impl Backend {
    /// Makes an empty one on the shared servers, and what a vault is opened on.
    pub async fn make(settings: VaultSettings, probe: Arc<dyn Probe>) -> (Self, VaultParts) {
        let (lent, places) = Places::lent().await;
        let (mut backend, parts) = Self::on(places, settings, probe).await;
        backend._lent = Some(lent);
        (backend, parts)
    }

    /// The same on given servers.
    pub async fn on(places: Places, settings: VaultSettings, probe: Arc<dyn Probe>) -> (Self, VaultParts) {
        let folder = tempfile::tempdir().unwrap();
        let config = places.config(folder.path());
        let MetadataPlace::Postgres(server) = config.metadata_place().unwrap() else { panic!("no server is named") };
        let opening = Opening::new(RegisterPolicy::Warn);
        let Engines { metadata, blobs, packs, register, lease, claim, .. } =
            scaled(&config, *server, &opening, &probe).await.unwrap();
        let (attachment, pins) = genesis(metadata.instance().await.unwrap().instance).unwrap();
        let stores = Stores { packs, register, probe: Arc::clone(&probe) };
        let log = Arc::clone(&stores.packs);
        let create = move || Forest::create(stores, ForestConfig::default(), &attachment, pins).unwrap();
        let forest = Arc::new(tokio::task::spawn_blocking(create).await.unwrap());
        let parts = VaultParts {
            metadata,
            blobs,
            forest,
            clock: Arc::new(SystemClock),
            lease,
            lenders: Arc::new(NoLenders),
            log,
            probe,
            settings,
        };
        (Self { _claim: claim, places, folder, _lent: None }, parts)
    }

    /// What the configuration of a program has to say so that its vault lies here, and what must be kept until its end.
    pub async fn of_program(place: &Place) -> (String, impl Sized + use<>) {
        let (lent, places) = Places::lent().await;
        let mut values = places.config(place.path()).values();
        values.retain(|section, _| ["storage", "postgres", "s3", "root", "openbao"].contains(&section));
        (values.to_string(), lent)
    }

    /// The folder of the register, when the root or a share of it lies in one.
    pub fn register(&self) -> PathBuf {
        self.folder.path().join("vault.register")
    }

    /// Everything that the vault has written anywhere, with a name for each place: its own files, rows as they are now, the
    /// database's files with what is no row any more, and objects.
    pub async fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        quiet::files(self.folder.path(), &mut found);
        let session = engines::session(&self.places.database).await;
        session.batch("SET bytea_output = 'escape'").await.unwrap();
        for row in session.query(ROWS, &[]).await.unwrap() {
            found.push((row.get(0), row.get::<_, String>(1).into_bytes()));
        }
        session.batch("CHECKPOINT").await.unwrap();
        for row in session.query(FILES, &[]).await.unwrap() {
            found.push((row.get(0), row.get(1)));
        }
        session.close().await;
        let objects = engines::objects(&self.places.s3, &self.places.bucket, &self.places.prefix);
        assert!(!objects.is_empty());
        found.push(("objects".to_owned(), objects));
        found
    }
}

/// Every table of ours with its rows; bytes that are text stand there as text.
const ROWS: &str = "SELECT c.relname::text,
    query_to_xml(format('SELECT t::text AS row FROM %I.%I t', n.nspname, c.relname), true, true, '')::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname LIKE 'oubliette%'";

/// The files of our tables, their indexes and what is stored out of line.
const FILES: &str = "SELECT c.relname::text, pg_read_binary_file(pg_relation_filepath(c.oid))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE (n.nspname LIKE 'oubliette%' OR n.nspname = 'pg_toast') AND pg_relation_filepath(c.oid) IS NOT NULL";

impl Places {
    /// Empty ones on the shared servers.
    async fn lent() -> (Lent, Self) {
        let lent = Lent::take().await;
        let places = Self {
            database: lent.url.clone(),
            s3: engine("OUBLIETTE_TEST_S3"),
            bucket: BUCKET.to_owned(),
            prefix: Uuid::new_v4().simple().to_string(),
            openbao: engine("OUBLIETTE_TEST_OPENBAO"),
            token: engine("OUBLIETTE_TEST_OPENBAO_TOKEN"),
            root: "multi-share",
        };
        engines::bucket(&places.s3, BUCKET);
        (lent, places)
    }

    /// The configuration that names them. Secrets go into files in `home`.
    fn config(&self, home: &Path) -> Config {
        let (key, secret) = engines::s3_keys();
        let (keys, token) = (home.join("keys"), home.join("token"));
        let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
        std::fs::write(&keys, text).unwrap();
        std::fs::write(&token, &self.token).unwrap();
        Config {
            storage: Storage {
                data: home.join("vault"),
                metadata: self.database.clone(),
                blobs: format!("s3://{}/{}", self.bucket, self.prefix),
                ..Storage::default()
            },
            postgres: Postgres { connections: 4, ..Postgres::default() },
            s3: S3 {
                endpoint: Some(self.s3.clone()),
                allow_http: true,
                credentials: "file".to_owned(),
                credentials_file: Some(keys),
                ..S3::default()
            },
            root: Root { class: self.root.to_owned(), ..Root::default() },
            openbao: Openbao { address: self.openbao.clone(), token_file: Some(token), ..Openbao::default() },
            ..Config::default()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_clear_in_a_row_or_in_a_dead_one_or_in_an_object_is_found() {
    let vault = TestVault::start().await;
    let session = engines::session(&vault.backend.places.database).await;
    let plant = "CREATE TABLE oubliette.control (marker bytea); INSERT INTO oubliette.control VALUES ('zq-before');
        UPDATE oubliette.control SET marker = 'zq-after'";
    session.batch(plant).await.unwrap();
    let target = format!("{BUCKET}/{}/control", vault.backend.places.prefix);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "zq-object").unwrap();
    engines::s3(&engine("OUBLIETTE_TEST_S3"), &["-f", "-T", file.path().to_str().unwrap()], &[target]);
    let written = vault.backend.written().await;
    let places = |marker: &str| -> Vec<&str> {
        let has = |bytes: &[u8]| bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
        written.iter().filter(|(_, bytes)| has(bytes)).map(|(place, _)| place.as_str()).collect()
    };
    assert_eq!(places("zq-before"), ["control"], "in the table's file");
    assert_eq!(places("zq-after"), ["control", "control"], "in the table's file and among the rows");
    assert_eq!(places("zq-object"), ["objects"]);
}
