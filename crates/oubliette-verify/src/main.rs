//! `oubliette-verify`: checks a certificate, its page, a bulk file or a log, offline. Reads files, writes to standard output, and does
//! nothing else. `docs/proof.md` describes it.

mod args;
mod check;
mod folder;
mod follow;
mod report;

use std::process::ExitCode;

use args::{Args, Task};
use report::Outcome;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("oubliette-verify: {wrong}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    let outcome = match &args.task {
        Task::Certificate { file, log, id } => check::certificate(file, &args.log_key, log.as_deref(), *id),
        Task::Audit { old, new, log } => follow::audit(old, new, log, &args.log_key),
    };
    let outcome = outcome.unwrap_or_else(Outcome::from);
    println!("{}", if args.json { outcome.to_json() } else { outcome.to_text() });
    ExitCode::from(outcome.verdict.code())
}
