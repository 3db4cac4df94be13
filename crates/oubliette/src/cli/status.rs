//! `oubliette status`

use anyhow::{Result, bail};

use super::{VaultArgs, exit};
use crate::control::{Ask, FrontView, Target, Told};

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
    let status = match target.ask(Ask::Status).await? {
        Told::Status(status) => status,
        Told::Front(front) => return tell_front(&front, args.json),
        _ => bail!("an unexpected answer"),
    };
    target.close().await;
    let code = if status.sealing { exit::DONE } else { exit::FINDINGS };
    if args.json {
        println!("{}", serde_json::to_string(&status)?);
        return Ok(code);
    }
    let place = status.url.as_deref().unwrap_or("not served (opened for this command)");
    println!("vault           {}", status.instance);
    println!("served at       {place}");
    if let Some(node) = &status.node {
        let fronts = if status.fronts.is_empty() { "none".to_owned() } else { status.fronts.join(", ") };
        println!("node            {node}, the holder; fronts: {fronts}");
    }
    println!("interactions    {}", status.interactions);
    let verified = if status.register_verified { "" } else { ", NOT VERIFIED" };
    println!("register        class {}{verified}, epoch {}", status.register_class, status.epoch);
    println!("deletions       {} not sealed yet, lag {} s", status.unsealed, status.deletion_lag_seconds);
    println!("                {} sealed and not yet swept", status.unswept);
    println!("log             {} entries, {} sealed erasures not in it yet", status.log_size, status.uncertified);
    println!("this process    {} seals, {} keys destroyed", status.seals, status.punctured);
    println!(
        "look-ups        {}, {} KiB",
        if status.lookups_ready { "ready" } else { "being rebuilt" },
        status.lookup_bytes / 1024
    );
    println!("sealing         {}", if status.sealing { "working" } else { "STALLED" });
    for mirror in &status.mirrors {
        let standing = match &mirror.cause {
            None => "holds the key state".to_owned(),
            Some(cause) => format!("BEHIND for {} s: {cause}", mirror.behind_seconds),
        };
        println!("mirror          {} ({}): {standing}", mirror.name, mirror.kind);
    }
    for agent in &status.agents {
        let standing = match (agent.answers, agent.confirmed) {
            (true, Some(epoch)) => format!("confirmed the root of epoch {epoch} and no other"),
            (true, None) => "has confirmed nothing yet".to_owned(),
            (false, _) => "AWAY, or it refuses".to_owned(),
        };
        println!("escrow agent    {}: {standing}", agent.name);
    }
    for warning in &status.warnings {
        println!("warning         {warning}");
    }
    for note in &status.notes {
        println!("note            {note}");
    }
    Ok(code)
}

/// A node that passes on what it is asked. Exit code 7 while it has nobody to pass it on to.
fn tell_front(front: &FrontView, json: bool) -> Result<u8> {
    let code = if front.leased { exit::DONE } else { exit::FINDINGS };
    if json {
        println!("{}", serde_json::to_string(front)?);
        return Ok(code);
    }
    println!("node            {}, a front", front.node);
    println!("served at       {}", front.url);
    match (&front.holder, &front.holder_address) {
        (Some(name), Some(address)) => println!("held by         {name} at {address}"),
        _ => println!("held by         nobody that can be reached"),
    }
    Ok(code)
}
