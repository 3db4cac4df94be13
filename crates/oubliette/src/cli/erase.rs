//! `oubliette erase`

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use oubliette_core::model::Selector;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::common::tenant;
use super::progress::Progress;
use super::{VaultArgs, exit};
use crate::control::{Ask, AskOrder, ErasureProgress, Failure, PlanView, Target, Told};

/// How often the progress is asked for.
const POLL: Duration = Duration::from_millis(100);

/// Interactions of a plan that are shown.
const SHOWN: usize = 10;

/// What `--dry-run --json` prints: the markers of a later search for remnants.
#[derive(Serialize, Deserialize)]
pub struct PlanFile {
    /// What was asked.
    pub selector: Selector,
    /// What it came to.
    pub plan: PlanView,
}

/// Erases whole interactions. Shows the plan, asks, and waits until the erasure is sealed: from then on nothing opens them.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  oubliette erase --phone +15125551234 --dry-run\n  \
    oubliette erase --session S-4711 --id 0190c1d2-... --yes\n  oubliette erase --file requests.txt\n\n\
    A file has one entry a line: phone:NUMBER, email:ADDRESS, session:ID, id:ID, or a bare id. Empty lines and lines\n\
    that begin with # are passed over.")]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Tenant by name or number [default: the only one]
    #[arg(long)]
    tenant: Option<String>,
    /// Phone number of a customer, in any spelling
    #[arg(long = "phone", value_name = "NUMBER")]
    phones: Vec<String>,
    /// E-mail address of a customer
    #[arg(long = "email", value_name = "ADDRESS")]
    emails: Vec<String>,
    /// Session id
    #[arg(long = "session", value_name = "ID")]
    sessions: Vec<String>,
    /// Interaction id
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// File of entries
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Your reference, for example of the request; sealed with the order
    #[arg(long)]
    reference: Option<String>,
    /// Why; sealed with the order
    #[arg(long)]
    reason: Option<String>,
    /// On which ground, as a code such as gdpr:17-1-b; it stays, in the certificate
    #[arg(long, value_name = "CODE")]
    legal_basis: Option<String>,
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
    let selector = selector(&args)?;
    let config = args.vault.load()?.0;
    let target = Target::find(&config).await?;
    let patience = Duration::from_secs(config.erasure.seal_timeout_seconds);
    let code = erase(&target, &args, selector, patience).await;
    target.close().await;
    code
}

async fn erase(target: &Target, args: &Args, selector: Selector, patience: Duration) -> Result<u8> {
    let tenant = tenant(target, args.tenant.as_deref()).await?.id;
    let machine = args.json && args.dry_run;
    let shown = if machine { usize::MAX } else { SHOWN };
    let Told::Plan(plan) = target.ask(Ask::Plan { tenant, selector: selector.clone(), shown }).await? else {
        bail!("an unexpected answer")
    };
    if machine {
        say!("{}", serde_json::to_string(&PlanFile { selector: selector.clone(), plan: plan.clone() })?);
    } else {
        show(&plan);
    }
    if plan.interactions == 0 {
        return Ok(exit::NOT_FOUND);
    }
    if args.dry_run {
        return Ok(exit::DONE);
    }
    if !args.yes && !confirmed(&plan)? {
        eprintln!("nothing was erased");
        return Ok(exit::DECLINED);
    }
    let ask = AskOrder {
        tenant,
        selector,
        reference: args.reference.clone(),
        reason: args.reason.clone(),
        legal_basis: args.legal_basis.clone(),
        plan_hash: plan.hash.clone(),
    };
    let id = match target.ask(Ask::Order(ask)).await {
        Ok(Told::Ordered { id, .. }) => id,
        Ok(_) => bail!("an unexpected answer"),
        Err(error) if error.downcast_ref::<Failure>().is_some_and(|failure| failure.exit == exit::UNAVAILABLE) => {
            eprintln!(
                "the erasure cannot be recorded now ({}). Nothing of it is lost that was accepted; ask again until it is sealed. \
                 `oubliette status{}` says what is waited for",
                super::chain(error.as_ref()),
                args.vault.given()
            );
            return Ok(exit::UNAVAILABLE);
        }
        Err(error) => return Err(error),
    };
    let Some(id) = id else {
        eprintln!("meanwhile there is nothing left to erase");
        return Ok(exit::NOT_FOUND);
    };
    let Some(sealed) = follow(target, tenant, id, &plan, patience).await? else {
        let given = args.vault.given();
        let when = match target {
            Target::Running(_) => "It is sealed as soon as they are again",
            // Nobody is there any more once this command has ended.
            Target::Here(_) => {
                "No server runs, so the next start of one, or the next command, that can make them seals it"
            }
        };
        eprintln!(
            "the erasure {id} is accepted and hidden and not sealed yet: no seals are made now. {when}; `oubliette status{given}` \
             says what they wait for"
        );
        return Ok(exit::UNAVAILABLE);
    };
    if args.json {
        say!("{}", json!({ "erasure": sealed, "missing": plan.missing }));
    } else {
        say!(
            "sealed in epoch {}: {} interactions, {} contents. Nothing opens them any more.",
            sealed.sealed_epoch.unwrap_or_default(),
            sealed.interactions,
            sealed.contents
        );
        say!("certificate: oubliette certificate {id}{}", args.vault.given());
    }
    Ok(exit::DONE)
}

/// Waits until the erasure is sealed; `None` when no seals are made and `patience` is over. While they are made it may take as
/// long as it takes.
async fn follow(
    target: &Target,
    tenant: u32,
    id: Uuid,
    plan: &PlanView,
    patience: Duration,
) -> Result<Option<ErasureProgress>> {
    let progress = Progress::new("hidden; the seal is being made", None);
    let mut state = String::new();
    let mut asked = Instant::now();
    loop {
        let Told::Erasure(erasure) = target.ask(Ask::Erasure { tenant, id }).await? else {
            bail!("an unexpected answer")
        };
        if erasure.state == "sealed" {
            progress.finish();
            return Ok(Some(erasure));
        }
        if asked.elapsed() >= patience {
            let Told::Status(status) = target.ask(Ask::Status).await? else { bail!("an unexpected answer") };
            if !status.sealing {
                return Ok(None);
            }
            asked = Instant::now();
        }
        if erasure.state != state {
            state = erasure.state;
            progress.say(&format!(
                "{state}: {} interactions are hidden, their keys are being destroyed",
                plan.interactions
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn show(plan: &PlanView) {
    say!("This erases {} interactions with {} contents.", plan.interactions, plan.contents);
    for line in &plan.first {
        let session = line.session.as_deref().map(|session| format!("  session {session}")).unwrap_or_default();
        say!("  {}{session}", line.id);
    }
    let more = plan.interactions.saturating_sub(plan.first.len() as u64);
    if more > 0 {
        say!("  … and {more} more");
    }
    for missing in plan.missing.iter().take(10) {
        say!("  not there (any more): {missing}");
    }
    if plan.missing.len() > 10 {
        say!("  … and {} more that are not there", plan.missing.len() - 10);
    }
    say!("plan {}", plan.hash);
}

fn confirmed(plan: &PlanView) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        eprintln!("nobody is there to ask; say --yes to go on without asking");
        return Ok(false);
    }
    eprint!("This cannot be undone. Type the number of interactions ({}) to go on: ", plan.interactions);
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == plan.interactions.to_string())
}

fn selector(args: &Args) -> Result<Selector> {
    let mut selector = Selector {
        ids: args.ids.clone(),
        sessions: args.sessions.clone(),
        phones: args.phones.clone(),
        emails: args.emails.clone(),
    };
    for file in &args.files {
        read_entries(file, &mut selector)?;
    }
    if selector.is_empty() {
        bail!("say what to erase: --phone, --email, --session, --id or --file");
    }
    Ok(selector)
}

fn read_entries(file: &Path, selector: &mut Selector) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry =
            line.split_once(':').map(|(kind, value)| (kind.trim().to_ascii_lowercase(), value.trim().to_owned()));
        match entry {
            Some((kind, value)) if kind == "phone" => selector.phones.push(value),
            Some((kind, value)) if kind == "email" => selector.emails.push(value),
            Some((kind, value)) if kind == "session" => selector.sessions.push(value),
            Some((kind, value)) if kind == "id" => selector.ids.push(value),
            None if Uuid::parse_str(line).is_ok() => selector.ids.push(line.to_owned()),
            _ => bail!("{} line {}: neither phone:, email:, session:, id: nor a bare id", file.display(), number + 1),
        }
    }
    Ok(())
}
