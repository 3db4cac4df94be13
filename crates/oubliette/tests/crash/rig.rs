//! What the rigs stand on: a working folder, child processes that cannot outlive the test, disks that can be cut.
//!
//! Everything that has to be undone is undone by `Drop`, also when a test panics; what survives even that (the test being
//! killed) is found again by `test.sh` below `$OUBLIETTE_RIGS`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oubliette_core::testing::machine::cannot_run;

pub use crate::figures::figure;
use crate::figures::rigs;

/// Whether the slow lane runs, with its larger numbers.
pub fn slow_lane() -> bool {
    std::env::var("OUBLIETTE_LANE").is_ok_and(|lane| lane == "slow")
}

/// `fast` in the test command, `slow` in the slow lane, or what `OUBLIETTE_<name>` says.
pub fn count(name: &str, fast: usize, slow: usize) -> usize {
    let asked = std::env::var(format!("OUBLIETTE_{name}")).ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(if slow_lane() { slow } else { fast })
}

/// A folder of one test, removed when dropped.
pub struct Workspace {
    folder: PathBuf,
}

impl Workspace {
    /// Makes the folder of the test `name`.
    pub fn new(name: &str) -> Self {
        let folder = rigs().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("pids")).expect("the rigs' folder can be made");
        Self { folder }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("OUBLIETTE_KEEP").is_some() {
            eprintln!("kept: {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Whether this machine has what a rig needs. Without it a run with `CI=true` fails; any other leaves a note that
/// `test.sh` prints in large letters.
pub fn has_loop_devices(test: &str) -> bool {
    let reason = if !rustix::process::geteuid().is_root() {
        "needs root"
    } else if run("losetup", ["-f"]).is_err() {
        "needs loop devices"
    } else {
        return true;
    };
    cannot_run(test, reason);
    false
}

/// Whether all these commands exist; see [`has_loop_devices`].
pub fn has_commands(test: &str, commands: &[&str]) -> bool {
    for command in commands {
        if run("sh", ["-c", &format!("command -v {command}")]).is_err() {
            cannot_run(test, &format!("needs {command}"));
            return false;
        }
    }
    true
}

/// Whether networks can be made here; see [`has_loop_devices`].
pub fn has_namespaces(test: &str) -> bool {
    let name = format!("obf{}x", std::process::id());
    let made = run("ip", ["netns", "add", &name]).and_then(|_| run("ip", ["netns", "del", &name]));
    if let Err(error) = &made {
        cannot_run(test, &format!("needs network namespaces ({error})"));
    }
    made.is_ok()
}

/// Runs a command to its end; its output, or what went wrong.
pub fn run<I, S>(command: impl AsRef<OsStr>, arguments: I) -> Result<String, String>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let command = command.as_ref();
    let output = Command::new(command).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", command.display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("{}: {} {}", command.display(), output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Like [`run`]; the test ends when it fails.
#[track_caller]
pub fn must<I, S>(command: impl AsRef<OsStr>, arguments: I) -> String
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    run(command, arguments).unwrap_or_else(|error| panic!("{error}"))
}

/// A child that the kernel kills when the test ends in any way.
pub struct Process {
    child: Child,
    note: PathBuf,
}

impl Process {
    /// Starts `command`, its output appended to `log`.
    pub fn start(
        workspace: &Workspace,
        command: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        log: &Path,
    ) -> Self {
        let output = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log can be written");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a log can be shared"))
            .stderr(output)
            .spawn()
            .expect("setpriv is part of util-linux");
        let note = workspace.path("pids").join(child.id().to_string());
        let _ = fs::write(&note, started_at(child.id()).unwrap_or_default());
        Self { child, note }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit, if it ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if begun.elapsed() > limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it without warning and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it where it stands, as a machine without power stands: what it has not answered by now is never answered.
    pub fn freeze(&self) {
        must("kill", ["-STOP", &self.id().to_string()]);
        let stopped = |entry: &fs::DirEntry| {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // `D`: in the midst of a system call that will stop it on return.
            stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with(['T', 't', 'D', 'Z']))
        };
        for _ in 0..1000 {
            let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
            if tasks.map_or(true, |tasks| tasks.flatten().all(|task| stopped(&task))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("a process does not stop");
    }

    /// Lets it go on after [`Process::freeze`].
    pub fn thaw(&self) {
        must("kill", ["-CONT", &self.id().to_string()]);
    }

    /// Asks it to stop.
    pub fn terminate(&mut self) {
        let _ = run("kill", ["-TERM", &self.id().to_string()]);
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_file(&self.note);
    }
}

/// Start time of a process in clock ticks: with the id it names one process for ever.
fn started_at(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    Some(stat.rsplit(") ").next()?.split(' ').nth(19)?.to_owned())
}

/// A file system that the rigs make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
}

/// A file system on a loop device.
pub struct Disk {
    device: Option<String>,
    backing: PathBuf,
    mount: PathBuf,
    kind: Kind,
}

impl Disk {
    /// A fresh file system of `mib` MiB on an image in the workspace.
    pub fn create(workspace: &Workspace, name: &str, kind: Kind, mib: u64) -> Self {
        let image = workspace.path(&format!("{name}.img"));
        let file = fs::File::create(&image).expect("an image can be made");
        file.set_len(mib << 20).expect("an image can be sized");
        Self::make(workspace, name, kind, &image)
    }

    /// A fresh file system on a file that is there already (an export of another rig).
    pub fn make(workspace: &Workspace, name: &str, kind: Kind, backing: &Path) -> Self {
        let mount = workspace.path(name);
        fs::create_dir_all(&mount).expect("a mount point can be made");
        let mut disk = Self { device: None, backing: backing.to_owned(), mount, kind };
        let device = disk.attach();
        match kind {
            Kind::Ext4 => must("mkfs.ext4", ["-q", "-F", "-E", "nodiscard", &device]),
            Kind::Xfs => must("mkfs.xfs", ["-q", "-f", "-K", &device]),
        };
        disk.mount();
        disk
    }

    /// The file system that an image already has.
    #[track_caller]
    pub fn open(workspace: &Workspace, name: &str, kind: Kind, image: &Path) -> Self {
        Self::try_open(workspace, name, kind, image).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The file system that an image may have.
    pub fn try_open(workspace: &Workspace, name: &str, kind: Kind, image: &Path) -> Result<Self, String> {
        let mount = workspace.path(name);
        fs::create_dir_all(&mount).expect("a mount point can be made");
        let mut disk = Self { device: None, backing: image.to_owned(), mount, kind };
        disk.attach();
        disk.try_mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    fn attach(&mut self) -> String {
        let device = must("losetup", [OsStr::new("-f"), OsStr::new("--show"), self.backing.as_os_str()]);
        self.device = Some(device.clone());
        device
    }

    #[track_caller]
    fn mount(&self) {
        self.try_mount().unwrap_or_else(|error| panic!("{error}"));
    }

    fn try_mount(&self) -> Result<(), String> {
        let device = self.device.as_deref().expect("attached");
        // Two images copied from one have the same id, which xfs refuses without being told.
        let options = if self.kind == Kind::Xfs { "nouuid,noatime" } else { "noatime" };
        run("mount", [OsStr::new("-o"), OsStr::new(options), OsStr::new(device), self.mount.as_os_str()]).map(drop)
    }

    /// Power off: from this moment nothing reaches the disk, and what was not flushed is lost.
    pub fn cut(&self) {
        must("xfs_io", [OsStr::new("-x"), OsStr::new("-c"), OsStr::new("shutdown"), self.mount.as_os_str()]);
    }

    /// Power on again after [`Disk::cut`]. Nobody may have files of it open.
    pub fn restore(&self) {
        self.unmount();
        self.mount();
    }

    /// The kernel finds the file system damaged and makes it read-only under whoever uses it, as `errors=remount-ro` asks
    /// for. For good, until [`Disk::restore`]. Only ext4 can be asked for that.
    pub fn turn_read_only(&self) {
        must("mount", [OsStr::new("-o"), OsStr::new("remount,errors=remount-ro"), self.mount.as_os_str()]);
        let device = self.device.as_deref().expect("attached").trim_start_matches("/dev/");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "for a test").expect("ext4 can be told of damage");
    }

    /// Mounts it read-only or writable again.
    pub fn read_only(&self, on: bool) -> Result<(), String> {
        let options = if on { "remount,ro" } else { "remount,rw" };
        run("mount", [OsStr::new("-o"), OsStr::new(options), self.mount.as_os_str()]).map(drop)
    }

    fn unmount(&self) {
        // A process that was killed a moment ago may still be letting go of its files.
        for _ in 0..200 {
            if run("umount", [&self.mount]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{} stays busy", self.mount.display());
    }

    /// Unmounts and detaches, so that the backing file holds all of it.
    pub fn close(mut self) {
        self.unmount();
        if let Some(device) = self.device.take() {
            must("losetup", ["-d", &device]);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(device) = self.device.take() {
            if run("umount", [&self.mount]).is_err() {
                let _ = run("umount", [OsStr::new("-l"), self.mount.as_os_str()]);
            }
            let _ = run("losetup", ["-d", &device]);
        }
    }
}
