//! Small named values.

use keyforest::media::is_not_done;
use oubliette_store::media::postgres::{KeyDatabase, Onlooker};

use super::setup::{claim, database, options};
use crate::postgres::cluster::Cluster;

#[test]
fn values_are_kept_replaced_and_found_by_the_next_process() {
    let database = database();
    let values = claim(&database.url()).values();
    assert_eq!(values.get("root").unwrap(), None);
    values.put("root", b"one").unwrap();
    values.put("other", &vec![7; 100_000]).unwrap();
    values.put("root", b"two").unwrap();
    assert_eq!(values.get("root").unwrap().unwrap(), b"two");
    drop(values);
    let values = claim(&database.url()).values();
    assert_eq!(values.get("root").unwrap().unwrap(), b"two");
    assert_eq!(values.get("other").unwrap().unwrap(), vec![7; 100_000]);
}

#[test]
fn who_looks_on_reads_values_without_a_claim_and_finds_none_where_there_is_no_key_state() {
    let database = database();
    let onlooker = Onlooker::new(&options(&database.url()).server).unwrap();
    assert_eq!(onlooker.value("node").unwrap(), None, "there are no tables");
    let values = claim(&database.url()).values();
    assert_eq!(onlooker.value("node").unwrap(), None);
    values.put("node", b"one").unwrap();
    assert_eq!(onlooker.value("node").unwrap().unwrap(), b"one");
    values.put("node", b"two").unwrap();
    assert_eq!(onlooker.value("node").unwrap().unwrap(), b"two");
}

#[test]
fn a_value_that_was_not_put_says_so_and_is_put_later() {
    let cluster = Cluster::start("", "");
    let values = KeyDatabase::open(options(&cluster.url())).unwrap().values();
    values.put("root", b"one").unwrap();
    cluster.stop("immediate");
    assert!(values.put("root", b"two").is_err_and(|error| is_not_done(&error)));
    cluster.run();
    let put = (0..100).find(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        values.put("root", b"two").is_ok()
    });
    assert!(put.is_some());
    assert_eq!(values.get("root").unwrap().unwrap(), b"two");
}
