//! A witness that shares nothing with the vault: the program `crates/oubliette-proof/tests/witness.py`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use oubliette::config::{Config, Transparency, Witness};
use oubliette_proof::note::Checkpoint;
use oubliette_proof::tree::TreeHead;

/// A witness with a folder of its own; ends with the test.
pub struct WitnessProgram {
    name: String,
    home: PathBuf,
    listen: String,
    setting: String,
    running: Option<Child>,
}

impl WitnessProgram {
    /// Starts one, below `home`, that knows the logs with these keys (one a line).
    pub fn start(home: &Path, name: &str, logs: &str) -> Self {
        let home = home.join(name);
        fs::create_dir_all(&home).unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let mut witness = Self { name: name.to_owned(), home, listen, setting: String::new(), running: None };
        witness.knows(logs);
        witness.run();
        witness
    }

    /// Runs it, once more after [`WitnessProgram::kill`]: at the same address, with what it remembers.
    pub fn run(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oubliette-proof/tests/witness.py");
        let errors = fs::File::create(self.home.join("errors")).unwrap();
        let mut command = Command::new("python3");
        command.arg(script).args(["--name", &self.name, "--listen", &self.listen]);
        command.arg("--state").arg(self.home.join("state")).arg("--logs").arg(self.home.join("logs"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn();
        let child = self.running.insert(child.expect("python3 is installed (./test.sh tools)"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = || fs::read_to_string(self.home.join("errors")).unwrap();
        assert!(line.starts_with(&format!("http://{}/ ", self.listen)), "{line}{}", told());
        assert!(self.setting.is_empty() || self.setting == line.trim_end(), "another key than before");
        self.setting = line.trim_end().to_owned();
    }

    /// Ends it where it stands.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// It is told the keys of the logs that it may sign for, one a line.
    pub fn knows(&self, logs: &str) {
        let new = self.home.join("logs.new");
        fs::write(&new, logs).unwrap();
        fs::rename(new, self.home.join("logs")).unwrap();
    }

    /// What `transparency.witnesses` says of it.
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// That setting as it is read.
    pub fn config(&self) -> Witness {
        let transparency = Transparency { witnesses: vec![self.setting.clone()], ..Transparency::default() };
        Config { transparency, ..Default::default() }.witnesses().unwrap().remove(0)
    }

    /// Its public key.
    pub fn key(&self) -> &str {
        self.setting.split_once(' ').unwrap().1
    }

    /// The status of each answer that it gave since it runs.
    pub fn answers(&self) -> Vec<u16> {
        let told = fs::read_to_string(self.home.join("errors")).unwrap();
        let status = |line: &str| line.split_once("\"POST /add-checkpoint HTTP/1.1\" ")?.1.get(..3)?.parse().ok();
        told.lines().filter_map(status).collect()
    }

    /// The head that it signed last of the log with this origin.
    pub fn seen(&self, origin: &str) -> TreeHead {
        let files = fs::read_dir(self.home.join("state")).unwrap().map(|file| file.unwrap().path());
        let texts = files.filter_map(|file| fs::read_to_string(file).ok());
        let mut heads = texts.filter_map(|text| Checkpoint::parse(&text).ok()).filter(|seen| seen.origin == origin);
        heads.next().map_or_else(TreeHead::empty, |seen| seen.head)
    }
}

impl Drop for WitnessProgram {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free now: the address is to be the same after a kill.
fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap()) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
