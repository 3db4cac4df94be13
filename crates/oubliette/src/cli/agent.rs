//! `oubliette agent`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use oubliette_store::guard;
use oubliette_store::roots::{FileRegister, RegisterError, assess};

use super::serve::StopSignals;
use super::{chain, exit};
use crate::agent::{self, AgentConfig, Release};
use crate::config::Log;
use crate::nodes::NodeTls;
use crate::opening::lowered;
use crate::telemetry;

/// An escrow agent: a small daemon on another machine that holds the vault's root, sealed to the recovery key, and forgets it
/// with every seal. It cannot open what it holds.
#[derive(clap::Args)]
#[command(after_help = "docs/operating/escrow.md tells how agents are set up, and how a lost vault is brought back.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run the agent until SIGTERM or SIGINT
    Serve(Place),
    /// Allow that envelopes are fetched for a recovery, for an hour or as said
    Release {
        #[command(flatten)]
        place: Place,
        /// For how long
        #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
        minutes: u64,
        /// Allow it no longer
        #[arg(long)]
        withdraw: bool,
    },
    /// Check configuration, certificates and the register's filesystem. Exit code 7 when something should be mended
    Check(Place),
}

#[derive(clap::Args)]
struct Place {
    /// The agent's configuration file
    #[arg(long, value_name = "FILE", default_value = "agent.toml")]
    config: PathBuf,
}

pub async fn run(args: Args) -> Result<u8> {
    match args.action {
        Action::Serve(place) => serve(&AgentConfig::load(&place.config)?).await,
        Action::Release { place, minutes, withdraw } => {
            let release = Release::beside(&AgentConfig::load(&place.config)?.register);
            if withdraw {
                release.withdraw()?;
                say!("envelopes are given to nobody");
            } else {
                let until = release.allow(Duration::from_secs(minutes * 60))?;
                say!("envelopes may be fetched until {until}, by whoever has a certificate of the authority");
            }
            Ok(exit::DONE)
        }
        Action::Check(place) => Ok(check(&AgentConfig::load(&place.config)?)),
    }
}

async fn serve(config: &AgentConfig) -> Result<u8> {
    let guards = guard::engage();
    telemetry::init_logs(&Log::default())?;
    for warning in guards.warnings() {
        tracing::warn!("{warning}");
    }
    let mut stop = StopSignals::new()?;
    let end: Arc<dyn Fn() + Send + Sync> = Arc::new(|| {
        eprintln!(
            "error: a write to the register failed; the process ends at once. Start it again: it reads what is there"
        );
        std::process::exit(i32::from(exit::FLUSH_FAILED));
    });
    let running = agent::start(config, end).await?;
    tracing::info!(agent = config.name, address = %running.address, "an escrow agent, listening");
    stop.wait().await;
    running.stop().await;
    Ok(exit::DONE)
}

fn check(config: &AgentConfig) -> u8 {
    let mut code = exit::DONE;
    let mut say = |fine: bool, what: &str, text: &str| {
        say!("{}  {what:<14} {text}", if fine { "ok  " } else { "MEND" });
        if !fine {
            code = exit::FINDINGS;
        }
    };
    match NodeTls::read(&config.files()) {
        Ok(_) => say(true, "certificate", "certificate, key and authority can be read"),
        Err(error) => say(false, "certificate", &chain(error.as_ref())),
    }
    match FileRegister::open(&config.register, &config.register.join("none")) {
        Err(RegisterError::Held) => say(true, "register", "in use: the agent runs, and has said what it thinks of it"),
        Err(error) => say(false, "register", &chain(&error)),
        Ok(register) => match assess(&register) {
            Err(error) => say(false, "register", &chain(&error)),
            Ok(assessment) => match lowered(&assessment) {
                None => say(true, "register", "on a filesystem that overwrites in place"),
                Some(reason) => say(false, "register", &format!("not verified: {reason}")),
            },
        },
    }
    let open = Release::beside(&config.register).is_allowed();
    say(!open, "release", if open { "envelopes may be fetched just now" } else { "envelopes are given to nobody" });
    for warning in guard::engage().warnings() {
        say(false, "memory", &warning);
    }
    code
}
