//! A device that from some moment on takes no more writes (nbdkit's error filter below a loop device).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::check::hold;
use crate::load::World;
use crate::program::Program;
use crate::random::Random;
use crate::rig::{Disk, Kind, Process, Workspace, count, figure, has_commands, has_loop_devices, run};
use crate::session::{load_for, moment};

/// A disk in the memory of a daemon, with a switch.
struct DyingDisk {
    disk: Option<Disk>,
    daemon: Process,
    export: PathBuf,
    switch: PathBuf,
}

impl DyingDisk {
    fn create(workspace: &Workspace, mib: u64) -> Self {
        let (export, switch) = (workspace.path("export.img"), workspace.path("dead"));
        File::create(&export).expect("an export's mount point can be made");
        let (size, file) = (format!("{mib}M"), format!("error-file={}", switch.display()));
        let arguments = [
            export.to_str().expect("a path of letters"),
            "--command",
            "nbdkit",
            "-s",
            "memory",
            &size,
            "--filter=error",
            "error-pwrite=EIO",
            "error-pwrite-rate=100%",
            "error-zero=EIO",
            "error-zero-rate=100%",
            "error-trim=EIO",
            "error-trim-rate=100%",
            &file,
        ];
        let daemon = Process::start(workspace, Path::new("nbdfuse"), &arguments, &[], &workspace.path("nbdfuse.log"));
        for _ in 0..500 {
            if fs::metadata(&export).is_ok_and(|export| export.len() == mib << 20) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let disk = Disk::make(workspace, "dying", Kind::Ext4, &export);
        Self { disk: Some(disk), daemon, export, switch }
    }

    fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("there until dropped")
    }

    /// From now on every write fails.
    fn die(&self) {
        File::create(&self.switch).expect("a switch can be made");
    }

    /// Writes work again.
    fn heal(&self) {
        fs::remove_file(&self.switch).expect("it had died");
    }
}

impl Drop for DyingDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.switch);
        drop(self.disk.take());
        let _ = run("fusermount3", ["-u", self.export.to_str().unwrap_or_default()]);
        self.daemon.terminate();
        self.daemon.wait(Duration::from_secs(2));
        self.daemon.kill();
        let _ = run("umount", [Path::new("-l"), self.export.as_path()]);
    }
}

#[tokio::test]
async fn a_disk_that_dies_under_load_loses_nothing_that_was_answered() {
    let test = "dying-disk";
    if !has_loop_devices(test) || !has_commands(test, &["nbdkit", "nbdfuse", "fusermount3", "mkfs.ext4", "xfs_io"]) {
        return;
    }
    let (deaths, begun) = (count("DEATHS", 6, 30), Instant::now());
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let dying = DyingDisk::create(&workspace, 1024);
    let disk = dying.disk();
    let program = Program::create(&workspace, &disk.path().join("data"), &disk.path().join("register")).await;
    let world: Arc<World> = World::new(&mut random);
    for _ in 0..deaths {
        let mut running = program.start().await;
        hold(&world, &running.clients, &mut random, false).await;
        world.settle(&format!("after the disk had died\n{}", program.log_tail()));
        let span = moment(&mut random, 1500);
        let mut load = load_for(&world, &mut running, &mut random, span).await;
        dying.die();
        // It must end by itself: nobody knows what is on the disk.
        if load.fell_silent(Duration::from_secs(20)).await {
            running.media_failed().unwrap_or_else(|how| world.complain(how));
        } else {
            world.complain("the program goes on serving changes on a disk that takes none".to_owned());
        }
        running.process.kill();
        load.end().await;
        drop(running);
        // Power off as well: what only the cache has is gone.
        disk.cut();
        dying.heal();
        disk.restore();
    }
    let mut running = program.start().await;
    hold(&world, &running.clients, &mut random, true).await;
    world.settle(&format!("at the end\n{}", program.log_tail()));
    running.process.kill();
    drop(running);
    figure(
        test,
        &format!(
            "{deaths} deaths of a disk under load, each with a power cut, {} changes answered, {:.0} s",
            world.answered.load(Ordering::Relaxed),
            begun.elapsed().as_secs_f64()
        ),
    );
}
