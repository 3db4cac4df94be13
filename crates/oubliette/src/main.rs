//! Oubliette: a vault for contact-centre interactions whose deletions are provable.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: oubliette::wipe::Wiping = oubliette::wipe::Wiping;

fn main() -> ExitCode {
    oubliette::cli::main()
}
