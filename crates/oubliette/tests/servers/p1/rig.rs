//! PostgreSQL with an archive of its log, a base backup and a standby; SeaweedFS; OpenBao: each in a folder of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::openbao::{self, OpenBao};
use super::process::{Frozen, Process, free_ports, run, until};
use crate::backend::Places;
use crate::engines::{self, engine};

const BIN: &str = "/usr/lib/postgresql/15/bin";
const BUCKET: &str = "vault";

/// The servers of one vault, running.
pub struct Rig {
    primary: Postgres,
    standby: Postgres,
    weed: SeaweedFs,
    /// Its key store.
    pub openbao: OpenBao,
    // Last: what runs in it has ended by then.
    home: TempDir,
}

impl Rig {
    /// New ones. The base backup is made before anything is in the vault.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        enterable(home.path());
        let weed = SeaweedFs::start(&home.path().join("seaweedfs"), free_ports());
        let openbao = OpenBao::create(&home.path().join("openbao")).await;
        let archive = home.path().join("archive");
        std::fs::create_dir(&archive).unwrap();
        own(&archive);
        let primary = Postgres::create(&home.path().join("primary"), &archive);
        let copy = |to: &str, more: &[&str]| {
            let (to, from) = (home.path().join(to), format!("host=127.0.0.1 port={} user=postgres", primary.port));
            own_folder(&to);
            run(postgres("pg_basebackup").args(["-c", "fast", "-d", &from, "-D"]).arg(&to).args(more));
            to
        };
        copy("base", &["-X", "none", "--no-manifest"]);
        let standby = Postgres::start(&copy("standby", &["-R"]), "archive_mode = off\n");
        weed.wait();
        engines::bucket(&weed.url(), BUCKET);
        Self { primary, standby, weed, openbao, home }
    }

    /// Where a vault with this root store lies on them.
    pub fn places(&self, root: &'static str) -> Places {
        Places {
            database: self.primary.url(),
            s3: self.weed.url(),
            bucket: BUCKET.to_owned(),
            prefix: "v".to_owned(),
            openbao: self.openbao.url.clone(),
            token: self.openbao.token.clone(),
            root,
        }
    }

    /// Everything that is archived.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Lets no server do anything, so that a copy of their folders is one moment of all of them.
    pub fn freeze(&self) -> Frozen {
        Frozen::all(&[&self.primary.process, &self.standby.process, &self.weed.process, self.openbao.process()])
    }

    /// A statement to the primary.
    pub fn sql(&self, statement: &str) -> String {
        run(Command::new("psql").args(["-qAt", "-c", statement, &self.primary.url()]))
    }

    /// Waits until the log is archived and the standby has replayed it, and has both servers write out what they hold.
    pub fn settle(&self) {
        let file = self.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
        let at = self.sql("SELECT pg_switch_wal()");
        let archived = format!("SELECT last_archived_wal >= '{}' FROM pg_stat_archiver", file.trim());
        until("the log was to be archived", || self.sql(&archived).trim() == "t");
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{}'::pg_lsn", at.trim());
        let standby = self.standby.url();
        let ask = |statement: &str| run(Command::new("psql").args(["-qAt", "-c", statement, &standby]));
        until("the standby was to follow", || ask(&replayed).trim() == "t");
        self.sql("CHECKPOINT");
        ask("CHECKPOINT");
    }

    /// Stops all servers as a crash would. Gives the ports of SeaweedFS: an archived folder of it opens on them only.
    pub fn stop(self) -> [u16; 4] {
        self.weed.ports
    }
}

/// A PostgreSQL server.
pub struct Postgres {
    process: Process,
    port: u16,
}

impl Postgres {
    fn create(data: &Path, archive: &Path) -> Self {
        own_folder(data);
        let arguments = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
        run(postgres("initdb").arg("-D").arg(data).args(arguments).args(["--data-checksums", "--wal-segsize=1"]));
        let settings = format!(
            "wal_level = replica\nwal_compression = off\nmax_wal_size = 64MB\narchive_mode = on\n\
             archive_command = 'cp %p {}/%f'\n",
            archive.display()
        );
        append(&data.join("postgresql.conf"), &settings);
        Self::start(data, "")
    }

    /// On a folder that is there, an archived one for example: it recovers first.
    pub fn start(data: &Path, settings: &str) -> Self {
        let [port] = free_ports();
        let usual = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nshared_buffers = 16MB\n\
                     max_connections = 60\nmax_wal_senders = 6\nautovacuum = off\n";
        append(&data.join("postgresql.conf"), &format!("{usual}port = {port}\n{settings}"));
        let _ = std::fs::remove_file(data.join("postmaster.pid"));
        own(data);
        std::fs::set_permissions(data, PermissionsExt::from_mode(0o700)).unwrap();
        let log = std::fs::File::create(data.with_extension("log")).unwrap();
        let mut command = postgres("postgres");
        command.arg("-D").arg(data).stdout(log.try_clone().unwrap()).stderr(log);
        // At the signal QUIT all of it ends at once.
        let mut server = Self { process: Process::start(&mut command, Signal::QUIT), port };
        until("PostgreSQL was to start", || {
            server.process.must_run();
            let mut ask = Command::new(format!("{BIN}/pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status().unwrap().success()
        });
        server
    }

    /// Its URL as superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

/// A SeaweedFS server with everything in one process.
pub struct SeaweedFs {
    process: Process,
    ports: [u16; 4],
    folder: PathBuf,
}

impl SeaweedFs {
    /// In a folder that is new or archived; an archived one opens on its own ports only.
    pub fn start(folder: &Path, ports: [u16; 4]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let (key, secret) = engines::s3_keys();
        let actions = r#"["Admin","Read","Write","List","Tagging"]"#;
        let keys = format!(r#"[{{"accessKey":"{key}","secretKey":"{secret}"}}]"#);
        let users = format!(r#"{{"identities":[{{"name":"vault","credentials":{keys},"actions":{actions}}}]}}"#);
        let users_file = folder.join("users.json");
        std::fs::write(&users_file, users).unwrap();
        let log = std::fs::File::create(folder.with_extension("log")).unwrap();
        let [s3, master, volume, filer] = ports;
        let mut command = Command::new(engine("OUBLIETTE_TEST_WEED"));
        command.arg(format!("-logdir={}", folder.display())).arg("server").arg(format!("-dir={}", folder.display()));
        command.args([
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]);
        command.arg(format!("-s3.config={}", users_file.display()));
        command.args([format!("-s3.port={s3}"), format!("-master.port={master}")]);
        command.args([format!("-volume.port={volume}"), format!("-filer.port={filer}")]);
        command.args(["-volume.max=100", "-volume.preStopSeconds=1", "-master.volumeSizeLimitMB=64"]);
        command.args(["-master.electionTimeout=1s", "-master.telemetry=false"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::start(&mut command, Signal::KILL);
        Self { process, ports, folder: folder.to_owned() }
    }

    /// Waits until it takes and gives objects.
    pub fn wait(&self) {
        let [s3, master, ..] = self.ports;
        let asked = |url: &str| Command::new("curl").args(["-sf", url]).stdin(Stdio::null()).output().unwrap();
        until(&format!("SeaweedFS in {} was to start", self.folder.display()), || {
            let assigned = asked(&format!("http://127.0.0.1:{master}/dir/assign"));
            String::from_utf8_lossy(&assigned.stdout).contains("\"fid\"")
                && asked(&format!("http://127.0.0.1:{s3}/healthz")).status.success()
        });
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }
}

/// A program of PostgreSQL's, as a user that it accepts.
fn postgres(program: &str) -> Command {
    let program = format!("{BIN}/{program}");
    if !openbao::is_root() {
        return Command::new(program);
    }
    // Not runuser, which stays as a parent between.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", &program]);
    command
}

fn append(file: &Path, lines: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, format!("{text}\n{lines}")).unwrap();
}

/// Makes an empty folder that belongs to PostgreSQL's user.
fn own_folder(path: &Path) {
    std::fs::create_dir(path).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
    own(path);
}

fn own(path: &Path) {
    if openbao::is_root() {
        run(Command::new("chown").args(["-R", "postgres:"]).arg(path));
    }
}

/// So that PostgreSQL's user can enter a temporary folder.
pub fn enterable(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}
