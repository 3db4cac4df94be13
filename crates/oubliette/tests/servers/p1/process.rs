//! A server of the test's own: it can be held still while its folder is copied, and ends with the test.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// For a server to start or to stop, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process with everything that it starts.
pub struct Process {
    child: Child,
    end: Signal,
}

impl Process {
    /// Starts it. `end` is the signal by which all of it ends without tidying up.
    pub fn start(command: &mut Command, end: Signal) -> Self {
        let child = command.current_dir("/").stdin(Stdio::null()).spawn().unwrap();
        Self { child, end }
    }

    /// Fails when it has ended.
    pub fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("a server ended: {:?} {:?}", status.code(), status.signal());
        }
    }
}

/// Processes that do nothing until this is dropped.
pub struct Frozen(Vec<Pid>);

impl Frozen {
    /// These, with everything that they have started.
    pub fn all(processes: &[&Process]) -> Self {
        let mut frozen = Self(Vec::new());
        // What is started while the list is read is on the next one.
        loop {
            let fresh: Vec<Pid> = tree(processes).into_iter().filter(|pid| !frozen.0.contains(pid)).collect();
            if fresh.is_empty() {
                return frozen;
            }
            for pid in fresh {
                let _ = kill_process(pid, Signal::STOP);
                frozen.0.push(pid);
            }
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// The processes and everything below them.
fn tree(processes: &[&Process]) -> Vec<Pid> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // Behind the name, which may hold anything: state, then the parent.
        let parent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse::<i32>().unwrap();
        parents.push((pid, parent));
    }
    let mut all: Vec<i32> = processes.iter().map(|process| i32::try_from(process.child.id()).unwrap()).collect();
    let mut at = 0;
    while at < all.len() {
        let parent = all[at];
        all.extend(parents.iter().filter(|process| process.1 == parent).map(|process| process.0));
        at += 1;
    }
    all.into_iter().filter_map(Pid::from_raw).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), self.end);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Waits until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what} in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program to its good end; what it says.
pub fn run(command: &mut Command) -> String {
    let ran = command.current_dir("/").stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// Ports that nobody listens on, nor on those 10,000 above, below the range from which the kernel gives ports to clients.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut next = 10_000 + u16::try_from(uuid::Uuid::new_v4().as_u128() % 10_000).unwrap();
    [(); N].map(|()| {
        loop {
            next = if next < 22_000 { next + 1 } else { 10_000 };
            if free(next) && free(next + 10_000) {
                return next;
            }
        }
    })
}
