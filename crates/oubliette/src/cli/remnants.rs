//! `oubliette remnants`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::erase::PlanFile;
use super::{VaultArgs, exit};
use crate::remnants::{Marker, scan};

/// Searches every file of the data folder (database, WAL, key pages, blobs, segments, temporary files) for plaintext: as
/// UTF-8, UTF-16, packed digits, hexadecimal and base64. Exit code 7 when something is found.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  oubliette remnants --data /srv/oubliette --marker '+1 512 555 0101' --marker jane@example.org\n  \
    oubliette erase --phone +15125550101 --dry-run --json > plan.json; oubliette remnants --from-plan plan.json")]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// A text that must not be found
    #[arg(long = "marker", value_name = "TEXT")]
    markers: Vec<String>,
    /// A plan as `erase --dry-run --json` prints it: its session ids and ids are searched
    #[arg(long, value_name = "FILE")]
    from_plan: Option<PathBuf>,
    /// A further file or folder to search, for example a log
    #[arg(long = "also", value_name = "PATH")]
    also: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    let (config, _) = args.vault.load()?;
    let mut markers: Vec<_> = args.markers.iter().map(|text| Marker::new(text)).collect();
    if let Some(file) = &args.from_plan {
        let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let PlanFile { selector, plan } =
            serde_json::from_slice(&text).with_context(|| format!("{} is no plan", file.display()))?;
        let asked = [&selector.ids, &selector.sessions, &selector.phones, &selector.emails];
        markers.extend(asked.into_iter().flatten().map(|text| Marker::new(text)));
        markers.extend(plan.first.iter().flat_map(|line| line.session.as_ref()).map(|session| Marker::new(session)));
    }
    if markers.iter().any(|marker| marker.is_too_short()) {
        bail!("a marker has at least 4 characters: shorter ones are found by chance");
    }
    if markers.is_empty() {
        bail!("say what must not be found: --marker or --from-plan");
    }
    let mut places = vec![config.storage.data.clone()];
    places.extend(args.also);
    let report = tokio::task::spawn_blocking(move || scan(&places, &markers)).await??;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        for find in &report.found {
            println!("{}: byte {}: marker {} as {}", find.file.display(), find.offset, find.marker + 1, find.form);
        }
        println!("searched {} files, {} bytes: {} remnants", report.files, report.bytes, report.found.len());
    }
    Ok(if report.found.is_empty() { exit::DONE } else { exit::FINDINGS })
}
