//! Which of the roots that agents give is the vault's: the one that key pages open under. An agent can invent a root, or change
//! one; it cannot make a page that opens under it ([`oubliette_store::escrow::recovery`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use keyforest::media::Medium;
use keyforest::{ForestError, opens};
use oubliette_store::escrow::recovery::{Candidate, Found, look};
use oubliette_store::escrow::{Envelope, SecretKey};
use oubliette_store::media::Folder;

use crate::config::{Config, MetadataPlace, MirrorAt};

/// Key pages that can be looked into.
pub(super) struct Pages {
    at: String,
    medium: Arc<dyn Medium>,
}

/// Key pages in folders: the vault's own place for them, and mirrors. Writes nothing, and makes no folder.
pub(super) fn pages(config: &Config) -> Result<Vec<Pages>> {
    let mut places = Vec::new();
    if matches!(config.metadata_place()?, MetadataPlace::Sqlite) {
        places.push(("the data folder".to_owned(), config.storage.data.join("packs")));
    }
    for mirror in config.mirror_places()? {
        if let MirrorAt::Folder(path) = mirror.at {
            places.push((format!("the mirror {}", mirror.name), path));
        }
    }
    let mut pages = Vec::new();
    for (at, path) in places.into_iter().filter(|(_, path)| path.is_dir()) {
        let medium: Arc<dyn Medium> = Arc::new(Folder::open(path).with_context(|| format!("the key pages of {at}"))?);
        if medium.list()?.iter().any(|(name, _)| name.ends_with(".kfp")) {
            pages.push(Pages { at, medium });
        }
    }
    Ok(pages)
}

/// The root that is brought back; tells what was passed over, and whose it was. `most` agents at least were given a root before it
/// was in force.
pub(super) fn choose(envelopes: &[Envelope], key: &SecretKey, pages: &[Pages], most: usize) -> Result<Candidate> {
    let found = look(envelopes, key);
    for agent in &found.spoilt {
        println!("warning         agent {agent}: an envelope does not open: it was changed, there or on the way");
    }
    for agent in &found.lavish {
        println!("warning         agent {agent}: it gave more envelopes than an agent can hold: it lies. Two of them count");
    }
    if found.candidates.is_empty() {
        let Some(error) = found.trouble else { bail!("the root cannot be brought back") };
        return Err(error).context("the root cannot be brought back");
    }
    if pages.is_empty() { unchecked(&found, most) } else { checked(&found, pages, most) }
}

fn checked(found: &Found, pages: &[Pages], most: usize) -> Result<Candidate> {
    let mut passed = Vec::new();
    for candidate in &found.candidates {
        if let Some(at) = opened(candidate, pages)? {
            println!("pages           {at}: they open under the root of epoch {}", candidate.root.epoch);
            tell(found, candidate, &passed);
            return Ok(candidate.clone());
        }
        let epoch = candidate.root.epoch;
        if candidate.agents.len() >= most {
            bail!(
                "{} agents hold the root of epoch {epoch} ({}), and none of the key pages that are here opens under it: they are of \
                 another time. Bring those of a mirror that was there to the end; nothing was changed",
                candidate.agents.len(),
                names(&candidate.agents),
            );
        }
        passed.push(candidate);
    }
    let held = found.candidates.iter().map(|held| format!("epoch {} ({})", held.root.epoch, names(&held.agents)));
    bail!(
        "none of the key pages that are here opens under a root that the agents give: {}; nothing was changed",
        held.collect::<Vec<_>>().join(", ")
    )
}

/// Without key pages there is nothing to tell an invented root by, but that agents do not agree.
fn unchecked(found: &Found, most: usize) -> Result<Candidate> {
    let Some(first) = found.candidates.first() else { bail!("the root cannot be brought back") };
    if found.candidates.iter().any(|other| other.instance != first.instance) {
        bail!("the agents hold roots of different vaults: name only those of one in escrow.agents");
    }
    let others: BTreeSet<String> = found.candidates.iter().flat_map(|candidate| &candidate.agents).cloned().collect();
    if others != first.agents && first.agents.len() < most {
        let held = found.candidates.iter().map(|held| format!("epoch {} ({})", held.root.epoch, names(&held.agents)));
        bail!(
            "the agents do not agree which root is the newest: {}. Key pages tell which is the vault's: bring them into the data \
             folder, or name a mirror in a folder that has them; or leave out an agent that you do not trust",
            held.collect::<Vec<_>>().join(", ")
        );
    }
    println!("pages           none are here: whether the root is the vault's shows when it is started");
    tell(found, first, &[]);
    Ok(first.clone())
}

/// Where there are key pages that open under a root.
fn opened<'a>(candidate: &Candidate, pages: &'a [Pages]) -> Result<Option<&'a str>> {
    for Pages { at, medium } in pages {
        match opens(medium, &candidate.block) {
            Ok(instance) if instance == candidate.instance => return Ok(Some(at)),
            Ok(_) | Err(ForestError::PagesDoNotOpen { .. } | ForestError::NoRoot) => {}
            Err(error) => return Err(error).with_context(|| format!("the key pages of {at}")),
        }
    }
    Ok(None)
}

fn tell(found: &Found, root: &Candidate, passed: &[&Candidate]) {
    for candidate in passed {
        for agent in &candidate.agents {
            let epoch = candidate.root.epoch;
            if candidate.root == root.root {
                continue;
            }
            println!(
                "warning         agent {agent}: it gave a root of epoch {epoch} that opens no key pages: it was never in force, or \
                 the agent invented it"
            );
        }
    }
    for agent in found.liars(root) {
        println!(
            "warning         agent {agent}: what it gave under the name of the root of epoch {} is not of it: the agent lies, or its \
             register is damaged",
            root.root.epoch
        );
    }
}

fn names(agents: &BTreeSet<String>) -> String {
    agents.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
