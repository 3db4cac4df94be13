//! The program under test: its configuration, credentials, starts and ends.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::clients::{Clients, Keys};
use crate::rig::{Process, Workspace, must, run};

/// How long a start with recovery may take.
const START_LIMIT: Duration = Duration::from_secs(90);

/// One vault and how to run it.
pub struct Program<'w> {
    workspace: &'w Workspace,
    config: PathBuf,
    log: PathBuf,
    base: String,
    keys: Keys,
}

/// The program running.
pub struct Running {
    pub process: Process,
    pub clients: Clients,
}

/// The code of a process whose medium failed, as the manual has it.
const MEDIUM_FAILED: i32 = 74;

impl Running {
    /// Waits until the program ends by itself, with the code of a failed medium; else tells how it went.
    pub fn media_failed(&mut self) -> Result<(), String> {
        match self.process.wait(Duration::from_secs(10)) {
            Some(status) if status.code() == Some(MEDIUM_FAILED) => Ok(()),
            Some(status) => Err(format!("a program whose medium failed ended with {status}")),
            None => Err("a program whose medium failed goes on and is silent".to_owned()),
        }
    }
}

/// The binary: the one built with the tests, or the one that `OUBLIETTE_BINARY` names.
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        std::env::var_os("OUBLIETTE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_oubliette").into(), PathBuf::from)
    });
    &BINARY
}

/// A port that nobody listens on, outside the range from which the system takes ports of outgoing connections: a program
/// is started on it again and again, and must find it free each time.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 10_000) as u16;
    let ports = std::iter::repeat_with(|| 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(12_000).find(free).expect("one of so many ports is free")
}

impl<'w> Program<'w> {
    /// A program on these folders; makes the vault and a credential of every dialect.
    pub async fn create(workspace: &'w Workspace, data: &Path, register: &Path) -> Self {
        let mut program = Self::on(workspace, data, register, Keys::default());
        let mut running = program.start().await;
        program.keys = program.make_credentials();
        running.process.terminate();
        assert!(running.process.wait(Duration::from_secs(30)).is_some(), "it stops when asked\n{}", program.log_tail());
        program
    }

    /// A program on folders that hold a vault already (a copy of another one's).
    pub fn on(workspace: &'w Workspace, data: &Path, register: &Path, keys: Keys) -> Self {
        let port = free_port();
        let config = workspace.path(&format!("oubliette-{port}.toml"));
        // Where overwriting in place is known to work the program must say so, also after every crash.
        let parent = register.parent().unwrap_or(register);
        let kind = run("stat", ["-f", "-c", "%T", &parent.to_string_lossy()]).unwrap_or_default();
        let unverified = !(kind == "xfs" || kind.starts_with("ext"));
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n\n[storage]\ndata = {data:?}\nregister = {register:?}\n\
             accept_unverified_register = {unverified}\nkey_reserve_bytes = 1048576\n\n[log]\nlevel = \"info\"\n",
        );
        fs::write(&config, text).expect("a configuration can be written");
        let log = workspace.path("program.log");
        Self { workspace, config, log, base: format!("http://127.0.0.1:{port}"), keys }
    }

    /// Where it listens.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its credentials.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What it logged, the last part of it.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn make_credentials(&self) -> Keys {
        let config = self.config.to_str().expect("a path of letters");
        Keys::make(|more| must(binary(), ["token", "create", "--config", config].iter().chain(more)))
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&self, variables: &[(&str, &str)]) -> Process {
        let config = self.config.to_str().expect("a path of letters");
        Process::start(self.workspace, binary(), &["serve", "--config", config], variables, &self.log)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it ends by itself or is not ready in time.
    pub async fn start(&self) -> Running {
        match self.try_start(&[]).await {
            Ok(running) => running,
            Err(status) => panic!("the program did not start: {status:?}\n{}", self.log_tail()),
        }
    }

    /// Starts it and waits until it is ready; its exit if it ended before.
    pub async fn try_start(&self, variables: &[(&str, &str)]) -> Result<Running, Option<ExitStatus>> {
        self.until_ready(self.spawn(variables)).await
    }

    /// Starts it under a tracer that lets the `nth` of these system calls of each thread fail with EIO.
    pub async fn start_failing(&self, calls: &str, nth: u64) -> Result<Running, Option<ExitStatus>> {
        self.start_traced(calls, &format!("error=EIO:when={nth}")).await
    }

    /// Starts it under a tracer that keeps these system calls from happening and says that they did.
    pub async fn start_lying(&self, calls: &str) -> Result<Running, Option<ExitStatus>> {
        self.start_traced(calls, "retval=0").await
    }

    async fn start_traced(&self, calls: &str, what: &str) -> Result<Running, Option<ExitStatus>> {
        let config = self.config.to_str().expect("a path of letters");
        let inject = format!("inject={calls}:{what}");
        let trace = format!("trace={calls}");
        let binary = binary().to_str().expect("a path of letters");
        // -D: the program is our child and the tracer its grandchild, so that a kill meets the program.
        let arguments =
            ["-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, binary, "serve", "--config", config];
        self.until_ready(Process::start(self.workspace, Path::new("strace"), &arguments, &[], &self.log)).await
    }

    async fn until_ready(&self, mut process: Process) -> Result<Running, Option<ExitStatus>> {
        let clients = Clients::new(&self.base, &self.keys);
        let begun = Instant::now();
        loop {
            if let Some(status) = process.ended() {
                return Err(Some(status));
            }
            if clients.get("/readyz").await.is_some_and(|reply| reply.status == 200) {
                return Ok(Running { process, clients });
            }
            if begun.elapsed() > START_LIMIT {
                return Err(None);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
