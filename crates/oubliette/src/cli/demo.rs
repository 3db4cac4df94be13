//! `oubliette demo`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::progress::Progress;
use super::serve::{StopSignals, end_at_once};
use super::{VaultArgs, exit};
use crate::control::local_actor;
use crate::opening::{OpenVault, RegisterPolicy};
use crate::{demo, running, telemetry};

/// Makes a vault with over 200 interactions of 40 made-up customers (calls, chats, voicemails, screens; real speech), serves
/// it and prints credentials and curl lines. Run again on the same folder it serves the same vault with fresh credentials.
#[derive(clap::Args)]
#[command(after_help = "Example:  oubliette demo --data ./oubliette-demo --listen 127.0.0.1:8080\n\n\
    With --json the first line of standard output is one JSON object and everything else goes to standard error.")]
pub struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "OUBLIETTE_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder
    #[arg(long, value_name = "DIR", default_value = "oubliette-demo")]
    data: PathBuf,
    /// Register folder [default: the data folder's name with .register behind it]
    #[arg(long, value_name = "DIR")]
    register: Option<PathBuf>,
    /// Address and port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Serve plain HTTP on an address other than loopback: fine for made-up people in a container
    #[arg(long)]
    accept_plain_http: bool,
    /// Print one JSON object with address, credentials and samples as the first line
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    let vault = VaultArgs { config: args.config, data: Some(args.data), register: args.register };
    let (mut config, source) = vault.load()?;
    config.server.listen = args.listen;
    config.server.accept_plain_http |= args.accept_plain_http;
    if !source.variables.iter().any(|name| name == "OUBLIETTE__LOG__LEVEL") && source.file.is_none() {
        config.log.level = "warn".to_owned();
    }
    if config.phones.default_region.is_none() {
        config.phones.default_region = Some("US".to_owned());
    }
    config.check()?;
    config.check_transport()?;
    telemetry::init_logs(&config.log)?;
    let mut stop = StopSignals::new()?;
    let listener = running::bind(&config).await?;
    let embedded = OpenVault::open(&config, RegisterPolicy::Warn).await?;
    if let Some(warning) = &embedded.report.lowered {
        loud(warning);
    }

    let tenant = demo::tenant(&embedded.vault).await?;
    embedded.vault.wait_ready().await;
    load(&embedded, tenant, false).await?;
    let shown = match demo::choose(&embedded.vault, tenant).await? {
        Some(shown) => shown,
        None => {
            load(&embedded, tenant, true).await?;
            demo::choose(&embedded.vault, tenant).await?.context("the demo has too few interactions left")?
        }
    };
    let credentials = demo::make_credentials(&embedded.vault, tenant).await?;
    let interactions = embedded.vault.status().await?.interactions;
    let server = running::start(&config, listener, embedded, end_at_once()).await?;

    let text = text(&server.url, &config.storage.data, interactions, &credentials, &shown);
    if args.json {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", demo::json(&server.url, &credentials, &shown))?;
        out.flush()?;
        eprint!("{text}");
    } else {
        let mut out = std::io::stdout().lock();
        write!(out, "{text}")?;
        out.flush()?;
    }
    stop.wait().await;
    eprintln!("stopping");
    server.stop().await;
    Ok(exit::DONE)
}

async fn load(embedded: &OpenVault, tenant: oubliette_core::model::TenantId, more: bool) -> Result<()> {
    let mut progress: Option<Progress> = None;
    let mut told = |done: usize, count: usize| {
        let progress = progress.get_or_insert_with(|| Progress::new("loading samples", Some(count as u64)));
        progress.set(done as u64);
    };
    demo::fill(&embedded.vault, &*embedded.metadata, &local_actor(tenant), more, &mut told).await?;
    if let Some(progress) = progress {
        progress.finish();
    }
    Ok(())
}

/// A lowered register class must not be overlooked.
fn loud(warning: &str) {
    let line = "*".repeat(80);
    eprintln!("{line}\nWARNING: {warning}.");
    eprintln!("Deletions of this demo rest on that filesystem. `serve` would refuse; see storage.register.\n{line}");
}

fn text(url: &str, data: &Path, interactions: u64, credentials: &demo::Credentials, shown: &demo::Shown) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let _ = writeln!(out, "\nOubliette demo: {interactions} interactions in {}, served at {url}\n", data.display());
    let _ = writeln!(out, "  ElevateAI   X-API-Token    {}", &*credentials.elevateai);
    let _ = writeln!(out, "  Vonage      client id      {}", credentials.vonage.0);
    let _ = writeln!(out, "              client secret  {}", &*credentials.vonage.1);
    let _ = writeln!(out, "  Creovai     client id      {}", credentials.creovai.0);
    let _ = writeln!(out, "              client secret  {}", &*credentials.creovai.1);
    let _ = writeln!(out, "  native API  bearer token   {}", &*credentials.native);
    for block in demo::lines(url, credentials, shown) {
        let _ = writeln!(out, "\n# {}", block.title);
        for line in block.lines {
            let _ = writeln!(out, "{line}");
        }
    }
    let _ = writeln!(out, "\nStop with Ctrl-C. The credentials die with the next start; the vault stays.\n");
    out
}
