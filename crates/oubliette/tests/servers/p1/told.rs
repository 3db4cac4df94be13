//! Calls that go in and out through every dialect while everything is archived, and what the attacker then has.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyforest::Probe;
use keyforest::attack::{Attacker, Closure};
use oubliette::http::DialectSettings;
use oubliette_core::ports::Blobs;
use oubliette_core::service::VaultSettings;
use oubliette_store::blobs::ObjectOptions;
use oubliette_store::blobs::object::{Credentials, ObjectBlobs, S3Options};
use oubliette_store::postgres::Session;
use oubliette_store::remnants::Marker;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::archive::Archive;
use super::evidence::Evidence;
use super::openbao::{OpenBao, Wrapped};
use super::process::{run, until};
use super::rig::{Postgres, Rig, SeaweedFs, enterable};
use crate::attacker::Loot;
use crate::attacker::planting::Story;
use crate::backend::Backend;
use crate::engines;
use crate::support::{TestVault, planter};

/// What is put in clear where it must be found: into a row that is deleted, and into an object.
const CONTROLS: [&str; 2] = ["zqcontrolrowvx", "zqcontrolobjectvx"];

/// What the attacker has.
pub struct Told {
    /// What was in the vault, and what was erased.
    pub stories: Vec<Story>,
    /// Every folder at every moment.
    pub archive: Archive,
    /// Every row at every moment.
    pub evidence: Evidence,
    /// Roots that OpenBao gave when all had been planted.
    pub asked_before: Vec<Vec<u8>>,
    /// Roots that it gives in the end, of all that were ever wrapped.
    pub asked_after: Vec<Vec<u8>>,
    /// The register file when all had been planted; empty when there is none.
    pub register_before: Vec<u8>,
    /// In the end.
    pub register_after: Vec<u8>,
    /// Archived states of OpenBao that were started.
    pub started: Cell<usize>,
    planted: usize,
    token: String,
    unseal: String,
    blobs: Arc<dyn Blobs>,
    volumes: Vec<u8>,
    _weed: SeaweedFs,
    room: TempDir,
}

impl Told {
    /// Plants, erases, archives; then stops all servers and opens archived folders.
    pub async fn story(root: &'static str, stories: u32) -> Self {
        let rig = Arc::new(Rig::start().await);
        let mut markers: Vec<Marker> = (1..=stories).flat_map(Story::markers_of).collect();
        let personal = markers.len();
        markers.extend(CONTROLS.map(|marker| Marker::Text(marker.to_owned())));
        let archivist = Arc::new(Archivist::default());
        let settings = VaultSettings { default_region: Some("US".to_owned()), ..VaultSettings::default() };
        let probe = Arc::clone(&archivist) as Arc<dyn Probe>;
        let (backend, parts) = Backend::on(rig.places(root), settings, probe).await;
        let vault = TestVault::on(backend, parts, DialectSettings::default()).await;
        archivist.begin(&rig, Archive::new(&markers));
        let planter = planter(&vault).await;
        let register = || std::fs::read(vault.backend.register().join("register")).unwrap_or_default();

        let mut told = Vec::new();
        for number in 1..=stories {
            told.push(Story::plant(&planter, number).await);
        }
        rig.settle();
        let (planted, wrapped) = archivist.take();
        let (asked_before, register_before) = (ask(&rig.openbao, &wrapped).await, register());
        for story in &told {
            story.erase(&planter).await;
        }
        while vault.app.vault.status().await.unwrap().unswept > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        plant_controls(&rig);
        rig.settle();
        let (last, wrapped) = archivist.take();
        let (asked_after, register_after) = (ask(&rig.openbao, &wrapped).await, register());
        let (archive, evidence) = archivist.end();
        vault.app.vault.close().await;
        drop(vault);

        let mut found = archive.found.clone();
        for (number, control) in CONTROLS.iter().enumerate() {
            assert!(found.remove(&(personal + number)), "control: {control} is not found in the archive");
        }
        assert!(found.is_empty(), "something personal stands in an archived file in clear: {found:?}");
        let (token, unseal) = (rig.openbao.token.clone(), rig.openbao.unseal.clone());
        let ports = Arc::into_inner(rig).unwrap().stop();
        let room = tempfile::tempdir().unwrap();
        enterable(room.path());
        let volumes = volumes(&archive, planted, last);
        archive.restore(planted, "seaweedfs", &room.path().join("seaweedfs"));
        let weed = SeaweedFs::start(&room.path().join("seaweedfs"), ports);
        weed.wait();
        let mut told = Self {
            blobs: attach(&weed).await,
            _weed: weed,
            stories: told,
            archive,
            evidence,
            asked_before,
            asked_after,
            register_before,
            register_after,
            started: Cell::new(0),
            planted,
            token,
            unseal,
            volumes,
            room,
        };
        told.read_databases(last).await;
        told
    }

    /// Starts PostgreSQL on archived folders and reads what is in there.
    async fn read_databases(&mut self, last: usize) {
        for (number, (state, folder)) in
            [(self.planted, "primary"), (last, "primary"), (last, "standby"), (last, "base")].into_iter().enumerate()
        {
            let data = self.room.path().join(format!("{number}-{folder}"));
            self.archive.restore(state, folder, &data);
            let mut settings = "archive_mode = off\n".to_owned();
            match folder {
                "standby" => std::fs::remove_file(data.join("standby.signal")).unwrap(),
                "base" => {
                    let log = self.room.path().join("archive");
                    self.archive.restore(state, "archive", &log);
                    settings += &format!("restore_command = 'cp {}/%f %p'\n", log.display());
                    std::fs::write(data.join("recovery.signal"), "").unwrap();
                }
                _ => {}
            }
            let server = Postgres::start(&data, &settings);
            until("the database was to be recovered", || {
                let mut ask = std::process::Command::new("psql");
                run(ask.args(["-qAt", "-c", "SELECT pg_is_in_recovery()", &server.url()])).trim() == "f"
            });
            let session = engines::session(&server.url()).await;
            let mut here = Evidence::default();
            here.read_all(&session).await;
            self.evidence.read_all(&session).await;
            session.close().await;
            // As many as were live then, at least: a folder that gave nothing would not have been attacked.
            assert!(here.rows() > 3 * self.stories.len(), "{folder} gave {} rows", here.rows());
            assert!(!here.wrapped.is_empty(), "{folder} gave no root");
        }
    }

    /// Tries everything with what can be derived from these bytes, taken as roots at every offset.
    pub async fn attack(&self, roots: &[Vec<u8>]) -> (Closure, Loot) {
        let mut attacker = Attacker::new();
        self.evidence.pages(&mut attacker);
        attacker.archive(&self.volumes);
        roots.iter().for_each(|root| attacker.register(root));
        let keys = attacker.closure();
        let loot = self.evidence.attack(&keys, &self.blobs).await;
        (keys, loot)
    }

    /// What OpenBao gives that was started on an archived folder and not unsealed.
    pub async fn asked_sealed(&self) -> Vec<Vec<u8>> {
        let server = self.archived_openbao(self.planted).await;
        ask(&server, &self.evidence.wrapped.keys().cloned().collect::<Vec<_>>()).await
    }

    /// What it gives when it is unsealed, started on folders of so many moments that every root there ever was is given.
    pub async fn asked_unsealed(&self) -> Vec<Vec<u8>> {
        let mut left: BTreeMap<&Wrapped, usize> = self.evidence.wrapped.iter().map(|(text, at)| (text, *at)).collect();
        let mut given = Vec::new();
        while let Some(moment) = left.values().copied().max() {
            let mut server = self.archived_openbao(moment).await;
            server.open().await;
            let mut gave = Vec::new();
            for wrapped in left.keys() {
                if let Some(root) = server.unwrap(wrapped).await {
                    gave.push((*wrapped).clone());
                    given.push(root);
                }
            }
            left.retain(|wrapped, at| {
                // What was there before the first moment may have been destroyed before it.
                assert!(
                    *at < moment || moment == 0 || gave.contains(wrapped),
                    "a root is given by no state of OpenBao"
                );
                *at < moment && !gave.contains(wrapped)
            });
        }
        given
    }

    async fn archived_openbao(&self, moment: usize) -> OpenBao {
        let number = self.started.get();
        self.started.set(number + 1);
        let folder = self.room.path().join(format!("openbao-{number}"));
        self.archive.restore(moment, "openbao", &folder);
        OpenBao::archived(&folder, &self.token, &self.unseal).await
    }

    /// The bytes of OpenBao's folder while the keys of what is erased now were in it, and of every wrapped root.
    pub fn bytes_of_openbao(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for name in self.archive.states[self.planted].names("openbao") {
            // These files are mostly holes.
            let bytes = self.archive.read(self.planted, name);
            let filled = |block: &&[u8]| block.iter().any(|byte| *byte != 0);
            all.extend(bytes.chunks(4096).filter(filled).map(<[u8]>::to_vec));
        }
        for Wrapped { text, .. } in self.evidence.wrapped.keys() {
            all.push(text.as_bytes().to_vec());
            all.push(STANDARD.decode(text.rsplit(':').next().unwrap()).unwrap());
        }
        all
    }
}

/// What shares give when they are put together with either block of a register file, and what each is alone.
pub fn joined(register: &[u8], shares: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut joined = vec![register.to_vec()];
    for share in shares {
        for block in register.chunks(4096) {
            joined.push(share.iter().zip(block).map(|(one, other)| one ^ other).collect());
        }
        joined.push(share.clone());
    }
    joined
}

async fn ask(openbao: &OpenBao, wrapped: &[Wrapped]) -> Vec<Vec<u8>> {
    let mut given = Vec::new();
    for wrapped in wrapped {
        given.extend(openbao.unwrap(wrapped).await);
    }
    given
}

/// Puts the controls where they must be found.
fn plant_controls(rig: &Rig) {
    rig.sql(&format!("CREATE TABLE control AS SELECT upper('{}') AS marker", CONTROLS[0]));
    rig.sql("DELETE FROM control");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), hex::encode(CONTROLS[1])).unwrap();
    let places = rig.places("openbao");
    let target = format!("{}/control", places.bucket);
    engines::s3(&places.s3, &["-f", "-T", file.path().to_str().unwrap()], &[target]);
}

/// The volumes of SeaweedFS as they are in the end. What was deleted is still in them: nothing was vacuumed.
fn volumes(archive: &Archive, planted: usize, last: usize) -> Vec<u8> {
    let data = |name: &&Path| name.extension().is_some_and(|extension| extension == "dat");
    let mut volumes = Vec::new();
    for name in archive.states[last].names("seaweedfs").filter(data) {
        let bytes = archive.read(last, name);
        if archive.states[planted].names("seaweedfs").any(|before| before == name) {
            assert!(bytes.starts_with(&archive.read(planted, name)), "SeaweedFS forgot something by itself");
        }
        volumes.extend(bytes);
    }
    volumes
}

async fn attach(weed: &SeaweedFs) -> Arc<dyn Blobs> {
    let (id, secret) = engines::s3_keys();
    let options = S3Options {
        endpoint: Some(weed.url()),
        allow_http: true,
        prefix: "v".to_owned(),
        ..S3Options::new("vault", Credentials::Keys { id, secret, token: None })
    };
    Arc::new(ObjectBlobs::attach(&options, ObjectOptions::default()).await.unwrap())
}

/// Archives at every named moment.
#[derive(Default)]
struct Archivist(Mutex<Option<Archiving>>);

struct Archiving {
    rig: Arc<Rig>,
    archive: Archive,
    evidence: Evidence,
    runtime: Runtime,
    session: Session,
}

impl Probe for Archivist {
    fn reached(&self, _point: &'static str) {
        if let Some(archiving) = &mut *self.0.lock().unwrap() {
            archiving.take();
        }
    }
}

impl Archivist {
    /// From now on; the first state is taken at once.
    fn begin(&self, rig: &Arc<Rig>, archive: Archive) {
        let url = rig.places("openbao").database;
        let (runtime, session) = apart(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let session = runtime.block_on(engines::session(&url));
            (runtime, session)
        });
        let archiving = Archiving { rig: Arc::clone(rig), archive, evidence: Evidence::default(), runtime, session };
        self.0.lock().unwrap().insert(archiving).take();
    }

    /// Takes a state; its number, and the roots wrapped so far.
    fn take(&self) -> (usize, Vec<Wrapped>) {
        let mut archiving = self.0.lock().unwrap();
        let archiving = archiving.as_mut().unwrap();
        archiving.take();
        (archiving.archive.states.len() - 1, archiving.evidence.wrapped.keys().cloned().collect())
    }

    /// No more.
    fn end(&self) -> (Archive, Evidence) {
        let Archiving { archive, evidence, runtime, session, .. } = self.0.lock().unwrap().take().unwrap();
        drop(session);
        runtime.shutdown_background();
        (archive, evidence)
    }
}

impl Archiving {
    fn take(&mut self) {
        let Self { rig, archive, evidence, runtime, session } = self;
        apart(|| runtime.block_on(evidence.read(session)));
        let _frozen = rig.freeze();
        archive.take(rig.home());
    }
}

/// On a thread that belongs to no runtime.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}
