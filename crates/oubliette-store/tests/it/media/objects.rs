//! What is particular to objects: many small ones, and processes that were passed over.

use futures::TryStreamExt;
use keyforest::media::Medium;
use object_store::{ObjectStore, ObjectStoreExt};
use oubliette_store::media::Place;

use super::setup::{bucket, claim, database, objects, objects_through, prefix, try_objects, wait};

fn count(prefix: &str) -> usize {
    let bucket = bucket(None);
    wait(async { bucket.list(Some(&prefix.into())).try_collect::<Vec<_>>().await.unwrap().len() })
}

#[test]
fn many_short_objects_are_joined_and_say_the_same() {
    let prefix = prefix();
    let place = objects(&prefix);
    place.create("file", 0).unwrap();
    let mut expected = Vec::new();
    for n in 0..600_usize {
        let bytes = vec![n as u8; 50 + n % 7];
        place.write_at("file", expected.len() as u64, &bytes).unwrap();
        place.flush("file").unwrap();
        expected.extend(bytes);
    }
    assert!(count(&prefix) < 300, "{}", count(&prefix));
    assert_eq!(place.read_back("file", 0, expected.len()).unwrap(), expected);
    let place = objects(&prefix);
    assert_eq!(place.read_back("file", 0, expected.len()).unwrap(), expected);
    assert_eq!(place.held("file").unwrap().as_slice(), std::slice::from_ref(&(0..expected.len() as u64)));
    place.remove("file").unwrap();
    assert_eq!(count(&prefix), 0);
}

#[test]
fn what_was_written_over_is_removed() {
    let prefix = prefix();
    let place = objects(&prefix);
    place.create("file", 0).unwrap();
    for n in 0..20 {
        place.write_at("file", 10, &[n; 100]).unwrap();
        place.flush("file").unwrap();
    }
    // The file's own mark, and what counts.
    assert_eq!(count(&prefix), 2);
    assert_eq!(objects(&prefix).read_back("file", 10, 100).unwrap(), [19; 100]);
}

#[test]
fn what_a_process_writes_or_removes_that_was_passed_over_counts_for_nothing() {
    let prefix = prefix();
    let old = objects(&prefix);
    old.create("live", 0).unwrap();
    old.write_at("live", 0, &[1; 100]).unwrap();
    old.flush("live").unwrap();
    old.create("dead", 0).unwrap();
    let new = objects(&prefix);
    new.write_at("live", 100, &[2; 100]).unwrap();
    new.flush("live").unwrap();
    new.remove("dead").unwrap();
    new.create("dead", 0).unwrap();
    new.write_at("dead", 0, &[2; 10]).unwrap();
    new.flush("dead").unwrap();
    // Now the old one wakes.
    old.write_at("live", 100, &[3; 60]).unwrap();
    old.flush("live").unwrap();
    old.remove("dead").unwrap();
    let next = objects(&prefix);
    assert_eq!(next.read_back("live", 0, 200).unwrap(), [[1; 100], [2; 100]].concat());
    assert_eq!(next.read_back("dead", 0, 10).unwrap(), [2; 10]);
}

#[test]
fn an_object_that_was_lost_is_a_hole_and_no_wrong_bytes() {
    let prefix = prefix();
    let place = objects(&prefix);
    place.create("file", 0).unwrap();
    for n in 0..3 {
        place.write_at("file", n * 10, &[n as u8; 10]).unwrap();
        place.flush("file").unwrap();
    }
    let bucket = bucket(None);
    wait(async {
        let listed: Vec<_> = bucket.list(Some(&prefix.as_str().into())).try_collect().await.unwrap();
        let middle = listed.iter().find(|object| object.location.as_ref().contains("-e-000000000000000a-")).unwrap();
        object_store::ObjectStoreExt::delete(&bucket, &middle.location).await.unwrap();
    });
    // This process knows that it was there.
    let error = place.read_back("file", 0, 30).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Other);
    assert_eq!(objects(&prefix).held("file").unwrap(), [0..10, 20..30]);
}

#[test]
fn a_database_that_begins_anew_still_gives_higher_numbers_than_the_bucket_has_seen() {
    let prefix = prefix();
    objects(&prefix).create("file", 0).unwrap();
    let mut seen = 0;
    for round in 0..3_u8 {
        // A new database each time: its first claim is number 1.
        let database = database();
        let claim = claim(&database.url());
        assert_eq!(claim.number(), 1);
        let place = objects_through(None, &prefix, &claim);
        place.write_at("file", 0, &[round; 3]).unwrap();
        place.flush("file").unwrap();
        let number = claim.number_above(0).unwrap();
        assert!(number > seen, "{number} after {seen}");
        seen = number;
        claim.values().put("name", b"the claim goes on under its new number").unwrap();
    }
    assert_eq!(objects(&prefix).read_back("file", 0, 3).unwrap(), [2; 3]);
}

#[test]
fn an_object_of_a_generation_that_never_was_is_refused_and_once_it_is_gone_all_is_well() {
    let (prefix, database) = (prefix(), database());
    let claim = claim(&database.url());
    let place = objects_through(None, &prefix, &claim);
    place.create("file", 0).unwrap();
    drop(place);
    let invented = format!("{prefix}/file/{:016x}-{:016x}-m-{:016x}-{:016x}-{:016x}", i64::MAX - 1, 1, 0, 0, 7);
    let bucket = bucket(None);
    wait(bucket.put(&invented.as_str().into(), b"made".as_slice().into())).unwrap();
    let refused = try_objects(&prefix, |newest| claim.number_above(newest)).err().unwrap();
    assert!(refused.to_string().contains("7ffffffffffffffe"), "{refused}");
    wait(bucket.delete(&invented.as_str().into())).unwrap();
    let place = objects_through(None, &prefix, &claim);
    assert_eq!(place.list().unwrap(), [("file".to_owned(), 0)]);
    claim.confirm().unwrap();
}
