//! `oubliette restore`

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Result, bail};
use clap::Subcommand;
use oubliette_core::service::{Mismatch, RestoreView};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{VaultArgs, exit};
use crate::config;
use crate::opening::{OpenError, OpenVault, RegisterPolicy};
use crate::telemetry;

/// Puts an older copy of the data back. The copy may be of any age and made with any tool; the key state stays as it is now, so
/// nothing that was erased since comes back. Attach first: the vault can be read, and another copy can be tried. Commit when
/// it is the right one: that cannot be undone.
#[derive(clap::Args)]
#[command(
    after_help = "docs/operating/restore.md tells which files to put where, and what to do when the disk is lost."
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Mark the database as an older copy, show what it holds, and let `serve` serve it for reading
    #[command(after_help = "Example:  oubliette restore attach --data /srv/oubliette\n\n\
        Destroys nothing, and may be repeated, with this copy or another one.")]
    Attach(Attach),
    /// Make the attached copy the vault's database: destroys every key that it does not refer to
    #[command(after_help = "Examples:\n  oubliette restore commit --data /srv/oubliette\n  \
        oubliette restore commit --data /srv/oubliette --confirm 0b8d3c52-...\n\n\
        The server must be stopped. Killed anywhere, the copy is attached still, or committed.")]
    Commit(Commit),
}

#[derive(clap::Args)]
struct Attach {
    #[command(flatten)]
    vault: VaultArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Commit {
    #[command(flatten)]
    vault: VaultArgs,
    /// The restore's id, as `attach` shows it: go on without asking
    #[arg(long, value_name = "ID")]
    confirm: Option<Uuid>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    match args.action {
        Action::Attach(args) => attach(args).await,
        Action::Commit(args) => commit(args).await,
    }
}

async fn attach(args: Attach) -> Result<u8> {
    let (config, _) = args.vault.load()?;
    telemetry::init_logs(&config::Log { level: "warn".to_owned(), ..config.log.clone() })?;
    let opened = match OpenVault::attach(&config).await {
        Ok(opened) => opened,
        Err(error) if is_current(&error) => {
            if args.json {
                say!("{}", json!({ "attached": false }));
            } else {
                say!("The database is as new as the key state: there is nothing to attach. Serve it.");
            }
            return Ok(exit::DONE);
        }
        Err(error) => return Err(error.into()),
    };
    let view = opened.vault.restore_view().await;
    opened.close().await;
    let Some(view) = view? else { bail!("the copy was not attached") };
    if args.json {
        say!("{}", told(&view, "attached"));
    } else {
        show(&view);
        say!("`oubliette serve` serves it for reading. To make it the vault's database, stop the server and say");
        say!("  oubliette restore commit --confirm {}", view.id);
    }
    Ok(exit::DONE)
}

async fn commit(args: Commit) -> Result<u8> {
    let (config, _) = args.vault.load()?;
    telemetry::init_logs(&config::Log { level: "warn".to_owned(), ..config.log.clone() })?;
    let opened = OpenVault::open_existing(&config, RegisterPolicy::Warn).await?;
    let done = commit_opened(&args, &opened).await;
    opened.close().await;
    done
}

async fn commit_opened(args: &Commit, opened: &OpenVault) -> Result<u8> {
    let Some(view) = opened.vault.restore_view().await? else {
        eprintln!("no older copy is attached; `oubliette restore attach` does that");
        return Ok(exit::NOT_FOUND);
    };
    if !args.json {
        show(&view);
    }
    match args.confirm {
        Some(id) if id == view.id => {}
        Some(_) => {
            eprintln!("that is the id of another restore: {} is attached. Nothing was committed", view.id);
            return Ok(exit::DECLINED);
        }
        None if confirmed(&view)? => {}
        None => {
            eprintln!("nothing was committed");
            return Ok(exit::DECLINED);
        }
    }
    let view = opened.vault.commit_restore().await?;
    if args.json {
        say!("{}", told(&view, "committed"));
    } else {
        say!("Committed: {} interactions with {} contents. Serve the vault.", view.interactions, view.contents);
    }
    Ok(exit::DONE)
}

/// Whether attaching failed because there is nothing to attach.
fn is_current(error: &OpenError) -> bool {
    let mut next = Some(error as &(dyn std::error::Error + 'static));
    while let Some(cause) = next {
        if matches!(cause.downcast_ref(), Some(Mismatch::NotBehind)) {
            return true;
        }
        next = cause.source();
    }
    false
}

fn show(view: &RestoreView) {
    say!("restore         {}", view.id);
    if view.found < view.pinned {
        say!("the copy        stands at commit {}; the key state has seen commit {}", view.found, view.pinned);
    } else {
        say!("the copy        stands at commit {}; log or journal tell of what came after it", view.found);
    }
    say!("opens           {} interactions with {} contents", view.interactions, view.contents);
    say!(
        "stays erased    {} interactions and {} contents that the copy holds and that were erased since",
        view.erased_interactions,
        view.erased_contents
    );
    if view.due > 0 {
        say!("due             {} erasures that were accepted and not sealed: the commit seals them", view.due);
    }
    if view.missing_contents > 0 {
        say!("MISSING         the bytes of {} contents are not among the blobs, of", view.missing_contents);
        for (tenant, id) in &view.missing {
            say!("                  {id} of tenant {}", tenant.0);
        }
    }
    say!("a commit        destroys {} keys of which the copy knows nothing", view.doomed);
}

fn told(view: &RestoreView, state: &'static str) -> Value {
    let missing = view.missing.iter().map(|(tenant, id)| json!({ "tenant": tenant.0, "id": id.to_string() }));
    json!({
        state: true,
        "restore": view.id,
        "attachedAt": view.attached_at,
        "commit": view.found,
        "seenCommit": view.pinned,
        "interactions": view.interactions,
        "contents": view.contents,
        "erasedInteractions": view.erased_interactions,
        "erasedContents": view.erased_contents,
        "due": view.due,
        "missingContents": view.missing_contents,
        "missing": missing.collect::<Vec<_>>(),
        "doomedKeys": view.doomed,
    })
}

fn confirmed(view: &RestoreView) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        eprintln!("nobody is there to ask; say --confirm {} to go on without asking", view.id);
        return Ok(false);
    }
    eprint!("What the copy does not hold cannot be opened afterwards, with no other copy. Type \"commit\" to go on: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == "commit")
}
