//! `oubliette completions`

use std::io::Write as _;

use anyhow::Result;
use clap::CommandFactory as _;

use super::{Cli, exit, to_standard_output};

/// A completion script, for example `oubliette completions bash > /etc/bash_completion.d/oubliette`.
#[derive(clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub fn run(args: Args) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "oubliette", &mut script);
    to_standard_output(|out| out.write_all(&script));
    Ok(exit::DONE)
}
