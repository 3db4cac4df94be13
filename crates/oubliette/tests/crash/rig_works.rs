//! The rigs themselves: a rig that breaks nothing would let every other test here pass.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::rig::{Disk, Kind, Process, Workspace, has_commands, has_loop_devices};
use crate::writelog::{LoggedDisk, Replay};

fn a_cut_loses_what_was_not_flushed(kind: Kind) {
    let test = "a_cut_loses_what_was_not_flushed";
    if !has_loop_devices(test) || !has_commands(test, &["xfs_io", "mkfs.xfs", "mkfs.ext4"]) {
        return;
    }
    let workspace = Workspace::new(&format!("cut-{kind:?}"));
    let disk = Disk::create(&workspace, "disk", kind, 512);
    let (kept, lost) = (disk.path().join("kept"), disk.path().join("lost"));
    let mut file = File::create(&kept).unwrap();
    file.write_all(b"flushed").unwrap();
    file.sync_all().unwrap();
    File::open(disk.path()).unwrap().sync_all().unwrap();
    file.write_all(b" and not flushed").unwrap();
    fs::write(&lost, b"never flushed").unwrap();
    drop(file);
    disk.cut();
    assert!(fs::write(&lost, b"after the cut").is_err(), "a disk without power takes nothing");
    disk.restore();
    assert_eq!(fs::read(&kept).unwrap(), b"flushed");
    assert!(!fs::read(&lost).is_ok_and(|bytes| bytes == b"never flushed"), "what was not flushed is gone");
    disk.close();
}

#[test]
fn a_cut_of_ext4_loses_what_was_not_flushed_and_only_that() {
    a_cut_loses_what_was_not_flushed(Kind::Ext4);
}

#[test]
fn a_cut_of_xfs_loses_what_was_not_flushed_and_only_that() {
    a_cut_loses_what_was_not_flushed(Kind::Xfs);
}

#[test]
fn a_process_of_a_rig_can_be_killed_and_its_note_goes_with_it() {
    let workspace = Workspace::new("process");
    let log = workspace.path("log");
    let mut process = Process::start(&workspace, Path::new("sleep"), &["1000"], &[], &log);
    assert!(process.ended().is_none());
    assert!(process.resident_kib() > 0);
    process.kill();
    assert!(process.wait(Duration::from_secs(1)).is_some());
    drop(process);
    assert_eq!(fs::read_dir(workspace.path("pids")).unwrap().count(), 0);
}

#[test]
fn a_logged_disk_can_be_rebuilt_as_it_was_at_a_flush() {
    let test = "a_logged_disk_can_be_rebuilt";
    if !has_loop_devices(test) || !has_commands(test, &["qemu-storage-daemon", "fusermount3", "mkfs.ext4"]) {
        return;
    }
    let workspace = Workspace::new("writelog");
    let logged = LoggedDisk::create(&workspace, 64, 512);
    let mut log = logged.log();
    let mut seen = |wanted: &[u8]| {
        let mut file = File::create(logged.path().join("file")).unwrap();
        file.write_all(wanted).unwrap();
        file.sync_all().unwrap();
        while log.read().unwrap().is_some() {}
        log.position()
    };
    let (first, second) = (seen(b"first"), seen(b"second"));
    let (log, size) = logged.finish();
    let image = workspace.path("image");
    for (moment, wanted) in [(first, "first"), (second, "second")] {
        let mut replay = Replay::begin(&log, &image, size).unwrap();
        let mut last = 0;
        while let Some(state) = replay.next_state().unwrap() {
            last = state.entry;
            if last >= moment {
                break;
            }
        }
        assert!(last >= moment.saturating_sub(1), "the log goes as far as it was seen to: {last} of {moment}");
        let disk = Disk::open(&workspace, "replayed", Kind::Ext4, &image);
        assert_eq!(fs::read_to_string(disk.path().join("file")).unwrap(), wanted);
        disk.close();
    }
}
