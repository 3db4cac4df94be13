//! A primary and two standbys of which one has to have every commit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::rig::{Process, Workspace, must, run};

const BIN: &str = "/usr/lib/postgresql/15/bin";
const PORT: u16 = 5432;
/// Servers of the cluster.
pub const SERVERS: usize = 3;

/// The cluster.
pub struct Postgres<'w> {
    workspace: &'w Workspace,
    folder: PathBuf,
    addresses: Vec<String>,
    servers: Vec<Option<Process>>,
    primary: usize,
}

impl<'w> Postgres<'w> {
    /// Makes and starts it. `folder` is one that the user `postgres` can enter.
    pub fn start(workspace: &'w Workspace, folder: &Path, addresses: Vec<String>) -> Self {
        let servers = (0..SERVERS).map(|_| None).collect();
        let mut cluster = Self { workspace, folder: folder.to_owned(), addresses, servers, primary: 0 };
        let data = cluster.data(0);
        let data = data.to_str().unwrap();
        as_postgres(&[
            "initdb",
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]);
        cluster.configure(0);
        cluster.run_server(0);
        for standby in 1..SERVERS {
            cluster.copy(standby);
        }
        cluster.demand_standbys();
        cluster
    }

    /// Hosts and ports as a connection's URL names them.
    pub fn authority(&self) -> String {
        self.addresses.iter().map(|address| format!("{address}:{PORT}")).collect::<Vec<_>>().join(",")
    }

    /// The address of the server that takes writes.
    pub fn primary(&self) -> &str {
        &self.addresses[self.primary]
    }

    /// Runs SQL on the primary.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        must("psql", ["-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url(self.primary, database)])
    }

    /// The primary dies and starts again.
    pub async fn restart(&mut self, pause: Duration) {
        self.servers[self.primary] = None;
        tokio::time::sleep(pause).await;
        self.run_server(self.primary);
    }

    /// The primary dies, the standby that has most takes over, the others follow it.
    pub async fn fail_over(&mut self, pause: Duration) {
        let old = self.primary;
        self.servers[old] = None;
        tokio::time::sleep(pause).await;
        let received = |server: usize| {
            must(
                "psql",
                ["-qAt", "-c", "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn", &self.url(server, "postgres")],
            )
            .parse::<u64>()
            .unwrap()
        };
        let standbys = (0..SERVERS).filter(|server| *server != old);
        self.primary = standbys.max_by_key(|server| received(*server)).unwrap();
        self.sql("postgres", "SELECT pg_promote()");
        self.demand_standbys();
        let follower = (0..SERVERS).find(|server| *server != old && *server != self.primary).unwrap();
        let upstream = format!("ALTER SYSTEM SET primary_conninfo = '{}'", self.conninfo(follower));
        must("psql", ["-qAt", "-c", &upstream, &self.url(follower, "postgres")]);
        must("psql", ["-qAt", "-c", "SELECT pg_reload_conf()", &self.url(follower, "postgres")]);
        self.copy(old);
    }

    fn data(&self, server: usize) -> PathBuf {
        self.folder.join(format!("n{server}"))
    }

    fn url(&self, server: usize, database: &str) -> String {
        format!("postgres://postgres@{}:{PORT}/{database}?connect_timeout=10", self.addresses[server])
    }

    fn conninfo(&self, server: usize) -> String {
        format!("host={} port={PORT} user=postgres application_name=n{server}", self.primary())
    }

    fn demand_standbys(&self) {
        let others: Vec<_> =
            (0..SERVERS).filter(|server| *server != self.primary).map(|server| format!("n{server}")).collect();
        let demand = format!("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({})'", others.join(","));
        self.sql("postgres", &demand);
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Makes a server a copy of the primary that follows it.
    fn copy(&mut self, server: usize) {
        let data = self.data(server);
        let _ = std::fs::remove_dir_all(&data);
        let (data, upstream) = (data.to_str().unwrap().to_owned(), self.conninfo(server));
        as_postgres(&["pg_basebackup", "-D", &data, "-d", &upstream, "-R", "-c", "fast", "-X", "stream", "--no-sync"]);
        self.configure(server);
        self.run_server(server);
    }

    fn configure(&self, server: usize) {
        let (file, access) = (self.data(server).join("postgresql.conf"), self.data(server).join("pg_hba.conf"));
        let text = format!(
            "listen_addresses = '{}'\nport = {PORT}\nunix_socket_directories = ''\nmax_connections = 200\n\
             shared_buffers = 64MB\nmax_wal_senders = 8\nwal_keep_size = 1GB\ntcp_keepalives_idle = 5\n",
            self.addresses[server]
        );
        std::fs::write(file, text).unwrap();
        std::fs::write(access, "host all all 10.0.0.0/8 trust\nhost replication all 10.0.0.0/8 trust\n").unwrap();
    }

    fn run_server(&mut self, server: usize) {
        let (data, program) = (self.data(server), format!("{BIN}/postgres"));
        // What a killed one leaves behind; its process is gone.
        let _ = std::fs::remove_file(data.join("postmaster.pid"));
        let user =
            ["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "KILL", "--", &program, "-D"];
        let arguments: Vec<&str> = user.into_iter().chain([data.to_str().unwrap()]).collect();
        let log = self.folder.join(format!("n{server}.log"));
        self.servers[server] = Some(Process::start(self.workspace, Path::new("setpriv"), &arguments, &[], &log));
        let begun = Instant::now();
        while run("psql", ["-qAt", "-c", "SELECT 1", &self.url(server, "postgres")]).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "PostgreSQL does not start: {}", log.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn as_postgres(command: &[&str]) {
    let program = format!("{BIN}/{}", command[0]);
    must("runuser", ["-u", "postgres", "--", &program].into_iter().chain(command[1..].iter().copied()));
}
