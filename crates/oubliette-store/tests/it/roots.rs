//! Root stores. Here the file register on real files; the others have files of their own.

mod bao;
mod conformance;
mod keyed;
mod life;
pub mod moody;
mod openbao;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod pretend;
mod proxy;
mod shares;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use keyforest::media::{SLOT_BYTES, SlotDevice};
use oubliette_store::roots::{FileRegister, RegisterError, Weight, assess, fiemap};
use tempfile::TempDir;

#[test]
fn a_slot_is_overwritten_in_place_and_survives_reopening() {
    let home = TempDir::new().unwrap();
    let (directory, data) = (home.path().join("r"), home.path().join("d"));
    let register = FileRegister::open(&directory, &data).unwrap();
    assert_eq!(register.class(), "file");
    register.write_slot(0, &[1; SLOT_BYTES]).unwrap();
    register.write_slot(1, &[2; SLOT_BYTES]).unwrap();
    register.write_slot(0, &[3; SLOT_BYTES]).unwrap();
    assert!(register.write_slot(2, &[4; SLOT_BYTES]).is_err());
    drop(register);
    let register = FileRegister::open(&directory, &data).unwrap();
    assert_eq!(*register.read_slot(0).unwrap(), [3; SLOT_BYTES]);
    assert_eq!(*register.read_slot(1).unwrap(), [2; SLOT_BYTES]);
    assert_eq!(fs::metadata(register.path()).unwrap().len(), 2 * SLOT_BYTES as u64);
}

#[test]
fn the_file_register_conforms() {
    let home = TempDir::new().unwrap();
    let (directory, data) = (home.path().join("r"), home.path().join("d"));
    conformance::conforms("file", &|| std::sync::Arc::new(FileRegister::open(&directory, &data).unwrap()));
}

#[test]
fn two_processes_never_hold_one_register() {
    let home = TempDir::new().unwrap();
    let (directory, data) = (home.path().join("r"), home.path().join("d"));
    let first = FileRegister::open(&directory, &data).unwrap();
    assert!(matches!(FileRegister::open(&directory, &data), Err(RegisterError::Held)));
    drop(first);
    FileRegister::open(&directory, &data).unwrap();
}

#[test]
fn a_register_in_the_data_folder_is_refused_however_it_is_named() {
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    symlink(&data, home.path().join("alias")).unwrap();
    for directory in ["data", "data/register", "data/a/b", "alias/register", "data/../data/x"] {
        let opened = FileRegister::open(&home.path().join(directory), &data);
        assert!(matches!(opened, Err(RegisterError::InsideDataFolder)), "{directory}");
    }
    FileRegister::open(&FileRegister::default_directory(&data), &data).unwrap();
    assert!(home.path().join("data.register/register").exists());
}

#[test]
fn the_register_is_private_and_tagged_against_backups() {
    let home = TempDir::new().unwrap();
    let directory = home.path().join("r");
    let register = FileRegister::open(&directory, &home.path().join("d")).unwrap();
    assert_eq!(fs::metadata(register.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    let tag = fs::read(directory.join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with(b"Signature: 8a477f597d28d172789f06886806bc55"));
}

#[test]
fn a_register_cut_short_while_it_was_made_is_completed_and_a_foreign_file_refused() {
    let home = TempDir::new().unwrap();
    let (directory, data) = (home.path().join("r"), home.path().join("d"));
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("register"), [0; SLOT_BYTES]).unwrap();
    drop(FileRegister::open(&directory, &data).unwrap());
    assert_eq!(fs::metadata(directory.join("register")).unwrap().len(), 2 * SLOT_BYTES as u64);
    fs::write(directory.join("register"), [0; 3 * SLOT_BYTES]).unwrap();
    assert!(matches!(FileRegister::open(&directory, &data), Err(RegisterError::Malformed)));
}

#[test]
fn the_blocks_of_a_register_stay_where_they_are_and_a_move_lowers_the_class() {
    let home = TempDir::new().unwrap();
    let (directory, data) = (home.path().join("r"), home.path().join("d"));
    let register = FileRegister::open(&directory, &data).unwrap();
    let first = assess(&register).unwrap();
    assert_eq!(first.class, "file");
    let open = fs::File::open(register.path()).unwrap();
    let Ok(before) = fiemap::extents(&open) else { return };
    for n in 0..20 {
        register.write_slot(n % 2, &[n as u8; SLOT_BYTES]).unwrap();
    }
    assert_eq!(fiemap::extents(&open).unwrap(), before);
    assert_eq!(assess(&register).unwrap(), first);
    // Remembered elsewhere than it is: somebody has copied the file or moved its blocks.
    fs::write(directory.join("extents"), "0 4096 8192\n").unwrap();
    let moved = assess(&register).unwrap();
    assert!(!moved.verified);
    let new = moved.findings.iter().filter(|finding| !first.findings.contains(finding));
    assert_eq!(new.filter(|finding| finding.weight == Weight::Lowers).count(), 1, "{moved:?}");
}
