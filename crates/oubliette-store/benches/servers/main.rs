//! What a vault on servers costs beside the bare servers, in one run:
//! `cargo bench -p oubliette-store --bench servers [-- quick]`.
//!
//! Needs the servers that `scripts/engines.sh` starts (its `env` file in the environment) and the program in
//! `OUBLIETTE_BINARY`, built for release. Starts real processes, asks them over HTTP as any client would, and does the same
//! rows with `pgbench` and the same objects with a plain S3 client on the same servers. Prints figures and asserts nothing:
//! a ratio is ours to the bare cost.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on should say where")]

mod load;
mod plain;
mod vault;

use serde_json::{Map, json};

use self::load::Load;
use self::plain::Plain;
use self::vault::Vault;

/// Bytes of each content: one that a plain system would keep as an object of its own.
const CONTENT: usize = 16 << 10;
/// Bytes of each recording that is read.
const LARGE: usize = 4 << 20;
/// Contents of each interaction that a purge covers.
const CONTENTS: usize = 4;

struct Numbers {
    /// Interactions stored, then deleted one by one.
    single: usize,
    /// Interactions of one customer, then purged.
    purged: usize,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // What cargo passes when it only looks whether there are tests.
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    let quick = arguments.iter().any(|argument| argument == "quick");
    let numbers = if quick { Numbers { single: 640, purged: 250 } } else { Numbers { single: 6_400, purged: 5_000 } };
    let mut figures = Map::new();
    let mut put = |name: &str, value: f64| {
        println!("{name:<40} {value:.3}");
        figures.insert(name.to_owned(), json!((value * 1000.0).round() / 1000.0));
    };

    let vault = Vault::make();
    let plain = Plain::make(&vault);
    let node = vault.serve(0).await;
    let load = Load::new(vec![node.url.clone()], &node.token);

    let (ids, ingest) = load.ingest(numbers.single, 1, None, CONTENT).await;
    put("ingest_per_s", ingest);
    let rows = plain.inserts_per_s(numbers.single);
    let objects = plain.puts_per_s(numbers.single, CONTENT).await;
    let bare = both(rows, objects);
    put("plain_inserts_per_s", rows);
    put("plain_puts_per_s", objects);
    put("ingest_ratio", bare / ingest);

    let deletes = load.delete(ids).await;
    put("sealed_deletes_per_s_c64", deletes);
    let rows = plain.deletes_per_s(numbers.single);
    let objects = plain.single_removals_per_s(numbers.single).await;
    put("plain_row_deletes_per_s_c64", rows);
    put("plain_object_deletes_per_s_c64", objects);
    put("delete_ratio_rows", rows / deletes);
    put("delete_ratio_rows_and_objects", both(rows, objects) / deletes);

    let phone = "+15125550142";
    load.ingest(numbers.purged, CONTENTS, Some(phone), CONTENT).await;
    let purge = load.purge(phone, numbers.purged).await * CONTENTS as f64;
    put("purge_contents_per_s", purge);
    plain.puts_per_s(numbers.purged * CONTENTS, CONTENT).await;
    let bulk = plain.bulk_removals_per_s().await;
    put("plain_bulk_removals_per_s", bulk);
    put("purge_gain_over_bulk_removal", purge / bulk);

    // The same again over three nodes: two pass on to the first, and read contents themselves.
    let fronts = [vault.serve(1).await, vault.serve(2).await];
    let nodes = [&node, &fronts[0], &fronts[1]].map(|node| node.url.clone());
    let three = Load::new(nodes.to_vec(), &node.token);
    for (name, load) in [("one_node", &load), ("three_nodes", &three), ("one_node_again", &load)] {
        let (ids, ingest) = load.ingest(numbers.single, 1, None, CONTENT).await;
        put(&format!("{name}_ingest_per_s"), ingest);
        let (large, _) = load.ingest(numbers.single / 64, 1, None, LARGE).await;
        put(&format!("{name}_read_mb_per_s"), load.read(&large, LARGE).await / 1e6);
        put(&format!("{name}_sealed_deletes_per_s_c64"), load.delete(ids).await);
    }

    drop(fronts);
    drop(node);
    vault.end();
    println!("{}", serde_json::to_string(&figures).unwrap());
}

/// The rate of doing one and then the other.
fn both(one: f64, other: f64) -> f64 {
    1.0 / (1.0 / one + 1.0 / other)
}
