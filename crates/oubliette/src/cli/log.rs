//! `oubliette log`

use anyhow::{Result, bail};
use clap::Subcommand;
use oubliette_core::service::LogSettings;
use oubliette_proof::Token;

use super::{VaultArgs, exit};
use crate::control::{Ask, LogView, Target, Told};
use crate::opening::{OpenVault, RegisterPolicy};

/// The transparency log, in which the vault states what it erased.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show its origin, size and keys, and the newest checkpoint
    Show {
        #[command(flatten)]
        vault: VaultArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print its public keys in signed-note form, one a line, the newest first
    Key {
        #[command(flatten)]
        vault: VaultArgs,
    },
    /// Give it another key; the old one agrees to that in an entry, and never signs again
    RotateKey {
        #[command(flatten)]
        vault: VaultArgs,
    },
    /// Begin another log in place of one whose entries are lost; not while the vault is served
    Reopen {
        #[command(flatten)]
        vault: VaultArgs,
        /// Why, in a word: letters, digits and . _ : / -
        #[arg(long, value_parser = reason)]
        reason: Token,
    },
}

fn reason(text: &str) -> Result<Token, String> {
    Token::new(text).ok_or_else(|| "1 to 64 letters, digits and . _ : / -".to_owned())
}

pub async fn run(args: Args) -> Result<u8> {
    match args.action {
        Action::Show { vault, json } => {
            let view = ask(&vault, Ask::Log).await?;
            if json {
                say!("{}", serde_json::to_string(&view)?);
                return Ok(exit::DONE);
            }
            say!("origin   {}", view.origin);
            say!("entries  {}", view.size);
            say!("root     {}", view.root);
            for (number, key) in view.keys.iter().enumerate() {
                say!("{}  {key}", if number == 0 { "key    " } else { "before " });
            }
            if let Some(earlier) = &view.earlier {
                say!("after    {earlier}");
            }
            say!("\n{}", view.checkpoint);
        }
        Action::Key { vault } => {
            for key in ask(&vault, Ask::Log).await?.keys {
                say!("{key}");
            }
        }
        Action::RotateKey { vault } => {
            let view = ask(&vault, Ask::RotateLogKey).await?;
            let Some(key) = view.keys.first() else { bail!("an unexpected answer") };
            say!("{key}");
            eprintln!("The log signs with this key now. Give it to your witnesses and to whoever checks certificates.");
        }
        Action::Reopen { vault, reason } => return reopen(&vault, reason).await,
    }
    Ok(exit::DONE)
}

async fn ask(vault: &VaultArgs, ask: Ask) -> Result<LogView> {
    let target = Target::find(&vault.load()?.0).await?;
    let Told::Log(view) = target.ask(ask).await? else { bail!("an unexpected answer") };
    target.close().await;
    Ok(*view)
}

async fn reopen(vault: &VaultArgs, reason: Token) -> Result<u8> {
    let (config, _) = vault.load()?;
    let settings = LogSettings { reopen: Some(reason), ..config.log_settings()? };
    let open = OpenVault::reopen_log(&config, RegisterPolicy::Warn, settings).await?;
    let log = open.vault.log();
    let (origin, key, closing) = (log.origin(), log.key(), log.closing_note());
    open.close().await;
    say!("origin   {origin}");
    say!("key      {key}");
    if let Some(note) = closing? {
        say!("\n{note}");
        eprintln!("Publish this note where the log before was read: it says that it has ended, and which one follows.");
    }
    if config.transparency.origin.as_ref().is_some_and(|configured| *configured != origin) {
        eprintln!("Set transparency.origin = \"{origin}\": with the origin before, the vault does not start any more.");
    }
    Ok(exit::DONE)
}
