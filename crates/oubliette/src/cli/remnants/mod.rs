//! `oubliette remnants`

mod certificate;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use oubliette_store::remnants::{Finding, MAX_MARKERS, Marker, Report, Scanner};
use serde_json::json;

use self::certificate::Sought;
use super::erase::PlanFile;
use super::{VaultArgs, exit};

/// Shorter texts are found by chance; in a plan they are passed over.
const SHORTEST: usize = 4;

/// Searches every file of the data folder (database, its log, key pages, blobs, segments, temporary files) and the file
/// names for plaintext: as UTF-8, UTF-16, packed digits, binary numbers, hexadecimal, base64 and more. Exit code 7 when
/// something is found.
///
/// With a certificate of an erasure it also looks for what the certificate names: ids, and sealed objects by their
/// commitments. Where they are found says what is still referred to or still stored, sealed and without a key; that is no
/// remnant, unless the certificate states that the sealed objects were removed (exit code 7). Exit code 7 also says that it
/// named more than one search takes. Nothing is derived again from
/// a certificate: what was in a conversation can only be searched by the markers given. The certificate's own proofs are
/// checked by `oubliette-verify`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  oubliette remnants --data /srv/oubliette --marker '+1 512 555 0101' --marker jane@example.org\n  \
    oubliette erase --phone +15125550101 --dry-run --json > plan.json\n  oubliette erase --phone +15125550101 --yes\n  \
    oubliette remnants --from-plan plan.json\n  \
    oubliette remnants --certificate certificate.json --marker '+1 512 555 0101'"
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
    /// A certificate of an erasure, its page, or a file with the receipts of an order
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<PathBuf>,
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
    let mut certificates = Vec::new();
    for file in args.certificates {
        // What is left after the texts and the certificates before.
        let used: usize = certificates.iter().map(|(_, sought): &(_, Sought)| sought.markers().count()).sum();
        let room = MAX_MARKERS.saturating_sub(texts.len() + used + 1);
        let sought = Sought::read(&file, room)?;
        texts.extend(sought.reference().filter(|reference| reference.len() >= SHORTEST).map(str::to_owned));
        certificates.push((file, sought));
    }
    texts.sort();
    texts.dedup();
    if texts.is_empty() && certificates.is_empty() {
        bail!("say what must not be found: --marker, --from-plan or --certificate");
    }
    let mut markers: Vec<_> = texts.iter().cloned().map(Marker::Text).collect();
    markers.extend(certificates.iter().flat_map(|(_, sought)| sought.markers().cloned()));
    let data = config.storage.data;
    let mut folders = vec![data.clone()];
    folders.extend(args.also);
    let report = tokio::task::spawn_blocking(move || scan(&folders, &markers)).await??;

    let remnants: Vec<_> = report.findings.iter().filter(|found| found.marker < texts.len()).collect();
    let mut first = texts.len();
    let (mut contradicted, mut whole) = (false, true);
    let mut told = Vec::new();
    for (file, sought) in &certificates {
        let found = sought.found(&report.findings, first, &data);
        first += sought.markers().count();
        contradicted |= sought.contradicted(&found);
        whole &= sought.whole();
        told.push((file, sought, found));
    }
    if args.json {
        let mut value = as_json(&report, &remnants);
        if !told.is_empty() {
            let list = told.iter().map(|(file, sought, found)| sought.as_json(file, found));
            value["certificates"] = list.collect::<Vec<_>>().into();
        }
        say!("{value}");
    } else {
        show(&report, &remnants);
        told.iter().for_each(|(file, sought, found)| sought.show(file, found));
        if !told.is_empty() {
            say!("\n{NOT_SAID}");
        }
    }
    let clean = remnants.is_empty() && report.unreadable.is_empty() && !contradicted && whole;
    Ok(if clean { exit::DONE } else { exit::FINDINGS })
}

/// What a search with a certificate does not say.
const NOT_SAID: &str = "Not said by this search: that no copy lies elsewhere (other folders, servers, backups), that nothing \
lies here compressed or\nencrypted by something else, or that a certificate holds (`oubliette-verify FILE --log-key KEYS`).";

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

fn show(report: &Report, remnants: &[&Finding]) {
    for found in remnants {
        let place = certificate::place(found);
        say!("{}: {place}: marker {} as {:?}", found.file.display(), found.marker + 1, found.encoding);
    }
    for path in &report.unreadable {
        say!("{}: could not be read", path.display());
    }
    say!("searched {} files, {} bytes: {} remnants", report.files, report.bytes, remnants.len());
}

fn as_json(report: &Report, remnants: &[&Finding]) -> serde_json::Value {
    let findings = remnants.iter().map(|found| {
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
