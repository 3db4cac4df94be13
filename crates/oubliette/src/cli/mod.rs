//! The command line.

/// Prints a line on standard output. Whoever reads it may have read enough and gone, which is no reason to end amid the work;
/// that it cannot be written for another reason ends the program.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::line(format_args!($($words)*)) };
}

mod agent;
mod backup;
mod bench;
mod certificate;
mod common;
mod completions;
mod config;
mod demo;
mod doctor;
mod erase;
pub mod exit;
mod import;
mod log;
mod migrate;
mod party;
mod progress;
mod recovery_key;
mod reference;
mod remnants;
mod restore;
pub(crate) mod serve;
mod status;
mod tenant;
mod token;

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use oubliette_core::service::Mismatch;

pub use common::{VaultArgs, chain};
pub use reference::reference;
pub use token::usual_scopes;

use crate::config::ConfigError;
use crate::control::Failure;
use crate::opening::OpenError;

/// A vault for contact-centre interactions whose deletions are provable.
///
/// Recordings, transcripts and everything said about them are stored sealed. Deleting destroys the keys, and the destruction
/// is sealed by overwriting 32 bytes: after that nothing opens what was deleted, not even with every backup ever made.
#[derive(Parser)]
#[command(name = "oubliette", version, after_help = "Begin with:  oubliette demo\nDocumentation: docs/, README.md")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a vault: all dialects, the native API, health and figures on one listener
    Serve(serve::Args),
    /// Make a vault with sample recordings, serve it, and print credentials and curl lines that work
    Demo(demo::Args),
    /// Load recordings from a folder (with sidecar JSON or a CSV manifest) or vCon files
    Import(import::Args),
    /// Erase by phone, e-mail, session or id: shows the plan, asks, waits until it is sealed
    Erase(erase::Args),
    /// Give out the certificate of an erasure: JSON, a page for people, receipts of all items
    Certificate(certificate::Args),
    /// Make, list and revoke credentials
    Token(token::Args),
    /// Make and list tenants
    Tenant(tenant::Args),
    /// Show the transparency log, print or change its key, begin another one after a loss
    Log(log::Args),
    /// Show figures of the vault: register class, deletion lag, backlog
    Status(status::Args),
    /// Check a deployment: filesystem, register, memory, configuration
    Doctor(doctor::Args),
    /// Check, show and document the configuration
    Config(config::Args),
    /// Move a vault from its data folder to PostgreSQL and a bucket while it serves
    Migrate(migrate::Args),
    /// Copy a vault's data while it is served; list, check and remove copies
    Backup(backup::Args),
    /// List mirrors and agents that take part in every seal, and let one go
    Party(party::Args),
    /// Run an escrow agent, which holds the root of a vault on another machine
    Agent(agent::Args),
    /// Make and check the off-line key that escrow agents' envelopes are sealed to, and bring a lost root back with it
    RecoveryKey(recovery_key::Args),
    /// Put an older copy of the data back beside the key state as it is now
    Restore(restore::Args),
    /// Search every file of the data folder for remnants of what should be gone
    Remnants(remnants::Args),
    /// Measure sealed deletes, ingest and reads on this machine
    Bench(bench::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the reference of all commands as Markdown
    #[command(hide = true)]
    Reference,
}

/// Runs the command of the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let done = runtime.block_on(run(cli.command));
    // Work that hangs in a blocking thread must not keep the process alive once everything is closed.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::from(code_of(&error))
        }
    }
}

/// A line of [`say!`].
fn line(words: fmt::Arguments<'_>) {
    to_standard_output(|out| writeln!(out, "{words}"));
}

/// Writes to standard output. Who reads may stop reading (`| head`); anything else that goes wrong ends the program.
pub(crate) fn to_standard_output(write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: standard output: {error}");
            std::process::exit(exit::FAILED.into());
        }
        _ => {}
    }
}

async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Erase(args) => erase::run(args).await,
        Command::Certificate(args) => certificate::run(args).await,
        Command::Token(args) => token::run(args).await,
        Command::Tenant(args) => tenant::run(args).await,
        Command::Log(args) => log::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Config(args) => config::run(args),
        Command::Migrate(args) => migrate::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Party(args) => party::run(args).await,
        Command::Agent(args) => agent::run(args).await,
        Command::RecoveryKey(args) => recovery_key::run(args).await,
        Command::Restore(args) => restore::run(args).await,
        Command::Remnants(args) => remnants::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Completions(args) => completions::run(args),
        Command::Reference => {
            to_standard_output(|out| out.write_all(reference().as_bytes()));
            Ok(exit::DONE)
        }
    }
}

/// The exit code that fits an error.
fn code_of(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.exit;
        }
        if matches!(
            cause.downcast_ref(),
            Some(
                Mismatch::DatabaseBehind { .. } | Mismatch::ErasureUnknown { .. } | Mismatch::DatabaseBehindLog { .. }
            )
        ) {
            return exit::BEHIND;
        }
        if cause.is::<ConfigError>() {
            return exit::CONFIG;
        }
        match cause.downcast_ref::<OpenError>() {
            Some(OpenError::Config(_) | OpenError::Unverified { .. } | OpenError::PartyMissing { .. }) => {
                return exit::CONFIG;
            }
            Some(OpenError::InUse(_) | OpenError::Elsewhere | OpenError::NotArrived) => return exit::UNAVAILABLE,
            Some(OpenError::Moved(_)) => return exit::MOVED,
            Some(OpenError::Absent(_) | OpenError::NoSuchParty { .. }) => return exit::NOT_FOUND,
            _ => {}
        }
    }
    exit::FAILED
}
