//! Servers of a test's own, for what cannot be done to the shared one: settings, certificates, restarts, standbys.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// One server with its data in a folder of its own; stopped at the end.
pub struct Cluster {
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Cluster {
    /// A new server with these lines in its configuration and these before the usual ones about who may connect.
    pub fn start(configuration: &str, access: &str) -> Self {
        let cluster = Self::folder();
        let data = cluster.data();
        let arguments =
            ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--data-checksums"];
        cluster.command("initdb").arg("-D").arg(&data).args(arguments).run();
        cluster.append("postgresql.conf", &cluster.settings());
        cluster.append("postgresql.conf", configuration);
        let hba = data.join("pg_hba.conf");
        let usual = std::fs::read_to_string(&hba).unwrap();
        std::fs::write(&hba, format!("{access}\n{usual}\nhost replication all 127.0.0.1/32 trust\n")).unwrap();
        cluster.run();
        cluster
    }

    /// A standby that follows this server.
    pub fn standby(&self, configuration: &str) -> Self {
        let standby = Self::folder();
        let data = standby.data();
        let from = format!("host=127.0.0.1 port={} user=postgres application_name=standby", self.port);
        standby.command("pg_basebackup").arg("-d").arg(from).arg("-D").arg(&data).args(["-R", "-c", "fast"]).run();
        standby.append("postgresql.conf", &standby.settings());
        standby.append("postgresql.conf", configuration);
        standby.run();
        standby
    }

    /// Its URL as superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A file in its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Adds lines to one of its files.
    pub fn append(&self, file: &str, lines: &str) {
        let path = self.data().join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, format!("{text}\n{lines}\n")).unwrap();
        own(&path);
    }

    /// Puts a file into its data folder, readable by the server alone.
    pub fn put(&self, file: &str, text: &str) {
        let path = self.data().join(file);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        own(&path);
    }

    /// Starts it.
    pub fn run(&self) {
        let log = self.folder.path().join("log");
        self.command("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-l"]).arg(log).arg("start").run();
    }

    /// Stops it, `fast` or `immediate` (as a crash would).
    pub fn stop(&self, mode: &str) {
        self.command("pg_ctl").arg("-D").arg(self.data()).args(["-m", mode, "-w", "stop"]).run();
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.command("pg_ctl").arg("-D").arg(self.data()).args(["-w", "promote"]).run();
    }

    fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        own(folder.path());
        Self { folder, port: free_port() }
    }

    fn settings(&self) -> String {
        format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nshared_buffers = 32MB\n\
             max_connections = 60\nmax_wal_senders = 6\nwal_level = replica\n",
            self.port,
            self.folder.path().display()
        )
    }

    /// A program of the server's, as a user it accepts.
    fn command(&self, program: &str) -> Command {
        let program = format!("{BIN}/{program}");
        let mut command = if root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", &program]);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/").stdout(Stdio::null()).stdin(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self
            .command("pg_ctl")
            .arg("-D")
            .arg(self.data())
            .args(["-m", "immediate", "-w", "stop"])
            .stderr(Stdio::null())
            .status();
    }
}

trait Run {
    fn run(&mut self);
}

impl Run for Command {
    fn run(&mut self) {
        let status = self.status().unwrap();
        assert!(status.success(), "{self:?}: {status}");
    }
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

fn own(path: &Path) {
    if root() {
        Command::new("chown").arg("postgres:").arg(path).run();
    }
}

/// A port nobody listens on, below the range from which the kernel gives ports to clients.
pub fn free_port() -> u16 {
    let begin = 10_000 + u16::try_from(uuid::Uuid::new_v4().as_u128() % 11_000).unwrap();
    (begin..22_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
