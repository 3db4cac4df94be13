//! What a seal of one leaf costs on each medium, beside bare commits of the same bytes in the same run. Not a test of
//! anything: run by hand, `cargo nextest run figures --run-ignored all --no-capture`.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyforest::media::Medium;
use keyforest::{Change, Forest, ForestConfig, Leaf, LeafSet, Pins};
use object_store::ObjectStoreExt;
use oubliette_store::media::{Folder, Twin};
use tempfile::TempDir;

use super::setup::{bucket, claim, database, objects_through, prefix, stores, wait};

const SEALS: u64 = 200;

fn told(name: &str, times: &mut [Duration], bytes: u64) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("{name:32} median {:7.2} ms  95 % {:7.2} ms  best {:6.2} ms  {bytes} bytes", at(50), at(95), at(0));
}

fn timed(mut work: impl FnMut(u64)) -> Vec<Duration> {
    let one = |n| {
        let begun = Instant::now();
        work(n);
        begun.elapsed()
    };
    (0..SEALS).map(one).collect()
}

/// Seals one leaf after the other, of different buckets; the bytes of one seal.
fn seals(name: &str, medium: Arc<dyn Medium>) -> u64 {
    let home = TempDir::new().unwrap();
    let config = ForestConfig { reserve_bytes: 0, provision_buckets: 256, ..ForestConfig::default() };
    let forest = Forest::create(stores(medium, home.path()), config, b"", Pins::default()).unwrap();
    let mut bytes = 0;
    let mut times = timed(|n| {
        let leaf = Leaf((n % 256) * 1024 + n);
        let puncture: LeafSet = [leaf].into_iter().collect();
        bytes += forest.seal(&Change { puncture, ..Change::default() }).unwrap().bytes_written;
    });
    told(name, &mut times, bytes / SEALS);
    bytes / SEALS
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    let home = TempDir::new().unwrap();
    let database = database();
    let wal = || -> i64 {
        wait(async {
            let client = database.plain().await;
            client.query("SELECT (pg_current_wal_lsn() - '0/0')::bigint", &[]).await.unwrap()[0].get(0)
        })
    };
    let bytes = seals("folder alone", Arc::new(Folder::open(home.path().join("alone")).unwrap()));
    {
        let second = Folder::open(home.path().join("second")).unwrap();
        let first = claim(&database.url()).pages().unwrap();
        let before = wal();
        seals("PostgreSQL and a folder", Arc::new(Twin::open(Arc::new(first), Arc::new(second)).unwrap().0));
        println!("{:32} {} bytes of the server's log a seal", "", (wal() - before) / SEALS as i64);
    }
    let other = super::setup::database();
    let first = claim(&other.url());
    let second = objects_through(None, &prefix(), &first);
    let twin = Twin::open(Arc::new(first.pages().unwrap()), Arc::new(second)).unwrap().0;
    seals("PostgreSQL and S3", Arc::new(twin));
    drop(first);

    // Bare commits of the same bytes: the pages, and the two slots.
    let (pages, slot) = (vec![7_u8; bytes as usize - 8192], vec![7_u8; 4096]);
    let store = bucket(None);
    let mut file = File::create(home.path().join("file")).unwrap();
    let mut three_files = timed(|_| {
        for bytes in [&pages, &slot, &slot] {
            file.write_all(bytes).unwrap();
            file.sync_data().unwrap();
        }
    });
    told("three writes to a file", &mut three_files, bytes);
    wait(async {
        let client = database.plain().await;
        client
            .batch_execute("CREATE TABLE raw (bytes bytea); ALTER TABLE raw ALTER bytes SET STORAGE EXTERNAL")
            .await
            .unwrap();
        let insert = client.prepare("INSERT INTO raw (bytes) VALUES ($1)").await.unwrap();
        let (mut one, mut three, mut put) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..SEALS {
            let begun = Instant::now();
            client.execute(&insert, &[&pages]).await.unwrap();
            one.push(begun.elapsed());
            for _ in 0..2 {
                client.execute(&insert, &[&slot]).await.unwrap();
            }
            three.push(begun.elapsed());
            let begun = Instant::now();
            store.put(&format!("raw/{n}").into(), pages.clone().into()).await.unwrap();
            put.push(begun.elapsed());
        }
        told("one commit in PostgreSQL", &mut one, bytes - 8192);
        told("three commits in PostgreSQL", &mut three, bytes);
        told("one PUT", &mut put, bytes - 8192);
    });
}
