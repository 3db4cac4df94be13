//! `oubliette config`

use std::io::Write as _;

use anyhow::Result;
use clap::Subcommand;

use super::{VaultArgs, exit, to_standard_output};
use crate::config::{example, reference};

/// The configuration: one TOML file, environment overrides, defaults for everything.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Read and check the configuration; says what is wrong with which key
    Check {
        #[command(flatten)]
        vault: VaultArgs,
    },
    /// Print what is in force: file, environment and arguments laid over the defaults
    Show {
        #[command(flatten)]
        vault: VaultArgs,
    },
    /// Print an example file with every key and its default
    Example,
    /// Print the reference as Markdown
    Reference,
}

pub fn run(args: Args) -> Result<u8> {
    match args.action {
        Action::Check { vault } => {
            let (config, source) = vault.load()?;
            config.check_transport()?;
            if let (Some(certificate), Some(key)) = (&config.tls.certificate_file, &config.tls.key_file) {
                crate::http::server_config(certificate, key)?;
            }
            if let Some(files) = config.node_place()?.and_then(|place| place.files) {
                crate::nodes::NodeTls::read(&files)?;
            }
            match source.file {
                Some(file) => say!("{} is fine", file.display()),
                None => say!("no file; the defaults are fine"),
            }
            for name in source.variables {
                say!("with {name}");
            }
        }
        Action::Show { vault } => {
            let (config, _) = vault.load()?;
            let text = toml::to_string(&config.values())?;
            to_standard_output(|out| out.write_all(text.as_bytes()));
        }
        Action::Example => to_standard_output(|out| out.write_all(example().as_bytes())),
        Action::Reference => to_standard_output(|out| out.write_all(reference().as_bytes())),
    }
    Ok(exit::DONE)
}
