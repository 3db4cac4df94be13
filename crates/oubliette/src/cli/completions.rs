//! `oubliette completions`

use anyhow::Result;
use clap::CommandFactory as _;

use super::{Cli, exit};

/// A completion script, for example `oubliette completions bash > /etc/bash_completion.d/oubliette`.
#[derive(clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub fn run(args: Args) -> Result<u8> {
    clap_complete::generate(args.shell, &mut Cli::command(), "oubliette", &mut std::io::stdout());
    Ok(exit::DONE)
}
