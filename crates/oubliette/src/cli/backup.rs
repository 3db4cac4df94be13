//! `oubliette backup`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{VaultArgs, exit};
use crate::backup::{self, BackupView, Made, Manifest};
use crate::config::Config;
use crate::control::{Ask, Target, Told};

/// How often the progress is asked for.
const POLL: Duration = Duration::from_millis(200);

/// Copies a vault's data, database and sealed contents, while it is served or not. A later copy in the same place brings only
/// what is new. There is never a key in it: a copy opens nothing without the current key state and register.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  oubliette backup --to /mnt/backup/vault\n  oubliette backup --to s3://bucket/prefix\n  \
    oubliette backup verify /mnt/backup/vault\n  oubliette backup prune /mnt/backup/vault --keep 30\n\n\
    docs/operating/backup.md says what is in a copy, what is not, and what else must be kept."
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    vault: VaultArgs,
    /// Where: a folder on another disk, or s3://bucket/prefix with the options of [s3]
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the copies in a place
    List(At),
    /// Read a copy again, all of it: the newest one, unless another is named. Exit code 7 when it is not whole
    Verify {
        #[command(flatten)]
        at: At,
        /// Which copy
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
    /// Remove all but the newest copies, and what only the others needed. Not while one is being made in a bucket
    Prune {
        #[command(flatten)]
        at: At,
        /// How many to keep
        #[arg(long, value_name = "COUNT")]
        keep: u32,
    },
    /// Write a copy's database and contents into a data folder that has neither
    Fetch {
        #[command(flatten)]
        at: At,
        /// Which copy
        #[arg(value_name = "ID")]
        id: String,
        /// The data folder
        #[arg(long, value_name = "DATA")]
        into: PathBuf,
    },
}

#[derive(clap::Args)]
struct At {
    #[command(flatten)]
    vault: VaultArgs,
    /// The place: a folder, or s3://bucket/prefix
    #[arg(value_name = "PLACE")]
    place: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    let Some(command) = args.command else {
        let to = args.to.context("say where: --to PLACE")?;
        let (config, _) = args.vault.load()?;
        return make(&config, to, args.json).await;
    };
    let done = tokio::task::spawn_blocking(move || match command {
        Command::List(at) => list(&at),
        Command::Verify { at, id } => verify(&at, id),
        Command::Prune { at, keep } => prune(&at, keep),
        Command::Fetch { at, id, into } => fetch(&at, &id, &into),
    });
    done.await.context("the work was cut short")?
}

async fn make(config: &Config, to: String, as_json: bool) -> Result<u8> {
    // The program that serves the vault may run in another folder.
    let to = if to.starts_with("s3://") {
        to
    } else {
        std::path::absolute(&to).context("where to")?.to_string_lossy().into_owned()
    };
    let made = match Target::running(config).await {
        Some(target) => ask(&target, to).await?,
        None => {
            let config = config.clone();
            tokio::task::spawn_blocking(move || backup::make(&config, &to))
                .await
                .context("the work was cut short")??
        }
    };
    if as_json {
        say!("{}", serde_json::to_string(&made)?);
    } else {
        let Manifest { id, contents, bytes, missing, .. } = &made.manifest;
        say!("copy            {id}");
        say!("contents        {contents}, {bytes} bytes; {missing} were erased meanwhile");
        say!("new             {} files, {} bytes", made.new_files, made.new_bytes);
        if made.damaged > 0 {
            say!("MEND            {} contents do not begin as their rows say", made.damaged);
        }
    }
    Ok(if made.damaged > 0 { exit::FINDINGS } else { exit::DONE })
}

async fn ask(target: &Target, to: String) -> Result<Made> {
    let mut told = target.ask(Ask::Backup { to }).await?;
    loop {
        match told {
            Told::Backup(BackupView::Done { made }) => return Ok(*made),
            Told::Backup(BackupView::Failed { message }) => bail!("{message}"),
            Told::Backup(BackupView::UnderWay) => tokio::time::sleep(POLL).await,
            _ => bail!("an unexpected answer"),
        }
        told = target.ask(Ask::BackupProgress).await?;
    }
}

fn list(at: &At) -> Result<u8> {
    let copies = backup::list(&backup::place(&at.vault.load()?.0, &at.place)?)?;
    if at.json {
        say!("{}", serde_json::to_string(&copies)?);
        return Ok(exit::DONE);
    }
    for Manifest { id, taken_at, epoch, contents, bytes, .. } in &copies {
        say!("{id}  {taken_at}  epoch {epoch}  {contents} contents  {bytes} bytes");
    }
    if copies.is_empty() {
        say!("no copies");
    }
    Ok(exit::DONE)
}

fn verify(at: &At, id: Option<String>) -> Result<u8> {
    let place = backup::place(&at.vault.load()?.0, &at.place)?;
    let id = match id {
        Some(id) => id,
        None => backup::list(&place)?.pop().context("there is no copy")?.id,
    };
    let found = backup::verify(&place, &id, &std::env::temp_dir())?;
    let code = if found.is_whole() { exit::DONE } else { exit::FINDINGS };
    if at.json {
        let json = json!({
            "manifest": found.manifest,
            "whole": found.is_whole(),
            "damaged": found.damaged,
            "moreDamaged": found.more_damaged,
            "uncovered": found.uncovered,
            "contradicted": found.contradicted,
        });
        say!("{json}");
        return Ok(code);
    }
    for path in &found.damaged {
        say!("MEND  {path} is not there or not what was written");
    }
    if found.more_damaged > 0 {
        say!("MEND  {} more files are not there or not what was written", found.more_damaged);
    }
    if found.uncovered + found.contradicted > 0 {
        say!("MEND  {} contents are not in it, {} begin with other bytes", found.uncovered, found.contradicted);
    }
    say!("{id}: {}", if found.is_whole() { "whole" } else { "NOT WHOLE" });
    Ok(code)
}

fn prune(at: &At, keep: u32) -> Result<u8> {
    if keep == 0 {
        bail!("--keep: at least 1");
    }
    let pruned = backup::prune(&backup::place(&at.vault.load()?.0, &at.place)?, keep as usize)?;
    if at.json {
        say!("{}", json!({ "copies": pruned.copies, "files": pruned.files, "bytes": pruned.bytes }));
    } else {
        say!("removed {} copies, {} files, {} bytes", pruned.copies.len(), pruned.files, pruned.bytes);
    }
    Ok(exit::DONE)
}

fn fetch(at: &At, id: &str, into: &std::path::Path) -> Result<u8> {
    let manifest = backup::fetch(&backup::place(&at.vault.load()?.0, &at.place)?, id, into)?;
    if at.json {
        say!("{}", serde_json::to_string(&manifest)?);
    } else {
        say!("{} is in {}. It holds no key: see docs/operating/backup.md", manifest.id, into.display());
    }
    Ok(exit::DONE)
}
