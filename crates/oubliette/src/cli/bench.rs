//! `oubliette bench`

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use super::exit;
use crate::bench::{self, Options};

/// Measurements on this machine: a temporary vault on the filesystem of --data, real HTTP over loopback, real flushes, and
/// the bare cost of the same bytes in the same run. Ratios are ours to the bare cost: 1 would be free, smaller is better.
#[derive(clap::Args)]
#[command(after_help = "Example:  oubliette bench erase --data /srv --json\n\n\
    `erase` stores eleven recordings of 1 GiB and needs 15 GB of space; --quick needs little.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

enum Kind {
    Erase,
    Certificate,
    Ingest,
    Read,
}

#[derive(Subcommand)]
enum What {
    /// Sealed deletes: one at a time, 64 at once, purges of 100,000 contents, large against small, with a log against without
    Erase(Common),
    /// From the seal of an order of 1,000,000 items to its certificate and receipts, and the check of one
    Certificate(Common),
    /// Uploads: large recordings, and small ones on 64 connections
    Ingest(Common),
    /// Downloads: large recordings, and small ranges
    Read(Common),
}

#[derive(clap::Args)]
struct Common {
    /// Folder on the filesystem to be measured; everything made in it is removed again
    #[arg(long, value_name = "DIR", default_value = "oubliette-bench")]
    data: PathBuf,
    /// Small numbers: seconds instead of minutes
    #[arg(long)]
    quick: bool,
    /// Print one flat JSON object at the end
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    let (kind, common) = match args.what {
        What::Erase(common) => (Kind::Erase, common),
        What::Certificate(common) => (Kind::Certificate, common),
        What::Ingest(common) => (Kind::Ingest, common),
        What::Read(common) => (Kind::Read, common),
    };
    let fresh = !common.data.exists();
    let options = Options { folder: std::path::absolute(&common.data)?, quick: common.quick };
    let figures = match kind {
        Kind::Erase => bench::erase(&options).await,
        Kind::Certificate => bench::certificate(&options).await,
        Kind::Ingest => bench::ingest(&options).await,
        Kind::Read => bench::read(&options).await,
    };
    if fresh {
        // Only if nothing else came to lie in it.
        let _ = std::fs::remove_dir(&options.folder);
    }
    let figures = figures?;
    if common.json {
        say!("{}", serde_json::to_string(&figures)?);
    }
    Ok(exit::DONE)
}
