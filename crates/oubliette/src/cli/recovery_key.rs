//! `oubliette recovery-key`

mod chosen;

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use keyforest::holds_root;
use oubliette_store::escrow::{Envelope, HttpsAgent, SecretKey};
use oubliette_store::guard;
use oubliette_store::roots::{RootOptions, RootPlace, folder_carriers};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{VaultArgs, chain, exit};
use crate::config::{Config, EscrowPlace, MetadataPlace};
use crate::opening::lowered;

/// The recovery key: escrow agents hold the vault's root sealed to it. Its secret half belongs on paper, not on a disk.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a recovery key: print its public half, and its secret half this once
    #[command(
        after_help = "Examples:\n  oubliette recovery-key create\n  oubliette recovery-key create --shares 2/3\n\n\
        Best done on a machine without a network. Nothing is written to a file unless --secret-file names one."
    )]
    Create {
        /// Print the secret in shares, so many of which are needed: 2/3
        #[arg(long, value_name = "K/N")]
        shares: Option<String>,
        /// Write the secret (or its shares, one a line) to this new file instead of printing it
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Read a written-down secret back, and say whether it is the key of the configuration
    Check {
        #[command(flatten)]
        vault: VaultArgs,
        #[command(flatten)]
        secret: Secret,
    },
    /// Put the root back into an empty register, from the envelopes of the agents. For a vault whose disks are lost
    #[command(after_help = "Example:  oubliette recovery-key restore --config new.toml < secret\n\n\
        The configuration is the new machine's, with the [escrow] section of the lost one. The operator of each agent has to \
        allow it first: `oubliette agent release`. Then bring the key pages from a mirror, and start the vault.")]
    Restore {
        #[command(flatten)]
        vault: VaultArgs,
        #[command(flatten)]
        secret: Secret,
    },
}

/// Where the secret comes from.
#[derive(clap::Args)]
struct Secret {
    /// File with the secret, or with its shares, one a line [default: typed in, or from standard input]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub async fn run(args: Args) -> Result<u8> {
    // Before any secret is read: no dump, no swap.
    for warning in guard::engage().warnings() {
        eprintln!("warning: {warning}");
    }
    match args.action {
        Action::Create { shares, secret_file } => create(shares.as_deref(), secret_file.as_deref()),
        Action::Check { vault, secret } => check(&vault.load()?.0, &secret),
        Action::Restore { vault, secret } => {
            let config = vault.load()?.0;
            tokio::task::spawn_blocking(move || bring_back(&config, &secret)).await.context("cut short")?
        }
    }
}

fn create(shares: Option<&str>, file: Option<&Path>) -> Result<u8> {
    let numbers = shares.map(|text| {
        let pair = text.split_once('/').and_then(|(k, n)| Some((k.trim().parse().ok()?, n.trim().parse().ok()?)));
        pair.context("--shares: how many of how many, for example 2/3")
    });
    let numbers: Option<(u8, u8)> = numbers.transpose()?;
    let secret = SecretKey::generate()?;
    let public = secret.public()?;
    let texts = match numbers {
        None => vec![secret.print()],
        Some((needed, count)) => secret.shares(needed, count)?,
    };
    // What is given out is read back first.
    let needed = numbers.map_or(1, |(needed, _)| usize::from(needed));
    let back = SecretKey::read(&texts[..needed].iter().map(|text| text.as_str()).collect::<Vec<_>>())?;
    if back.public()? != public {
        bail!("the key does not read back");
    }
    // A public key is not given out before its secret is kept: whoever configured it would be locked out.
    let told = || say!("public key, for escrow.recovery_key in the vault's configuration:\n{public}\n");
    if let Some(file) = file {
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        let out = out.as_mut().map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
        for text in &texts {
            writeln!(out, "{}", text.as_str())?;
        }
        out.sync_all()?;
        told();
        say!("the secret is in {}", file.display());
        return Ok(exit::DONE);
    }
    told();
    match numbers {
        None => say!("secret key, shown this once; write it down and keep it off line:"),
        Some((needed, count)) => {
            say!(
                "secret key in {count} shares, any {needed} of which are needed; shown this once, one for each custodian:"
            );
        }
    }
    for text in &texts {
        say!("{}", text.as_str());
    }
    say!("\nread it back from the paper with `oubliette recovery-key check`");
    Ok(exit::DONE)
}

fn check(config: &Config, secret: &Secret) -> Result<u8> {
    let public = secret.read()?.public()?;
    say!("the key is whole; its public half is\n{public}");
    match config.escrow_place()? {
        None => say!("the configuration names no escrow agents to compare it with"),
        Some(place) if place.key == public => say!("it is the recovery key of the configuration"),
        Some(_) => {
            say!("MEND  it is not the recovery key of the configuration");
            return Ok(exit::FINDINGS);
        }
    }
    Ok(exit::DONE)
}

fn bring_back(config: &Config, secret: &Secret) -> Result<u8> {
    let place = config.escrow_place()?.context("the configuration names no escrow agents")?;
    let options = config.root_place()?;
    let local = matches!(config.metadata_place()?, MetadataPlace::Sqlite);
    if !local && !matches!(options, RootOptions::File { .. }) {
        bail!("beside PostgreSQL the root is brought back into a register file: set root.class = \"file\" for now");
    }
    let key = secret.read()?;
    let envelopes = fetch(&place);
    if envelopes.is_empty() {
        bail!("no agent gave an envelope: has its operator allowed it (`oubliette agent release`)?");
    }
    let pages = chosen::pages(config)?;
    let chosen = chosen::choose(&envelopes, &key, &pages, place.quorum.put())?;
    let (instance, root, block) = (Uuid::from_bytes(chosen.instance), chosen.root, chosen.block);

    let data = config.storage.data.clone();
    let carriers = folder_carriers(data.join("roots"));
    let opened = options.open(&RootPlace { data: &data, instance: &instance.to_string(), carrier: &carriers })?;
    if let Some(reason) = lowered(&opened.assessment)
        && !config.storage.accept_unverified_register
    {
        bail!(
            "the register's class is not verified: {reason}; mend that, or set storage.accept_unverified_register = true"
        );
    }
    if holds_root(&*opened.device)? {
        bail!("the register holds a root already: nothing was changed");
    }
    let failed = |error: keyforest::media::SlotError| std::io::Error::from(error);
    opened.device.write_slot(0, &block).map_err(failed).context("the root cannot be written")?;
    opened.device.destroy_slot(1).map_err(failed).context("the other slot cannot be overwritten")?;
    let back = Zeroizing::new(*opened.device.read_slot(0)?);
    if back != block {
        bail!("the root does not read back");
    }
    say!("vault           {instance}");
    say!("root            epoch {}, in the register ({})", root.epoch, opened.assessment.class);
    say!("next            bring the key pages from a mirror, then start the vault; see docs/operating/escrow.md");
    Ok(exit::DONE)
}

/// What the agents give, and why others give nothing.
fn fetch(place: &EscrowPlace) -> Vec<Envelope> {
    let mut all = Vec::new();
    for (name, url) in &place.agents {
        let envelopes = HttpsAgent::new(url, &place.files).map_err(anyhow::Error::from);
        match envelopes.and_then(|agent| Ok(agent.envelopes()?)) {
            Ok(envelopes) if envelopes.is_empty() => say!("agent {name}: holds nothing"),
            Ok(envelopes) => {
                for envelope in envelopes {
                    let label = envelope.label();
                    if label.agent != *name {
                        say!("warning         agent {name}: it gave an envelope of {}, which is left out", label.agent);
                        continue;
                    }
                    let what =
                        if label.needed == 1 { "the root".to_owned() } else { format!("share {}", label.number) };
                    say!("agent {name}: {what} of epoch {}", label.root.epoch);
                    all.push(envelope);
                }
            }
            Err(error) => say!("agent {name}: {}", chain(error.as_ref())),
        }
    }
    all
}

impl Secret {
    fn read(&self) -> Result<SecretKey> {
        let texts = match &self.key_file {
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                lines(&Zeroizing::new(text))
            }
            None if std::io::stdin().is_terminal() => typed()?,
            None => {
                let mut text = Zeroizing::new(String::new());
                std::io::stdin().lock().take(64 << 10).read_to_string(&mut text)?;
                lines(&text)
            }
        };
        let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
        Ok(SecretKey::read(&texts)?)
    }
}

fn lines(text: &str) -> Vec<Zeroizing<String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| Zeroizing::new(line.to_owned())).collect()
}

/// Until an empty line.
fn typed() -> Result<Vec<Zeroizing<String>>> {
    eprintln!("type the secret key, or its shares one a line; an empty line ends");
    let mut texts = Vec::new();
    loop {
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line)?;
        if line.trim().is_empty() {
            return Ok(texts);
        }
        texts.push(Zeroizing::new(line.trim().to_owned()));
    }
}
