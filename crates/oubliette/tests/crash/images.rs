//! Images of a disk that cost next to nothing to copy: on a file system that shares blocks between copies, in memory.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::rig::{Disk, Kind, Workspace, must, run};

/// Most memory that images may take.
const LIMIT_MIB: u64 = 6 * 1024;

/// A place for the image of a disk and copies of it.
pub struct Images {
    // In this order: the disk lies in the memory.
    disk: Disk,
    _memory: Memory,
}

impl Images {
    /// An empty place.
    pub fn create(workspace: &Workspace) -> Self {
        let memory = Memory::mount(workspace);
        let backing = memory.0.join("images.raw");
        let file = fs::File::create(&backing).expect("an image can be made");
        file.set_len(LIMIT_MIB << 20).expect("an image can be sized");
        let disk = Disk::make(workspace, "images", Kind::Xfs, &backing);
        Self { disk, _memory: memory }
    }

    /// The image that is written on.
    pub fn image(&self) -> PathBuf {
        self.path("image.raw")
    }

    /// A place for a copy.
    pub fn path(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    /// Copies the image as it is; the copy takes room only where it is changed.
    pub fn copy(&self, to: &Path) {
        must("cp", [OsStr::new("--reflink=always"), self.image().as_os_str(), to.as_os_str()]);
    }
}

/// A file system in memory. It lies below the rigs' folder, so that `test.sh` finds it.
struct Memory(PathBuf);

impl Memory {
    fn mount(workspace: &Workspace) -> Self {
        let at = workspace.path("memory");
        fs::create_dir_all(&at).expect("a mount point can be made");
        let size = format!("size={}m", LIMIT_MIB + 64);
        must(
            "mount",
            [OsStr::new("-t"), "tmpfs".as_ref(), "-o".as_ref(), size.as_ref(), "images".as_ref(), at.as_ref()],
        );
        Self(at)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if run("umount", [&self.0]).is_err() {
            let _ = run("umount", [Path::new("-l"), self.0.as_path()]);
        }
    }
}
