//! `oubliette tenant`

use anyhow::{Result, bail};
use clap::Subcommand;

use super::{VaultArgs, exit};
use crate::control::{Ask, Target, Told};

/// Tenants: organisations kept apart, each with an id secret of its own.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a tenant
    Create {
        #[command(flatten)]
        vault: VaultArgs,
        /// Its name: public, no personal data
        name: String,
    },
    /// List tenants
    List {
        #[command(flatten)]
        vault: VaultArgs,
    },
}

pub async fn run(args: Args) -> Result<u8> {
    match args.action {
        Action::Create { vault, name } => {
            let name = name.trim().to_owned();
            if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
                bail!("a tenant's name has 1 to 100 printable characters");
            }
            let target = Target::find(&vault.load()?.0).await?;
            let Told::Tenant(tenant) = target.ask(Ask::CreateTenant { name }).await? else {
                bail!("an unexpected answer")
            };
            target.close().await;
            say!("{}  {}", tenant.id, tenant.name);
        }
        Action::List { vault } => {
            let target = Target::find(&vault.load()?.0).await?;
            let Told::Tenants { tenants } = target.ask(Ask::Tenants).await? else { bail!("an unexpected answer") };
            target.close().await;
            for tenant in tenants {
                say!("{}  {}", tenant.id, tenant.name);
            }
        }
    }
    Ok(exit::DONE)
}
