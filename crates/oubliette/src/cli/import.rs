//! `oubliette import`

use std::path::PathBuf;

use anyhow::{Context, Result};
use futures::{StreamExt as _, stream};
use oubliette_core::model::TenantId;
use serde_json::json;

use super::progress::Progress;
use super::{VaultArgs, exit};
use crate::control::local_actor;
use crate::import::{Importer, Options, Outcome, plan};
use crate::opening::{OpenVault, RegisterPolicy};
use crate::telemetry;

/// The tenant that is made when a fresh vault has none.
const FIRST_TENANT: &str = "default";

/// Loads recordings (WAV, MP3, OGG, WebM) with sidecar JSON or a CSV manifest, and vCon files. Files that cannot be imported
/// are reported and passed over (exit code 7). Run it again after an interruption: what is there is skipped.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  oubliette import /srv/recordings --data /srv/oubliette\n  \
    oubliette import calls --manifest calls/2026-11.csv --json > report.ndjson\n\n\
    docs/import.md describes sidecars, the columns of a manifest, and what is taken from a vCon.")]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Folder or file
    path: PathBuf,
    /// CSV manifest [default: manifest.csv of the folder, if there is one]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Tenant by name or number [default: the only one]
    #[arg(long)]
    tenant: Option<String>,
    /// Interactions stored at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Largest vCon file in bytes; it is read whole
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20)]
    max_vcon_bytes: u64,
    /// Print one JSON object a file
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Counts {
    imported: u64,
    skipped: u64,
    bad: u64,
}

pub async fn run(args: Args) -> Result<u8> {
    let (config, _) = args.vault.load()?;
    telemetry::init_logs(&crate::config::Log { level: "warn".to_owned(), ..config.log.clone() })?;
    let options = Options { path: args.path, manifest: args.manifest, max_vcon_bytes: args.max_vcon_bytes };
    let max_vcon_bytes = options.max_vcon_bytes;
    let plan = tokio::task::spawn_blocking(move || plan(&options)).await??;
    let embedded = OpenVault::open(&config, RegisterPolicy::Warn)
        .await
        .context("an import opens the vault itself: no server may have it open")?;
    embedded.vault.wait_ready().await;
    let tenant = tenant(&embedded, args.tenant.as_deref()).await?;
    let importer = Importer::new(embedded.vault.clone(), local_actor(tenant), plan.root, max_vcon_bytes);

    let mut progress = Progress::new("importing", Some(plan.jobs.len() as u64));
    let mut counts = Counts::default();
    let mut stored = stream::iter(plan.jobs)
        .map(|job| {
            let importer = importer.clone();
            async move { importer.store(job).await }
        })
        .buffer_unordered(usize::from(args.parallel));
    let mut failure = None;
    while let Some(result) = stored.next().await {
        match result {
            Ok((name, outcome)) => report(&name, &outcome, args.json, &mut counts, &progress),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
        progress.tick();
    }
    drop(stored);
    progress.finish();
    embedded.close().await;
    let Counts { imported, skipped, bad } = counts;
    eprintln!("{imported} imported, {skipped} there already, {bad} not imported");
    if let Some(error) = failure {
        return Err(error).context("the vault took no more; run the same command again to go on");
    }
    Ok(if bad == 0 { exit::DONE } else { exit::FINDINGS })
}

async fn tenant(embedded: &OpenVault, name: Option<&str>) -> Result<TenantId> {
    let tenants = embedded.vault.tenants().await?;
    match (name, tenants.as_slice()) {
        (Some(name), _) => tenants
            .iter()
            .find(|(id, known)| known == name || id.0.to_string() == name)
            .map(|(id, _)| *id)
            .with_context(|| format!("there is no tenant {name}")),
        (None, [(only, _)]) => Ok(*only),
        (None, []) => Ok(embedded.vault.create_tenant(FIRST_TENANT).await?),
        (None, _) => anyhow::bail!("the vault has several tenants: name one with --tenant"),
    }
}

fn report(name: &str, outcome: &Outcome, as_json: bool, counts: &mut Counts, progress: &Progress) {
    let (word, why) = match outcome {
        Outcome::Imported => {
            counts.imported += 1;
            ("imported", None)
        }
        Outcome::Skipped => {
            counts.skipped += 1;
            ("skipped", None)
        }
        Outcome::Bad(bad) => {
            counts.bad += 1;
            ("bad", Some(bad.to_string()))
        }
    };
    if as_json {
        say!("{}", json!({ "file": name, "outcome": word, "reason": why }));
    } else if let Some(why) = why {
        progress.line(&format!("not imported: {name}: {why}"));
    }
}
