//! What joining the transparency log costs: `cargo bench -p oubliette-store --bench log`.
//!
//! Prints one line a figure: name, value, unit. Files go below the folder given by `BENCH_DIR` or the system's temporary one.
//! Entries have the size of a seal's. None of this is on the path of a delete's answer.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

use std::sync::Arc;
use std::time::Instant;

use oubliette_core::service::TransparencyLog;
use oubliette_store::media::Folder;

const ENTRY: usize = 300;

fn main() {
    let home = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let home = tempfile::tempdir_in(home).unwrap();
    let open = |sure| {
        let medium = Arc::new(Folder::open(home.path()).unwrap());
        TransparencyLog::alone(medium, "bench.example/log", [1; 32], sure).unwrap()
    };
    let log = open(0);
    for (batch, rounds) in [(1, 300), (32, 100), (1_000, 100)] {
        let entries = vec![vec![7; ENTRY]; batch];
        let begun = Instant::now();
        for _ in 0..rounds {
            log.append_bytes(&entries).unwrap();
        }
        let rate = (batch * rounds) as f64 / begun.elapsed().as_secs_f64();
        println!("append_{batch}_with_one_flush\t{rate:.0}\tentries/s");
    }
    let entries = vec![vec![7; ENTRY]; 10_000];
    while log.head().size < 1_000_000 {
        log.append_bytes(&entries).unwrap();
    }
    let (size, checkpoint) = (log.head().size, log.checkpoint());
    drop(log);
    let begun = Instant::now();
    let log = open(size);
    println!("open_{size}_entries\t{:.0}\tms", begun.elapsed().as_secs_f64() * 1e3);
    let (begun, proofs) = (Instant::now(), 200);
    for number in 0..proofs {
        log.inclusion(number * (size / proofs), &checkpoint).unwrap();
    }
    println!("proof_in_a_tile_not_read_yet\t{:.2}\tms", begun.elapsed().as_secs_f64() * 1e3 / proofs as f64);
    let begun = Instant::now();
    for number in 0..proofs {
        log.inclusion(size - 10_000 + number, &checkpoint).unwrap();
    }
    println!("proof_in_a_tile_just_read\t{:.2}\tms", begun.elapsed().as_secs_f64() * 1e3 / proofs as f64);
}
