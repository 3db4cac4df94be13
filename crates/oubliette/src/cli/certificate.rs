//! `oubliette certificate`

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use oubliette_proof::certificate::{Certificate, write_page};
use oubliette_proof::note::TrustedKeys;
use uuid::Uuid;

use super::common::tenant;
use super::{VaultArgs, exit};
use crate::control::{Ask, AskCertificate, Failure, Target, Told};

/// How often it is asked for again while it is not there yet.
const POLL: Duration = Duration::from_millis(200);

/// Gives out the certificate of an erasure: one line of JSON that anybody can check with `oubliette-verify` and the log's
/// public key, without asking the vault. Waits for it when the erasure was sealed only just now.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  oubliette certificate 0190c1d2-… > certificate.json\n  \
    oubliette certificate 0190c1d2-… --html certificate.html --reference 'Request 17'\n  \
    oubliette certificate 0190c1d2-… --receipts receipts.ndjson\n  \
    oubliette certificate 0190c1d2-… --item 8b0f6a52-… --html item.html --key log.key\n  \
    oubliette-verify certificate.html --log-key log.key")]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Tenant by name or number [default: the only one]
    #[arg(long)]
    tenant: Option<String>,
    /// The erasure, as `erase` and the API name it
    #[arg(value_name = "ID")]
    erasure: Uuid,
    /// Instead of the order's: the certificate of this interaction, which the order erased
    #[arg(long, value_name = "ID")]
    item: Option<Uuid>,
    /// With --item: of this one content of it, which was erased by itself
    #[arg(long, value_name = "ID", requires = "item")]
    content: Option<Uuid>,
    /// What the order was called when it was made, to be told in the certificate of a whole order
    #[arg(long, value_name = "TEXT", conflicts_with = "item")]
    reference: Option<String>,
    /// Write the certificate here [default: standard output, unless another file is asked for]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the page for people here: to be read, printed, and checked as it is
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the receipts of all items of the order here, one line each behind the certificate
    #[arg(long, value_name = "FILE", conflicts_with = "item")]
    receipts: Option<PathBuf>,
    /// Write the public keys that it is checked with here. Who is to believe them should have them from elsewhere
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Seconds to wait for a certificate that is not there yet
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

pub async fn run(args: Args) -> Result<u8> {
    let target = Target::find(&args.vault.load()?.0).await?;
    let done = give(&target, &args).await;
    target.close().await;
    done.map(|()| exit::DONE)
}

async fn give(target: &Target, args: &Args) -> Result<()> {
    let tenant = tenant(target, args.tenant.as_deref()).await?.id;
    let (json, keys) = certificate(target, args, tenant).await?;
    let certificate = Certificate::parse(json.as_bytes()).context("the certificate")?;
    let verified = certificate.verify(&TrustedKeys::parse(&keys)?).context("the certificate does not hold")?;
    if certificate.erased.order.0 != *args.erasure.as_bytes() {
        bail!("{} was erased by another order: {}", certificate.subject.id, certificate.erased.order);
    }
    if let Some(file) = &args.html {
        write(file, write_page(&certificate, &verified).as_bytes())?;
    }
    if let Some(file) = &args.key {
        write(file, keys.as_bytes())?;
    }
    if let Some(file) = &args.receipts {
        receipts(target, tenant, args.erasure, file).await?;
    }
    match &args.out {
        Some(file) => write(file, json.as_bytes())?,
        None if args.html.is_none() && args.receipts.is_none() => {
            super::to_standard_output(|out| out.write_all(json.as_bytes()))
        }
        None => {}
    }
    Ok(())
}

/// The certificate and the keys it is checked with.
async fn certificate(target: &Target, args: &Args, tenant: u32) -> Result<(String, String)> {
    let begun = Instant::now();
    loop {
        let ask = AskCertificate {
            tenant,
            erasure: args.erasure,
            item: args.item,
            content: args.content,
            reference: args.reference.clone(),
        };
        match target.ask(Ask::Certificate(ask)).await {
            Ok(Told::Certificate { certificate, keys }) => return Ok((certificate, keys)),
            Ok(_) => bail!("an unexpected answer"),
            Err(error) => {
                let later = error.downcast_ref::<Failure>().is_some_and(|failure| failure.exit == exit::UNAVAILABLE);
                if !later || begun.elapsed() >= Duration::from_secs(args.wait) {
                    return Err(error.context(format!("the certificate of erasure {}", args.erasure)));
                }
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Writes the receipts under another name first, so that no half a file passes for a whole one.
async fn receipts(target: &Target, tenant: u32, erasure: Uuid, path: &Path) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let named = || format!("{} cannot be written", path.display());
    let mut lines = target.receipts(tenant, erasure).await?;
    let mut file = File::create(&part).with_context(named)?;
    while let Some(piece) = lines.next().await {
        let written = match piece {
            Ok(piece) => file.write_all(&piece).with_context(named),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            let _ = std::fs::remove_file(&part);
            return Err(error);
        }
    }
    file.sync_all().with_context(named)?;
    std::fs::rename(&part, path).with_context(named)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}
