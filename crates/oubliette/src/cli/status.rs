//! `oubliette status`

use anyhow::{Result, bail};

use super::{VaultArgs, exit};
use crate::control::{Ask, Target, Told};

/// Figures of the vault, from the running server or from the vault itself. Exit code 7 when deletions stall.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    let target = Target::find(&args.vault.load()?.0).await?;
    let Told::Status(status) = target.ask(Ask::Status).await? else { bail!("an unexpected answer") };
    target.close().await;
    let code = if status.sealing { exit::DONE } else { exit::FINDINGS };
    if args.json {
        println!("{}", serde_json::to_string(&status)?);
        return Ok(code);
    }
    let place = status.url.as_deref().unwrap_or("not served (opened for this command)");
    println!("vault           {}", status.instance);
    println!("served at       {place}");
    println!("interactions    {}", status.interactions);
    let verified = if status.register_verified { "" } else { ", NOT VERIFIED" };
    println!("register        class {}{verified}, epoch {}", status.register_class, status.epoch);
    println!("deletions       {} not sealed yet, lag {} s", status.unsealed, status.deletion_lag_seconds);
    println!("                {} sealed and not yet swept", status.unswept);
    println!("this process    {} seals, {} keys destroyed", status.seals, status.punctured);
    println!(
        "look-ups        {}, {} KiB",
        if status.lookups_ready { "ready" } else { "being rebuilt" },
        status.lookup_bytes / 1024
    );
    println!("sealing         {}", if status.sealing { "working" } else { "STALLED" });
    for warning in &status.warnings {
        println!("warning         {warning}");
    }
    for note in &status.notes {
        println!("note            {note}");
    }
    Ok(code)
}
