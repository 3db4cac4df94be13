//! The real program as a child process in a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a child may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a vault in it, removed in the end.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// An empty one, on the filesystem of the build.
    pub fn new() -> Self {
        Self { folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The vault's data folder.
    pub fn data(&self) -> PathBuf {
        self.join("vault")
    }

    /// A command of the program, run in the folder without any setting of the environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OUBLIETTE_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    /// Runs a command to its end, with some settings of the environment.
    pub fn run_with(&self, arguments: &[&str], set: &[(&str, &str)]) -> Ran {
        Ran::of(self.command(arguments).envs(set.iter().copied()).output().unwrap())
    }

    /// Starts a program that serves, its standard output to be read.
    pub fn start(&self, arguments: &[&str]) -> Server {
        self.start_with(arguments, &[])
    }

    /// The same with some settings of the environment.
    pub fn start_with(&self, arguments: &[&str], set: &[(&str, &str)]) -> Server {
        let mut command = self.command(arguments);
        command.envs(set.iter().copied());
        let log = std::fs::File::create(self.join("stderr")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Server { child, out, log: self.join("stderr"), data: self.data() }
    }

    /// Starts `serve` on a free port and waits until it is ready.
    pub fn serve(&self, more: &[&str]) -> Server {
        let data = self.data();
        let mut arguments = vec!["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        arguments.extend(more);
        let mut server = self.start(&arguments);
        server.wait_for_endpoint();
        server
    }
}

/// The binary: the one built with the tests, or the one that `OUBLIETTE_BINARY` names.
fn binary() -> PathBuf {
    std::env::var_os("OUBLIETTE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_oubliette").into(), PathBuf::from)
}

/// How a command ended.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

/// A running program; killed when dropped.
pub struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    log: PathBuf,
    data: PathBuf,
}

impl Server {
    /// The next line of its standard output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the program ended: {}", self.log());
        line
    }

    /// Waits until it can be asked; gives the listener's address.
    pub fn wait_for_endpoint(&mut self) -> String {
        let begun = Instant::now();
        loop {
            let endpoint = std::fs::read(self.data.join("run").join("endpoint.json")).ok();
            let endpoint = endpoint.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            if let Some(endpoint) = endpoint
                && endpoint["pid"].as_u64() == Some(u64::from(self.child.id()))
            {
                return endpoint["url"].as_str().unwrap().to_owned();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the program ended with {status}: {}", self.log());
            }
            assert!(begun.elapsed() < PATIENCE, "the program does not serve: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks it to stop in good order.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Stops it where it stands.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on after [`Server::pause`].
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Ends it without a chance to do anything more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has not ended.
    pub fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; gives the exit code.
    pub fn wait(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(begun.elapsed() < PATIENCE, "the program does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it in good order; fails unless it ends with 0.
    pub fn stop(mut self) {
        self.terminate();
        let code = self.wait();
        assert_eq!(code, 0, "{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A generated file must be what the program generates; `UPDATE_DOCS=1` writes it.
#[track_caller]
pub fn assert_current(file: &str, generated: &str) {
    let path = repository().join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == generated, "{file} is not current: run the tests once with UPDATE_DOCS=1");
}
