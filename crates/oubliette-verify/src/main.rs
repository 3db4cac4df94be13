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

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use args::{Args, Asked, Task};
use report::Outcome;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Check(args)) => args,
        Ok(Asked::Words(words)) => return tell(words, 0),
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
    tell(&if args.json { outcome.to_json() } else { outcome.to_text() }, outcome.verdict.code())
}

/// Writes `words` and a newline to standard output, and ends with `code`. Who reads may stop reading (`| head`): the code is
/// the verdict even so. What cannot be written for another reason ends as what cannot be read does.
fn tell(words: &str, code: u8) -> ExitCode {
    match writeln!(std::io::stdout(), "{words}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("oubliette-verify: standard output: {error}");
            ExitCode::from(report::Verdict::BadInput.code())
        }
        _ => ExitCode::from(code),
    }
}
