//! Measurements on this machine: a temporary vault, real HTTP over loopback, real flushes, and a bare baseline of the same
//! sizes in the same run.

mod baseline;
mod certificate;
mod client;
mod erase;
mod log;
mod rig;
mod stats;
mod transfer;

use std::path::PathBuf;

pub use certificate::certificate;
pub use erase::erase;
pub use transfer::{ingest, read};

/// What is measured and where.
#[derive(Clone)]
pub struct Options {
    /// Folder on the filesystem to be measured; a vault is made in it and removed again.
    pub folder: PathBuf,
    /// Small numbers, for a quick look or a test.
    pub quick: bool,
}

/// Results as one flat object, in order.
pub type Figures = serde_json::Map<String, serde_json::Value>;

/// Puts a figure, rounded to three digits behind the point.
fn put(figures: &mut Figures, name: &str, value: f64) {
    let rounded = (value * 1000.0).round() / 1000.0;
    eprintln!("{name:<32} {rounded}");
    figures.insert(name.to_owned(), serde_json::json!(rounded));
}
