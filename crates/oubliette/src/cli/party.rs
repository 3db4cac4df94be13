//! `oubliette party`

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use oubliette_proof::Token;
use oubliette_proof::note::{KeyKind, SigningKey};
use oubliette_store::escrow::LiesIn;
use oubliette_store::media::{Parties, PartyKind, waits_for_mirror};
use serde_json::json;
use zeroize::Zeroizing;

use super::{VaultArgs, exit};
use crate::opening::{Forgot, Leaving, Left, OpenVault, Opening, RegisterPolicy};

/// Mirrors and agents that take part in every seal. The server must be stopped: these commands open the vault.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the parties that the key state remembers
    List(ListArgs),
    /// Let mirrors or agents go: from now on the vault seals without them. The log records it, signed. An agent in reach is
    /// told to forget what it holds. Then take them out of the configuration
    Drop(DropArgs),
    /// Say that the register of an agent that was let go is destroyed: it is not asked any more whether it forgot, and not told of.
    /// Nothing checks it
    Forget(ForgetArgs),
}

#[derive(clap::Args)]
struct ForgetArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// The entry of the log that let it go, as `party list` shows it
    #[arg(value_name = "ENTRY")]
    entry: u64,
}

#[derive(clap::Args)]
struct ListArgs {
    #[command(flatten)]
    vault: VaultArgs,
}

#[derive(clap::Args)]
struct DropArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Their names in the configuration. Agents that are out of reach together are named together: the vault is opened with
    /// all others
    #[arg(value_name = "NAME", required = true, num_args = 1..=16)]
    names: Vec<String>,
    /// What they are
    #[arg(long, value_enum, default_value_t = Kind::Mirror)]
    kind: Kind,
    /// Why, in one word of letters, digits and . _ : / -, for example `disk-retired`
    #[arg(long, value_name = "TOKEN")]
    reason: String,
    /// File with the key of who decides, in signed-note form (`PRIVATE+KEY+…`). Without it a key is drawn for this decision alone
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Mirror,
    Agent,
}

pub async fn run(args: Args) -> Result<u8> {
    let args = match args.command {
        Command::Drop(args) => args,
        Command::List(args) => return list(args).await,
        Command::Forget(args) => return forget(args).await,
    };
    let reason = Token::new(args.reason.clone()).context("--reason: 1 to 64 letters, digits and . _ : / -")?;
    let kind = match args.kind {
        Kind::Mirror => PartyKind::Mirror,
        Kind::Agent => PartyKind::Agent,
    };
    let mut parties = Vec::new();
    for name in &args.names {
        let name = Token::new(name.clone()).context("a name is made of 1 to 64 letters, digits and . _ : / -")?;
        anyhow::ensure!(!parties.contains(&(kind, name.clone())), "{name} is named twice");
        parties.push((kind, name));
    }
    let key = key(&args)?;
    let (config, _) = args.vault.load()?;
    let public = key.verifier().to_string();
    let leaving = Leaving { parties, reason, key };
    let opening = Opening { create: false, leaving: Some(leaving), ..Opening::new(RegisterPolicy::Warn) };
    let open = OpenVault::open_with(&config, opening).await?;
    let left = open.left.clone();
    open.close().await;
    if args.json {
        let dropped = |left: &Left| {
            let (forgot, why) = match &left.forgot {
                Forgot::NotAsked => (None, None),
                Forgot::Confirmed => (Some(true), None),
                Forgot::Unconfirmed(why) => (Some(false), Some(why)),
            };
            json!({ "name": left.name, "entry": left.entry, "lastEpoch": left.last_epoch, "forgot": forgot, "why": why })
        };
        say!("{}", json!({ "key": public, "dropped": left.iter().map(dropped).collect::<Vec<_>>() }));
        return Ok(exit::DONE);
    }
    for Left { kind, name, entry, last_epoch, forgot, .. } in left {
        say!("the {} {name} is let go: entry {entry} of the log, signed with {public}", kind.name());
        match forgot {
            Forgot::NotAsked if kind == PartyKind::Agent => say!("it was given nothing"),
            Forgot::NotAsked => say!("what it holds is of epoch {last_epoch} at most"),
            Forgot::Confirmed => say!("it was told to forget what it held, and has confirmed it"),
            // It may have been given a later root and not have told.
            Forgot::Unconfirmed(why) => say!(
                "it has NOT confirmed that it forgot: {why}. What it holds is of epoch {last_epoch} at least. It is asked again by every \
                 start until it has; or destroy its register, and say so: `oubliette party forget {entry}`"
            ),
        }
        say!("take it out of the configuration now");
    }
    Ok(exit::DONE)
}

fn key(args: &DropArgs) -> Result<SigningKey> {
    let Some(path) = &args.key else {
        return SigningKey::generate("operator", KeyKind::Note).context("no key can be drawn");
    };
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.with_context(|| format!("--key: {} cannot be read", path.display()))?;
    SigningKey::parse(text.trim()).with_context(|| format!("--key: {} holds no key", path.display()))
}

async fn list(args: ListArgs) -> Result<u8> {
    let open = OpenVault::open_existing(&args.vault.load()?.0, RegisterPolicy::Warn).await?;
    let medium = open.key_state();
    let parties = tokio::task::spawn_blocking(move || Parties::read(&*medium)).await;
    let owing = open.dismissals.sentences();
    open.close().await;
    for party in parties.context("the work was cut short")??.iter().flat_map(Parties::known) {
        let register = match party.lies_in {
            LiesIn::Register(register) if party.kind == PartyKind::Agent => format!("  register {register}"),
            _ => String::new(),
        };
        say!("{:<7} {}  since epoch {}{register}", party.kind.name(), party.name, party.joined);
    }
    for sentence in owing {
        say!("{:<7} {sentence}", "left");
    }
    Ok(exit::DONE)
}

async fn forget(args: ForgetArgs) -> Result<u8> {
    let open = OpenVault::open_existing(&args.vault.load()?.0, RegisterPolicy::Warn).await?;
    let (medium, entry) = (open.key_state(), args.entry);
    let forgotten = tokio::task::spawn_blocking(move || {
        let mut agent = None;
        let forgive = |parties: &mut Parties| {
            agent = parties.forgive(entry).map(|owed| owed.agent);
            agent.is_some()
        };
        match Parties::change(&medium, || [0; 16], forgive) {
            // It is so here, and each mirror is made like it before anything is sealed.
            Err(error) if waits_for_mirror(&error) && agent.is_some() => Ok((agent, Some(error))),
            noted => noted.map(|_| (agent, None)),
        }
    });
    let forgotten = forgotten.await;
    open.close().await;
    match forgotten.context("the work was cut short")?? {
        (Some(agent), waits) => {
            say!("the agent {agent} that entry {entry} let go is not asked any more");
            if let Some(waits) = waits {
                say!(
                    "a mirror does not have the note of that yet, and gets it once it is back: {:#}",
                    anyhow::Error::from(waits)
                );
            }
        }
        (None, _) => {
            eprintln!("error: no agent that entry {entry} of the log let go owes anything");
            return Ok(exit::NOT_FOUND);
        }
    }
    Ok(exit::DONE)
}
