//! `oubliette doctor`

use anyhow::Result;
use oubliette_store::roots::RegisterError;

use super::{VaultArgs, chain, exit};
use crate::control::{Ask, Target, Told};
use crate::opening::{OpenError, RegisterLook, inspect_register, lowered};

/// Checks a deployment: configuration, register and its filesystem, folder permissions, memory guards, the vault itself.
/// Exit code 7 when something should be mended.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Print every crash point's name and end
    #[cfg(feature = "crashpoints")]
    #[arg(long, hide = true)]
    list_crash_points: bool,
}

/// What was looked at and what was found.
struct Findings {
    complaints: Vec<String>,
}

impl Findings {
    fn fine(&self, what: &str, text: &str) {
        say!("ok    {what:<14} {text}");
    }

    fn complain(&mut self, what: &str, text: &str) {
        say!("MEND  {what:<14} {text}");
        self.complaints.push(text.to_owned());
    }

    /// Unless it was said before, in other surroundings.
    fn repeat(&mut self, what: &str, text: &str) {
        if !self.complaints.iter().any(|said| text.contains(said)) {
            self.complain(what, text);
        }
    }

    fn note(&self, what: &str, text: &str) {
        say!("note  {what:<14} {text}");
    }
}

pub async fn run(args: Args) -> Result<u8> {
    #[cfg(feature = "crashpoints")]
    if args.list_crash_points {
        for point in crate::crash::points() {
            say!("{point}");
        }
        return Ok(exit::DONE);
    }
    let (config, source) = args.vault.load()?;
    let mut findings = Findings { complaints: Vec::new() };
    let file = source.file.map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
    findings.fine("configuration", &file);
    match config.check_transport() {
        Ok(()) if config.tls_enabled() => findings.fine("transport", "TLS"),
        Ok(()) => findings.fine("transport", "plain HTTP, acknowledged or on loopback"),
        Err(error) => findings.complain("transport", &error.to_string()),
    }
    if let (Some(certificate), Some(key)) = (&config.tls.certificate_file, &config.tls.key_file) {
        match crate::http::server_config(certificate, key) {
            Ok(_) => findings.fine("certificate", "certificate and key belong together"),
            Err(error) => findings.complain("certificate", &chain(error.as_ref())),
        }
    }
    if let Ok(Some(files)) = config.node_place().map(|place| place.and_then(|place| place.files)) {
        match crate::nodes::NodeTls::read(&files) {
            Ok(_) => findings.fine("node", "certificate, key and authority can be read"),
            Err(error) => findings.complain("node", &chain(error.as_ref())),
        }
    }
    match inspect_register(&config) {
        // Looked at below, with the vault.
        Ok(RegisterLook::NoPlace) => {}
        Ok(RegisterLook::NoFile) => findings.complain("register", "there is none yet; `serve` or `demo` makes it"),
        Ok(RegisterLook::File(assessment)) => match lowered(&assessment) {
            None => findings.fine("register", "on a filesystem that overwrites in place"),
            Some(reason) => findings.complain("register", &format!("not verified: {reason}")),
        },
        // A server has it, and has judged it: what it found is told with the vault.
        Err(OpenError::Register(RegisterError::Held)) => {
            findings.fine("register", "in use by the process that has the vault")
        }
        Err(error) => findings.complain("register", &chain(&error)),
    }
    let guards = oubliette_store::guard::engage();
    let warnings = guards.warnings();
    if warnings.is_empty() {
        let locked = if guards.memory_locked.is_ok() { "locked" } else { "not locked, and there is no swap" };
        findings.fine("memory", &format!("{locked}; not dumped"));
    }
    for warning in warnings {
        findings.complain("memory", &warning);
    }
    vault(&config, &mut findings).await;
    if findings.complaints.is_empty() {
        say!("all fine");
        Ok(exit::DONE)
    } else {
        say!("{} to mend", findings.complaints.len());
        Ok(exit::FINDINGS)
    }
}

async fn vault(config: &crate::config::Config, findings: &mut Findings) {
    let target = match Target::find(config).await {
        Ok(target) => target,
        Err(error) if matches!(error.downcast_ref(), Some(OpenError::Absent(_))) => {
            findings.complain("vault", "there is none yet; `serve` or `demo` makes it");
            return;
        }
        Err(error) => {
            findings.complain("vault", &chain(error.as_ref()));
            return;
        }
    };
    match target.ask(Ask::Status).await {
        Ok(Told::Status(status)) => {
            let place = status.url.as_deref().unwrap_or("opened for this check");
            let text = format!("{} interactions, epoch {}, {place}", status.interactions, status.epoch);
            findings.fine("vault", &text);
            let class = format!("class {}", status.register_class);
            if status.register_verified {
                findings.fine("root store", &class);
            } else {
                // What is wrong with it is told above, or among the warnings.
                findings.note("root store", &format!("{class}, not verified"));
            }
            status.warnings.iter().for_each(|warning| findings.repeat("vault", warning));
            status.notes.iter().for_each(|note| findings.note("vault", note));
            for mirror in &status.mirrors {
                match &mirror.cause {
                    None => findings.fine("mirror", &format!("{} ({}) holds the key state", mirror.name, mirror.kind)),
                    Some(cause) => findings.complain("mirror", &format!("{} ({}): {cause}", mirror.name, mirror.kind)),
                }
            }
            for agent in status.agents.iter().filter(|agent| agent.answers) {
                findings.fine("escrow agent", &format!("{} does as it is asked", agent.name));
            }
            if !status.sealing {
                findings.complain("sealing", "seals are not being made; deletions stay due");
            } else if status.deletion_lag_seconds > 60 {
                let lag = format!("the oldest deletion waits for {} s", status.deletion_lag_seconds);
                findings.complain("sealing", &lag);
            } else {
                findings.fine("sealing", "no deletion waits");
            }
        }
        Ok(Told::Front(front)) => match front.holder {
            Some(holder) => findings.fine("node", &format!("{}, a front; {holder} holds the vault", front.node)),
            None => findings.complain("node", &format!("{}, a front without a lease with a holder", front.node)),
        },
        Ok(_) => findings.complain("vault", "an unexpected answer"),
        Err(error) => findings.complain("vault", &chain(error.as_ref())),
    }
    target.close().await;
}
