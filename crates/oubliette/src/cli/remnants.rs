//! `oubliette remnants`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use oubliette_store::remnants::{Marker, Report, Scanner};
use serde_json::json;

use super::erase::PlanFile;
use super::{VaultArgs, exit};

/// Shorter texts are found by chance; in a plan they are passed over.
const SHORTEST: usize = 4;

/// Searches every file of the data folder (database, its log, key pages, blobs, segments, temporary files) and the file
/// names for plaintext: as UTF-8, UTF-16, packed digits, binary numbers, hexadecimal, base64 and more. Exit code 7 when
/// something is found.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  oubliette remnants --data /srv/oubliette --marker '+1 512 555 0101' --marker jane@example.org\n  \
    oubliette erase --phone +15125550101 --dry-run --json > plan.json\n  oubliette erase --phone +15125550101 --yes\n  \
    oubliette remnants --from-plan plan.json"
)]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// A text that must not be found
    #[arg(long = "marker", value_name = "TEXT")]
    markers: Vec<String>,
    /// A plan as `erase --dry-run --json` prints it: what it asked for and its session ids are searched
    #[arg(long, value_name = "FILE")]
    from_plan: Option<PathBuf>,
    /// A further folder to search, for example that of the log
    #[arg(long = "also", value_name = "DIR")]
    also: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    let (config, _) = args.vault.load()?;
    let mut texts = args.markers;
    if let Some(file) = &args.from_plan {
        texts.extend(from_plan(file)?);
    }
    texts.sort();
    texts.dedup();
    if texts.is_empty() {
        bail!("say what must not be found: --marker or --from-plan");
    }
    let markers: Vec<_> = texts.iter().cloned().map(Marker::Text).collect();
    let mut folders = vec![config.storage.data.clone()];
    folders.extend(args.also);
    let report = tokio::task::spawn_blocking(move || scan(&folders, &markers)).await??;
    if args.json {
        println!("{}", as_json(&report));
    } else {
        show(&report);
    }
    Ok(if report.findings.is_empty() && report.unreadable.is_empty() { exit::DONE } else { exit::FINDINGS })
}

fn from_plan(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let PlanFile { selector, plan } =
        serde_json::from_slice(&text).with_context(|| format!("{} is no plan", file.display()))?;
    // Public ids are not searched: they say nothing of anybody, and answers may name them.
    let asked = [selector.sessions, selector.phones, selector.emails];
    let texts = asked.into_iter().flatten().chain(plan.first.into_iter().filter_map(|line| line.session));
    let (long, short): (Vec<_>, Vec<_>) = texts.partition(|text| text.len() >= SHORTEST);
    if !short.is_empty() {
        eprintln!("{} markers of the plan are shorter than {SHORTEST} bytes and not searched", short.len());
    }
    Ok(long)
}

fn scan(folders: &[PathBuf], markers: &[Marker]) -> Result<Report> {
    let scanner = Scanner::new(markers)?;
    let mut whole = Report::default();
    for folder in folders {
        let report = scanner.scan_folder(folder, &mut |_| {});
        whole.files += report.files;
        whole.bytes += report.bytes;
        whole.findings.extend(report.findings);
        whole.unreadable.extend(report.unreadable);
    }
    Ok(whole)
}

fn show(report: &Report) {
    for found in &report.findings {
        let place = found.offset.map_or_else(|| "in its name".to_owned(), |offset| format!("byte {offset}"));
        println!("{}: {place}: marker {} as {:?}", found.file.display(), found.marker + 1, found.encoding);
    }
    for path in &report.unreadable {
        println!("{}: could not be read", path.display());
    }
    println!("searched {} files, {} bytes: {} remnants", report.files, report.bytes, report.findings.len());
}

fn as_json(report: &Report) -> serde_json::Value {
    let findings = report.findings.iter().map(|found| {
        json!({
            "file": found.file,
            "offset": found.offset,
            "marker": found.marker,
            "encoding": format!("{:?}", found.encoding),
        })
    });
    json!({
        "files": report.files,
        "bytes": report.bytes,
        "findings": findings.collect::<Vec<_>>(),
        "unreadable": report.unreadable,
    })
}
