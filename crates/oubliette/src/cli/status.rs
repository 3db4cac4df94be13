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
        say!("{}", serde_json::to_string(&status)?);
        return Ok(code);
    }
    let place = status.url.as_deref().unwrap_or("not served (opened for this command)");
    say!("vault           {}", status.instance);
    say!("served at       {place}");
    if let Some(node) = &status.node {
        let fronts = if status.fronts.is_empty() { "none".to_owned() } else { status.fronts.join(", ") };
        say!("node            {node}, the holder; fronts: {fronts}");
    }
    say!("interactions    {}", status.interactions);
    let verified = if status.register_verified { "" } else { ", NOT VERIFIED" };
    say!("register        class {}{verified}, epoch {}", status.register_class, status.epoch);
    say!("deletions       {} not sealed yet, lag {} s", status.unsealed, status.deletion_lag_seconds);
    say!("                {} sealed and not yet swept", status.unswept);
    say!("log             {} entries, {} sealed erasures not in it yet", status.log_size, status.uncertified);
    say!("this process    {} seals, {} keys destroyed", status.seals, status.punctured);
    say!(
        "look-ups        {}, {} KiB",
        if status.lookups_ready { "ready" } else { "being rebuilt" },
        status.lookup_bytes / 1024
    );
    say!("sealing         {}", if status.sealing { "working" } else { "STALLED" });
    for mirror in &status.mirrors {
        let standing = match &mirror.cause {
            None => "holds the key state".to_owned(),
            Some(cause) => format!("BEHIND for {} s: {cause}", mirror.behind_seconds),
        };
        say!("mirror          {} ({}): {standing}", mirror.name, mirror.kind);
    }
    for agent in &status.agents {
        let standing = match (agent.answers, agent.confirmed) {
            (true, Some(epoch)) => format!("confirmed the root of epoch {epoch} and no other"),
            (true, None) => "has confirmed nothing yet".to_owned(),
            (false, _) => "AWAY, or it refuses".to_owned(),
        };
        say!("escrow agent    {}: {standing}", agent.name);
    }
    for warning in &status.warnings {
        say!("warning         {warning}");
    }
    for note in &status.notes {
        say!("note            {note}");
    }
    Ok(code)
}

/// A node that passes on what it is asked. Exit code 7 while it has nobody to pass it on to.
fn tell_front(front: &FrontView, json: bool) -> Result<u8> {
    let code = if front.leased { exit::DONE } else { exit::FINDINGS };
    if json {
        say!("{}", serde_json::to_string(front)?);
        return Ok(code);
    }
    say!("node            {}, a front", front.node);
    say!("served at       {}", front.url);
    match (&front.holder, &front.holder_address) {
        (Some(name), Some(address)) => say!("held by         {name} at {address}"),
        _ => say!("held by         nobody that can be reached"),
    }
    Ok(code)
}
