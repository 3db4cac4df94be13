//! `oubliette party`

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use oubliette_proof::entry::{Body, Entry, Party, UnsignedDrop};
use oubliette_proof::note::{KeyKind, SigningKey};
use oubliette_proof::{Seconds, Token};
use oubliette_store::media::{Parties, PartyKind};
use serde_json::json;
use zeroize::Zeroizing;

use super::{VaultArgs, exit};
use crate::opening::{OpenVault, Opening, RegisterPolicy};

/// Mirrors that take part in every seal. The server must be stopped: these commands open the vault.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the parties that the key state remembers
    List(ListArgs),
    /// Let a mirror go: from now on the vault seals without it. The log records it, signed. Then take it out of the
    /// configuration
    Drop(DropArgs),
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
    /// Its name in the configuration
    #[arg(value_name = "NAME")]
    name: String,
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

pub async fn run(args: Args) -> Result<u8> {
    let args = match args.command {
        Command::Drop(args) => args,
        Command::List(args) => return list(args).await,
    };
    let reason = Token::new(args.reason.clone()).context("--reason: 1 to 64 letters, digits and . _ : / -")?;
    let name = Token::new(args.name.clone()).context("a name is made of 1 to 64 letters, digits and . _ : / -")?;
    let key = key(&args)?;
    let (config, _) = args.vault.load()?;
    let kind = PartyKind::Mirror;
    let leaving = Some((kind, args.name.clone()));
    let opening = Opening { create: false, leaving, ..Opening::new(RegisterPolicy::Warn) };
    let open = OpenVault::open_with(&config, opening).await?;
    let (open, key, dropped) = drop_on_thread(open, kind, name, reason, key).await?;
    open.close().await;
    let Some((number, last_epoch)) = dropped? else {
        eprintln!("error: no {} {} takes part in seals", kind.name(), args.name);
        return Ok(exit::NOT_FOUND);
    };
    let public = key.verifier().to_string();
    if args.json {
        println!("{}", json!({ "entry": number, "lastEpoch": last_epoch, "key": public }));
    } else {
        println!("the {} {} is let go: entry {number} of the log, signed with {public}", kind.name(), args.name);
        println!("what it holds is of epoch {last_epoch} at most. Take it out of the configuration now");
    }
    Ok(exit::DONE)
}

async fn drop_on_thread(
    open: OpenVault,
    kind: PartyKind,
    name: Token,
    reason: Token,
    key: SigningKey,
) -> Result<(OpenVault, SigningKey, Result<Option<(u64, u64)>>)> {
    let work = move || {
        let dropped = drop_party(&open, kind, name, reason, &key);
        (open, key, dropped)
    };
    tokio::task::spawn_blocking(work).await.context("the work was cut short")
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
    open.close().await;
    for party in parties.context("the work was cut short")??.iter().flat_map(Parties::known) {
        println!("{:<7} {}  since epoch {}", party.kind.name(), party.name, party.joined);
    }
    Ok(exit::DONE)
}

/// The entry's number in the log and the last epoch of the party; `None` when there is no such party.
fn drop_party(
    open: &OpenVault,
    kind: PartyKind,
    name: Token,
    reason: Token,
    key: &SigningKey,
) -> Result<Option<(u64, u64)>> {
    let medium = open.key_state();
    let Some(mut parties) = Parties::read(&*medium)? else { return Ok(None) };
    let Some(party) = parties.drop_party(kind, name.as_str()) else { return Ok(None) };
    let (party_kind, last_epoch) = match kind {
        // Nothing was sealed that a mirror did not hold.
        PartyKind::Mirror => (Party::Mirror, open.epoch_found().max(party.confirmed)),
        PartyKind::Agent => (Party::Agent, party.confirmed),
    };
    let decision = UnsignedDrop { party: party_kind, name, last_epoch, reason };
    let log = open.vault.log();
    let body = Body::PartyDropped(decision.sign(&log.origin(), key));
    let seconds = u64::try_from(Timestamp::now().as_second()).ok().and_then(Seconds::new);
    let entry = Entry { time: seconds.context("this clock is wrong")?, body };
    // First the log, then the list: a decision that is not recorded does not count.
    let number = log.append(&[entry]).context("the log does not take the decision")?;
    parties
        .keep(&medium)
        .context("the log has the decision, the list of parties not yet: give the same command again")?;
    Ok(Some((number, last_epoch)))
}
