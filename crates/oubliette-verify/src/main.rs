//! `oubliette-verify`: checks a certificate, its page, a bulk file or a log. Reads files, and a log where one is named by its
//! address; writes to standard output, and when it follows a log into the folder that it was given for that. `docs/proof.md`
//! describes it. The rules are those of `oubliette-proof`: here is what reads and what tells.

mod args;
mod audit;
mod check;
mod follow;
mod log;
mod report;
mod trust;

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
        Task::Certificate { file, log, id } => check::certificate(file, &args.log_key, log.as_ref(), *id),
        Task::Audit { old, new, log } => audit::audit(old, new, log, &args.log_key),
        Task::Follow { log, state } => Ok(follow::run(log, &args.log_key, state)),
    };
    let outcome = outcome.unwrap_or_else(Outcome::from);
    println!("{}", if args.json { outcome.to_json() } else { outcome.to_text() });
    ExitCode::from(outcome.verdict.code())
}
