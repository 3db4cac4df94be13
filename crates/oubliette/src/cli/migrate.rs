//! `oubliette migrate`

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::progress::Progress;
use super::{VaultArgs, exit};
use crate::config::{self, Config};
use crate::control::{Ask, Target, Told};
use crate::moving::{self, Figures, MovePlan, MoveState, MoveView};
use crate::opening::OpenError;
use crate::telemetry;

/// How often the progress is asked for.
const POLL: Duration = Duration::from_millis(200);

/// Moves a vault from its data folder to PostgreSQL and a bucket. A server that has it open goes on serving until the end:
/// then changes are held off for a moment, the old register is destroyed, and the server ends with code 8. Killed anywhere,
/// the same command goes on.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  oubliette migrate --config old.toml --to new.toml --dry-run\n  \
    oubliette migrate --config old.toml --to new.toml --yes\n\n\
    Then:  oubliette serve --config new.toml\n\
    docs/operating/migration.md describes what is moved, what clients see, and what to do after a crash.")]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Configuration of the new place. The environment does not count for it
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    let (config, _) = args.vault.load()?;
    let to = args.to.canonicalize().with_context(|| format!("{} cannot be read", args.to.display()))?;
    let (new, _) = config::load(Some(&to), [])?;
    let target = match Target::find(&config).await {
        Ok(target) => target,
        Err(error) if matches!(error.downcast_ref(), Some(OpenError::Moved(_))) => {
            return finish(&args, &config, &new).await;
        }
        Err(error) => return Err(error),
    };
    if let Target::Here(_) = target {
        telemetry::init_logs(&config::Log { level: "warn".to_owned(), ..config.log.clone() })?;
    }
    let done = migrate(&args, &target, &to).await;
    target.close().await;
    done
}

async fn migrate(args: &Args, target: &Target, to: &Path) -> Result<u8> {
    let mut view = progress(target, Ask::MoveProgress).await?;
    if view.state != MoveState::Running {
        let Told::MovePlan(plan) = target.ask(Ask::MovePlan { to: to.to_owned() }).await? else {
            bail!("an unexpected answer")
        };
        match (args.json, args.dry_run) {
            (true, true) => say!("{}", json!({ "plan": plan })),
            (true, false) => {}
            (false, _) => show(&plan),
        }
        if args.dry_run {
            return Ok(exit::DONE);
        }
        if !args.yes && !confirmed()? {
            eprintln!("nothing was moved");
            return Ok(exit::DECLINED);
        }
        view = progress(target, Ask::Move { to: to.to_owned() }).await?;
    } else if args.dry_run {
        bail!("a move is under way; without --dry-run this command follows it");
    }
    follow(args, target, view).await
}

/// Watches until it is through, or given up.
async fn follow(args: &Args, target: &Target, mut view: MoveView) -> Result<u8> {
    let mut bar: Option<(u64, Progress)> = None;
    let mut doing = String::new();
    loop {
        if view.doing != doing {
            doing.clone_from(&view.doing);
            bar = None;
            if !args.json {
                eprintln!("{doing}");
            }
        }
        if view.of > 0 && view.done > 0 && !args.json {
            let (_, bar) = bar.get_or_insert_with(|| (view.of, Progress::new("interactions", Some(view.of))));
            bar.set(view.done.min(view.of));
        }
        match view.state {
            MoveState::Running => {}
            MoveState::Done => return Ok(tell(args, &view.figures.unwrap_or_default())),
            MoveState::GivenUp | MoveState::Idle => {
                eprintln!("error: the vault was not moved and goes on where it is: {}", cause(&view));
                return Ok(exit::UNAVAILABLE);
            }
            MoveState::CutShort => {
                eprintln!(
                    "error: {}\nThe vault is handed over and serves nowhere: run the same command again to finish",
                    cause(&view)
                );
                return Ok(exit::FAILED);
            }
        }
        tokio::time::sleep(POLL).await;
        view = progress(target, Ask::MoveProgress)
            .await
            .context("the process that moves the vault is gone: run the same command again to go on")?;
    }
}

fn cause(view: &MoveView) -> &str {
    view.failure.as_deref().unwrap_or("nobody said why")
}

/// After the point of no return the vault is opened by nobody: the rest is done here.
async fn finish(args: &Args, config: &Config, new: &Config) -> Result<u8> {
    telemetry::init_logs(&config::Log { level: "warn".to_owned(), ..config.log.clone() })?;
    if args.dry_run {
        eprintln!("the vault is handed over; what is left is to change the roots, if that was cut short");
        return Ok(exit::DONE);
    }
    let figures = moving::finish(config, new).await?;
    if figures.epoch == 0 {
        if args.json {
            say!("{}", json!({ "moved": true, "already": true }));
        } else {
            say!("The vault has moved already. Serve it with the configuration of the new place.");
        }
        return Ok(exit::DONE);
    }
    Ok(tell(args, &figures))
}

async fn progress(target: &Target, ask: Ask) -> Result<MoveView> {
    match target.ask(ask).await? {
        Told::MoveProgress(view) => Ok(*view),
        _ => bail!("an unexpected answer"),
    }
}

fn show(plan: &MovePlan) {
    say!("This moves the vault to {}:", plan.to);
    say!("  {} interactions in {} directory blocks", plan.interactions, plan.directory_blocks);
    say!("  about {} MB of contents", plan.content_bytes.div_ceil(1_000_000));
    say!(
        "  {} tenants, {} credentials, every erasure, the key state under a fresh root",
        plan.tenants,
        plan.credentials
    );
    if plan.goes_on {
        say!("Part of it is there already: an earlier move is gone on with.");
    }
    say!("In the end the old register is destroyed. Then no copy or backup of the old data folder opens any more.");
}

fn tell(args: &Args, figures: &Figures) -> u8 {
    if args.json {
        say!("{}", json!({ "moved": true, "figures": figures }));
    } else {
        say!(
            "Moved: {} interactions. {} contents copied by this run in {:.1} s; changes were held off for {:.2} s.",
            figures.interactions,
            figures.copied,
            figures.copy_seconds,
            figures.pause_seconds
        );
        say!("The old register is destroyed. Serve the vault with the configuration of the new place.");
        if figures.retained > 0 {
            say!(
                "{} copies of contents erased meanwhile are kept by the bucket for a time; they have no key.",
                figures.retained
            );
        }
    }
    exit::DONE
}

fn confirmed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        eprintln!("nobody is there to ask; say --yes to go on without asking");
        return Ok(false);
    }
    eprint!("The old vault cannot be opened afterwards. Type \"move\" to go on: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == "move")
}
