//! The escrow beside the register, where the configuration names agents.

use std::io;
use std::sync::Arc;

use keyforest::Probe;
use keyforest::media::SlotDevice;
use oubliette_store::escrow::{AgentLink, EscrowOptions, Escrowed, HttpsAgent};
use uuid::Uuid;

use super::OpenError;
use crate::config::Config;

/// Puts the configured agents beside the register; `None` without agents. Asks nothing of them yet. Blocks.
///
/// `fence` is the number of this process's claim to the vault, 0 where only one process can have it.
pub(super) fn beside(
    config: &Config,
    register: &Arc<dyn SlotDevice>,
    instance: Uuid,
    fence: u64,
    probe: Arc<dyn Probe>,
) -> Result<Option<Arc<Escrowed>>, OpenError> {
    let Some(place) = config.escrow_place()? else { return Ok(None) };
    let link = |(name, url): (String, String)| {
        let link = HttpsAgent::new(&url, &place.files);
        let link = link.map_err(|source| OpenError::Agent { name: name.clone(), source })?;
        Ok::<_, OpenError>((name, Box::new(link) as Box<dyn AgentLink>))
    };
    let agents = place.agents.into_iter().map(link).collect::<Result<_, _>>()?;
    // Two requests to one agent may follow each other before its answer is missed.
    let patience = place.files.timeout * 2;
    let options = EscrowOptions {
        instance: instance.into_bytes(),
        fence,
        key: place.key,
        quorum: place.quorum,
        agents,
        patience,
        probe,
    };
    let escrowed = Escrowed::new(Arc::clone(register), options);
    Ok(Some(Arc::new(escrowed.map_err(|error| OpenError::Escrow(io::Error::other(error)))?)))
}

/// What is lost with the disks of this machine, in a sentence for the operator.
pub(super) fn loss(agents: bool, mirrors: bool) -> &'static str {
    match (agents, mirrors) {
        (false, false) => {
            "with this machine's disks everything is lost: no agent holds the root, no mirror the key pages (docs/operating/\
             escrow.md)"
        }
        (true, false) => {
            "with this machine's disks everything is lost: agents hold the root, but no mirror holds the key pages that it \
             opens"
        }
        (false, true) => {
            "with this machine's disks everything is lost: a mirror holds the key pages, but no agent the root that opens them"
        }
        (true, true) => {
            "with this machine's disks no key is lost: agents hold the root and a mirror the key pages; rows and contents \
             are as old as their last copy"
        }
    }
}

/// Agents that are not as they should be, in sentences for the operator.
pub fn troubles(escrow: &Escrowed) -> Vec<String> {
    let mut texts = Vec::new();
    for agent in escrow.agents() {
        let name = &agent.name;
        if let Some(trouble) = &agent.state.trouble {
            texts.push(format!("escrow agent {name}: {trouble}"));
        } else if !agent.current {
            texts.push(format!(
                "escrow agent {name} has not confirmed yet that it holds the root in force and no other"
            ));
        }
        if agent.state.went_back > 0 {
            texts.push(format!(
                "escrow agent {name} came back with a root that it had destroyed: a copy of its register exists; find and \
                 destroy it"
            ));
        }
    }
    texts
}
