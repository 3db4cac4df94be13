//! `oubliette token`

use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use oubliette_core::model::{CredentialKind, Scope};
use serde_json::json;
use uuid::Uuid;

use super::common::tenant;
use super::{VaultArgs, exit};
use crate::control::{Ask, CredentialView, Target, Told};

/// Credentials: ElevateAI tokens, Vonage and Creovai clients, tokens of the native API. Secrets are shown once.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a credential and show its secret, this once
    #[command(after_help = "Examples:\n  oubliette token create --kind elevateai --label 'capture'\n  \
        oubliette token create --kind vonage --scope interaction:read --scope interaction:delete")]
    Create(Create),
    /// List credentials without their secrets
    List(List),
    /// Revoke a credential for good
    Revoke(Revoke),
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Native,
    Elevateai,
    Vonage,
    Creovai,
}

impl Kind {
    fn kind(self) -> CredentialKind {
        match self {
            Self::Native => CredentialKind::Native,
            Self::Elevateai => CredentialKind::ElevateAi,
            Self::Vonage => CredentialKind::Vonage,
            Self::Creovai => CredentialKind::Creovai,
        }
    }
}

#[derive(clap::Args)]
struct Create {
    #[command(flatten)]
    vault: VaultArgs,
    /// Tenant by name or number [default: the only one]
    #[arg(long)]
    tenant: Option<String>,
    /// The protocol it opens
    #[arg(long, value_enum)]
    kind: Kind,
    /// What it may do; may be given several times [default: what the protocol's clients need]
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// A label for people; no personal data
    #[arg(long, default_value = "")]
    label: String,
    /// Days after which it stops working
    #[arg(long, value_name = "DAYS")]
    expires: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    vault: VaultArgs,
    /// Tenant by name or number [default: the only one]
    #[arg(long)]
    tenant: Option<String>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Revoke {
    #[command(flatten)]
    vault: VaultArgs,
    /// Tenant by name or number [default: the only one]
    #[arg(long)]
    tenant: Option<String>,
    /// The credential's id
    id: Uuid,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| {
        let known: Vec<_> = Scope::ALL.into_iter().map(Scope::name).collect();
        format!("known scopes are {}", known.join(", "))
    })
}

/// What the protocol's clients need when nothing else is said.
pub fn usual_scopes(kind: CredentialKind) -> Vec<Scope> {
    use Scope::{InteractionDelete, InteractionPurge, InteractionRead, InteractionWrite, MetadataWrite};
    match kind {
        CredentialKind::Native => Scope::ALL.to_vec(),
        CredentialKind::ElevateAi => vec![InteractionWrite, InteractionRead, InteractionDelete],
        CredentialKind::Vonage => vec![InteractionRead, InteractionDelete],
        CredentialKind::Creovai => vec![InteractionWrite, InteractionRead, InteractionPurge, MetadataWrite],
    }
}

pub async fn run(args: Args) -> Result<u8> {
    match args.action {
        Action::Create(args) => create(args).await,
        Action::List(args) => list(args).await,
        Action::Revoke(args) => revoke(args).await,
    }
}

async fn create(args: Create) -> Result<u8> {
    let target = Target::find(&args.vault.load()?.0).await?;
    let tenant = tenant(&target, args.tenant.as_deref()).await?;
    let kind = args.kind.kind();
    let scopes = if args.scopes.is_empty() { usual_scopes(kind) } else { args.scopes };
    let lifetime = args.expires.map(|days| SignedDuration::from_hours(24 * i64::from(days)));
    let ask = Ask::CreateCredential {
        tenant: tenant.id,
        kind: kind.name().to_owned(),
        scopes: scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        label: args.label,
        expires_at: lifetime.and_then(|lifetime| Timestamp::now().checked_add(lifetime).ok()),
    };
    let Told::Credential { credential, secret } = target.ask(ask).await? else { bail!("an unexpected answer") };
    target.close().await;
    if args.json {
        say!(
            "{}",
            json!({ "id": credential.id, "kind": credential.kind, "secret": secret, "scopes": credential.scopes })
        );
        return Ok(exit::DONE);
    }
    match kind {
        CredentialKind::Native | CredentialKind::ElevateAi => say!("token:  {secret}"),
        CredentialKind::Vonage | CredentialKind::Creovai => {
            say!("client id:      {}", credential.id);
            say!("client secret:  {secret}");
        }
    }
    say!("scopes: {}", credential.scopes.join(" "));
    eprintln!("This is the only time the secret is shown. Credential {} of tenant {}.", credential.id, tenant.name);
    Ok(exit::DONE)
}

async fn list(args: List) -> Result<u8> {
    let target = Target::find(&args.vault.load()?.0).await?;
    let tenant = tenant(&target, args.tenant.as_deref()).await?;
    let Told::Credentials { credentials } = target.ask(Ask::Credentials { tenant: tenant.id }).await? else {
        bail!("an unexpected answer")
    };
    target.close().await;
    if args.json {
        say!("{}", serde_json::to_string(&credentials)?);
        return Ok(exit::DONE);
    }
    for credential in &credentials {
        let state = state(credential);
        say!("{}  {:<9}  {:<8}  {}", credential.id, credential.kind, state, credential.label);
        say!("    {}", credential.scopes.join(" "));
    }
    if credentials.is_empty() {
        say!("no credentials; make one with `oubliette token create`");
    }
    Ok(exit::DONE)
}

fn state(credential: &CredentialView) -> &'static str {
    if credential.revoked_at.is_some() {
        "revoked"
    } else if credential.expires_at.is_some_and(|at| at <= Timestamp::now()) {
        "expired"
    } else {
        "active"
    }
}

async fn revoke(args: Revoke) -> Result<u8> {
    let target = Target::find(&args.vault.load()?.0).await?;
    let tenant = tenant(&target, args.tenant.as_deref()).await?;
    target.ask(Ask::RevokeCredential { tenant: tenant.id, id: args.id }).await?;
    target.close().await;
    say!("revoked {}", args.id);
    Ok(exit::DONE)
}
