//! What every medium does, as functions over the trait.

use std::io::ErrorKind;
use std::sync::Arc;

use keyforest::media::Medium;
use oubliette_core::service::TransparencyLog;
use oubliette_store::media::{Folder, Twin};
use tempfile::TempDir;

use super::setup::{claim, database, objects, objects_through, prefix};

/// Opens the same medium again and again; each time as a process that has just started.
type Open<'a> = dyn FnMut() -> Arc<dyn Medium> + 'a;

fn bytes(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 ^ salt).collect()
}

/// All of them.
fn conforms(open: &mut Open<'_>) {
    what_is_flushed_is_there_after_a_start(open);
    ranges_are_read_exactly(open);
    what_is_not_flushed_is_read_and_replaced(open);
    files_are_made_once_cut_and_removed(open);
    names_are_plain(open);
    large_files_are_whole(open);
    two_threads_use_two_files(open);
    a_log_goes_on_after_each_start(open);
}

fn a_log_goes_on_after_each_start(open: &mut Open<'_>) {
    let (mut before, mut sure, mut entries) = (None, 0, Vec::new());
    for start in 0..4_u64 {
        let log = TransparencyLog::alone(open(), "log.example", [3; 32], sure).unwrap();
        assert!(before.is_none_or(|before| log.head() == before));
        for count in [1, 290, 7] {
            let first = entries.len() as u64;
            let some: Vec<Vec<u8>> = (0..count).map(|n| format!("entry {start} {count} {n}").into_bytes()).collect();
            assert_eq!(log.append_bytes(&some).unwrap(), first);
            entries.extend(some);
        }
        let checkpoint = log.checkpoint();
        for number in [0, 255, 256, entries.len() as u64 - 1] {
            assert_eq!(log.entry(number).unwrap(), entries[number as usize]);
            log.inclusion(number, &checkpoint).unwrap();
        }
        // The last entries are taken for unsure, and written once more.
        (before, sure) = (Some(log.head()), entries.len() as u64 - 3);
    }
    let medium = open();
    for (name, _) in medium.list().unwrap().into_iter().filter(|(name, _)| name.starts_with("log-")) {
        medium.remove(&name).unwrap();
    }
}

fn what_is_flushed_is_there_after_a_start(open: &mut Open<'_>) {
    let medium = open();
    medium.create("start", 0).unwrap();
    medium.write_at("start", 0, &bytes(100, 1)).unwrap();
    medium.flush("start").unwrap();
    medium.write_at("start", 100, &bytes(50, 2)).unwrap();
    medium.write_at("start", 150, &bytes(50, 3)).unwrap();
    medium.flush("start").unwrap();
    medium.flush("start").unwrap();
    drop(medium);
    let medium = open();
    let expected = [bytes(100, 1), bytes(50, 2), bytes(50, 3)].concat();
    assert!(medium.list().unwrap().contains(&("start".to_owned(), 200)));
    assert_eq!(medium.read_at("start", 0, 200).unwrap(), expected);
    assert_eq!(medium.read_back("start", 0, 200).unwrap(), expected);
    medium.write_at("start", 90, &bytes(20, 4)).unwrap();
    medium.flush("start").unwrap();
    drop(medium);
    let medium = open();
    let expected = [&expected[..90], &bytes(20, 4), &expected[110..]].concat();
    assert_eq!(medium.read_back("start", 0, 200).unwrap(), expected);
    medium.remove("start").unwrap();
    drop(medium);
    assert!(open().list().unwrap().iter().all(|(name, _)| name != "start"));
}

fn ranges_are_read_exactly(open: &mut Open<'_>) {
    let medium = open();
    medium.create("ranges", 0).unwrap();
    let all = bytes(20_000, 5);
    for (number, part) in all.chunks(3000).enumerate() {
        medium.write_at("ranges", number as u64 * 3000, part).unwrap();
        medium.flush("ranges").unwrap();
    }
    for (offset, len) in [(0, 1), (1, 4096), (2999, 2), (3000, 3000), (8192, 11_808), (0, 20_000), (19_999, 1), (7, 0)]
    {
        let expected = &all[offset..offset + len];
        assert_eq!(medium.read_at("ranges", offset as u64, len).unwrap(), expected);
        if len > 0 {
            assert_eq!(medium.read_back("ranges", offset as u64, len).unwrap(), expected);
        }
    }
    for (offset, len) in [(19_999, 2), (20_001, 1), (30_000, 1)] {
        assert_eq!(medium.read_at("ranges", offset, len).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(medium.read_back("ranges", offset, len).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
    medium.remove("ranges").unwrap();
}

fn what_is_not_flushed_is_read_and_replaced(open: &mut Open<'_>) {
    let medium = open();
    medium.create("pending", 0).unwrap();
    medium.write_at("pending", 0, &bytes(100, 6)).unwrap();
    assert_eq!(medium.read_at("pending", 10, 50).unwrap(), bytes(100, 6)[10..60]);
    medium.flush("pending").unwrap();
    medium.write_at("pending", 50, &bytes(100, 7)).unwrap();
    medium.write_at("pending", 50, &bytes(70, 8)).unwrap();
    let expected = [&bytes(100, 6)[..50], &bytes(70, 8), &bytes(100, 7)[70..]].concat();
    assert_eq!(medium.read_at("pending", 0, 150).unwrap(), expected);
    medium.flush("pending").unwrap();
    assert_eq!(medium.read_back("pending", 0, 150).unwrap(), expected);
    medium.remove("pending").unwrap();
}

fn files_are_made_once_cut_and_removed(open: &mut Open<'_>) {
    let medium = open();
    let listed = |medium: &Arc<dyn Medium>| {
        let files = medium.list().unwrap();
        files.into_iter().find(|(name, _)| name == "file").map(|(_, len)| len)
    };
    medium.create("file", 1 << 16).unwrap();
    assert_eq!(medium.create("file", 0).unwrap_err().kind(), ErrorKind::AlreadyExists);
    drop(medium);
    let medium = open();
    assert_eq!(listed(&medium), Some(0));
    medium.write_at("file", 10, &bytes(90, 9)).unwrap();
    assert_eq!(listed(&medium), Some(100));
    medium.flush("file").unwrap();
    medium.truncate("file", 40).unwrap();
    assert_eq!(listed(&medium), Some(40));
    assert_eq!(medium.read_at("file", 30, 11).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    medium.write_at("file", 60, &bytes(10, 10)).unwrap();
    medium.flush("file").unwrap();
    let expected = [&[0; 10][..], &bytes(90, 9)[..30], &[0; 20], &bytes(10, 10)].concat();
    assert_eq!(medium.read_back("file", 0, 70).unwrap(), expected);
    drop(medium);
    let medium = open();
    assert_eq!(medium.read_at("file", 0, 70).unwrap(), expected);
    medium.truncate("file", 5).unwrap();
    medium.flush("file").unwrap();
    drop(medium);
    let medium = open();
    medium.remove("file").unwrap();
    for absent in [
        medium.read_at("file", 0, 1).unwrap_err(),
        medium.read_back("file", 0, 1).unwrap_err(),
        medium.write_at("file", 0, b"x").unwrap_err(),
        medium.flush("file").unwrap_err(),
        medium.remove("file").unwrap_err(),
        medium.truncate("file", 0).unwrap_err(),
    ] {
        assert_eq!(absent.kind(), ErrorKind::NotFound);
    }
    medium.create("file", 0).unwrap();
    assert_eq!(listed(&medium), Some(0));
    medium.remove("file").unwrap();
}

fn names_are_plain(open: &mut Open<'_>) {
    let medium = open();
    for name in ["", "..", "../x", "a/b", ".hidden"] {
        assert_eq!(medium.create(name, 0).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
}

fn large_files_are_whole(open: &mut Open<'_>) {
    let medium = open();
    medium.create("large", 0).unwrap();
    let part = bytes(5_000_000, 11);
    for number in 0..8 {
        medium.write_at("large", number * 5_000_000, &part).unwrap();
    }
    medium.flush("large").unwrap();
    drop(medium);
    let medium = open();
    assert!(medium.list().unwrap().contains(&("large".to_owned(), 40_000_000)));
    for at in [0, 4_999_990, 16_777_200, 39_999_900] {
        let expected: Vec<u8> = (at..at + 100).map(|n| part[(n % 5_000_000) as usize]).collect();
        assert_eq!(medium.read_at("large", at, 100).unwrap(), expected, "{at}");
    }
    assert_eq!(medium.read_back("large", 20_000_000, 5_000_000).unwrap(), part);
    medium.remove("large").unwrap();
}

fn two_threads_use_two_files(open: &mut Open<'_>) {
    let medium = open();
    std::thread::scope(|scope| {
        for name in ["left", "right"] {
            let medium = &medium;
            scope.spawn(move || {
                medium.create(name, 0).unwrap();
                for n in 0..20_u64 {
                    medium.write_at(name, n * 10, &bytes(10, n as u8)).unwrap();
                    medium.flush(name).unwrap();
                    assert_eq!(medium.read_back(name, n * 10, 10).unwrap(), bytes(10, n as u8));
                }
            });
        }
    });
    medium.remove("left").unwrap();
    medium.remove("right").unwrap();
}

#[test]
fn a_folder_conforms() {
    let home = TempDir::new().unwrap();
    conforms(&mut || Arc::new(Folder::open(home.path().join("deep/er")).unwrap()));
}

#[test]
fn rows_of_postgresql_conform() {
    let database = database();
    conforms(&mut || Arc::new(claim(&database.url()).pages().unwrap()));
}

#[test]
fn objects_conform() {
    let prefix = prefix();
    conforms(&mut || Arc::new(objects(&prefix)));
}

#[test]
fn rows_and_a_folder_conform_as_one() {
    let (home, database) = (TempDir::new().unwrap(), database());
    conforms(&mut || {
        let second = Folder::open_alone(home.path().join("second")).unwrap();
        Arc::new(Twin::open(Arc::new(claim(&database.url()).pages().unwrap()), Arc::new(second)).unwrap().0)
    });
}

#[test]
fn rows_and_objects_conform_as_one() {
    let (prefix, database) = (prefix(), database());
    conforms(&mut || {
        let first = claim(&database.url());
        let second = objects_through(None, &prefix, &first);
        Arc::new(Twin::open(Arc::new(first.pages().unwrap()), Arc::new(second)).unwrap().0)
    });
}

/// The media's threads may be waited for from a runtime's thread: the forest reads pages on its caller's.
#[tokio::test]
async fn media_may_be_called_from_a_runtime() {
    let database = crate::postgres::support::Database::fresh().await;
    let medium = claim(&database.url()).pages().unwrap();
    medium.create("a", 0).unwrap();
    medium.write_at("a", 0, b"bytes").unwrap();
    medium.flush("a").unwrap();
    assert_eq!(medium.read_at("a", 1, 3).unwrap(), b"yte");
}
