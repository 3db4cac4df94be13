//! Oubliette: a vault for contact-centre interactions whose deletions are provable.

use std::process::ExitCode;

fn main() -> ExitCode {
    oubliette::cli::main()
}
