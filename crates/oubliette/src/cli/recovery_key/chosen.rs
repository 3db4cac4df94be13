//! Which of the roots that agents give is the vault's: the one that key pages open under. An agent can invent a root, or change
//! one; it cannot make a page that opens under it ([`oubliette_store::escrow::recovery`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
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

/// Key pages in folders: the vault's own place for them, and mirrors. Writes nothing, and makes no folder. A place that cannot be
/// read is told and passed over, for another may be whole; only if there is no other that has key pages, nothing is chosen.
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
    readable(places)
}

fn readable(places: Vec<(String, PathBuf)>) -> Result<Vec<Pages>> {
    let (mut pages, mut unread) = (Vec::new(), None);
    for (at, path) in places {
        match listed(path) {
            Ok(Some(medium)) => pages.push(Pages { at, medium }),
            Ok(None) => {}
            Err(error) => {
                let error = anyhow::Error::from(error).context(format!("the key pages of {at}"));
                say!("warning         {error:#}: they cannot be read");
                unread = Some(error);
            }
        }
    }
    match unread {
        Some(error) if pages.is_empty() => Err(error),
        _ => Ok(pages),
    }
}

/// A folder with key pages in it; `None` when there is none.
fn listed(path: PathBuf) -> io::Result<Option<Arc<dyn Medium>>> {
    match path.metadata() {
        Ok(found) if found.is_dir() => {}
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(error);
        }
        _ => return Ok(None),
    }
    let medium: Arc<dyn Medium> = Arc::new(Folder::open(path)?);
    let any = medium.list()?.iter().any(|(name, _)| name.ends_with(".kfp"));
    Ok(any.then_some(medium))
}

/// The root that is brought back; tells what was passed over, and whose it was. `most` agents at least were given a root before it
/// was in force.
pub(super) fn choose(envelopes: &[Envelope], key: &SecretKey, pages: &[Pages], most: usize) -> Result<Candidate> {
    let found = look(envelopes, key);
    for agent in &found.spoilt {
        say!("warning         agent {agent}: an envelope does not open: it was changed, there or on the way");
    }
    for agent in &found.lavish {
        say!(
            "warning         agent {agent}: it gave more envelopes than an agent can hold: it lies. Two of them count"
        );
    }
    if found.candidates.is_empty() {
        let Some(error) = found.trouble else { bail!("the root cannot be brought back") };
        return Err(error).context("the root cannot be brought back");
    }
    if pages.is_empty() { unchecked(&found, most) } else { checked(&found, pages, most) }
}

fn checked(found: &Found, pages: &[Pages], most: usize) -> Result<Candidate> {
    let (mut passed, mut failed) = (Vec::new(), BTreeMap::new());
    for candidate in &found.candidates {
        if let Some(at) = opened(candidate, pages, &mut failed) {
            say!("pages           {at}: they open under the root of epoch {}", candidate.root.epoch);
            tell(found, candidate, &passed);
            return Ok(candidate.clone());
        }
        let epoch = candidate.root.epoch;
        if candidate.agents.len() >= most {
            bail!(
                "{} agents hold the root of epoch {epoch} ({}), and none of the key pages that are here opens under it: they are of \
                 another time. Bring those of a mirror that was there to the end; nothing was changed{}",
                candidate.agents.len(),
                names(&candidate.agents),
                unread(&failed),
            );
        }
        passed.push(candidate);
    }
    let held = found.candidates.iter().map(|held| format!("epoch {} ({})", held.root.epoch, names(&held.agents)));
    bail!(
        "none of the key pages that are here opens under a root that the agents give: {}; nothing was changed{}",
        held.collect::<Vec<_>>().join(", "),
        unread(&failed),
    )
}

/// Which pages nothing is known of, to be told behind a sentence.
fn unread(failed: &BTreeMap<&str, String>) -> String {
    failed.iter().map(|(at, why)| format!(". Those of {at} cannot be read: {why}")).collect()
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
    say!("pages           none are here: whether the root is the vault's shows when it is started");
    tell(found, first, &[]);
    Ok(first.clone())
}

/// Where there are key pages that open under a root. A place that fails, and why, is noted, and told the first time.
fn opened<'a>(candidate: &Candidate, pages: &'a [Pages], failed: &mut BTreeMap<&'a str, String>) -> Option<&'a str> {
    for Pages { at, medium } in pages {
        match opens(medium, &candidate.block) {
            Ok(instance) if instance == candidate.instance => return Some(at),
            Ok(_) | Err(ForestError::PagesDoNotOpen { .. } | ForestError::NoRoot) => {}
            Err(error) => {
                let why = format!("{:#}", anyhow::Error::from(error));
                if failed.insert(at, why.clone()).is_none() {
                    say!("warning         the key pages of {at} cannot be read: {why}");
                }
            }
        }
    }
    None
}

fn tell(found: &Found, root: &Candidate, passed: &[&Candidate]) {
    for candidate in passed {
        for agent in &candidate.agents {
            let epoch = candidate.root.epoch;
            if candidate.root == root.root {
                continue;
            }
            say!(
                "warning         agent {agent}: it gave a root of epoch {epoch} that opens no key pages: it was never in force, or \
                 the agent invented it"
            );
        }
    }
    for agent in found.liars(root) {
        say!(
            "warning         agent {agent}: what it gave under the name of the root of epoch {} is not of it: the agent lies, or its \
             register is damaged",
            root.root.epoch
        );
    }
}

fn names(agents: &BTreeSet<String>) -> String {
    agents.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use keyforest::media::{MemorySlots, SlotDevice};
    use keyforest::{Forest, ForestConfig, NoProbe, Pins, RootName, Stores};
    use oubliette_store::escrow::Quorum;
    use oubliette_store::escrow::envelope::seal;
    use rustix::io::Errno;

    use super::*;

    const INSTANCE: [u8; 16] = *b"instance of test";

    /// A disk that is about to be lost.
    struct Broken;

    impl Medium for Broken {
        fn create(&self, _: &str, _: u64) -> io::Result<()> {
            Err(Errno::IO.into())
        }
        fn write_at(&self, _: &str, _: u64, _: &[u8]) -> io::Result<()> {
            Err(Errno::IO.into())
        }
        fn flush(&self, _: &str) -> io::Result<()> {
            Err(Errno::IO.into())
        }
        fn read_at(&self, _: &str, _: u64, _: usize) -> io::Result<Vec<u8>> {
            Err(Errno::IO.into())
        }
        fn read_back(&self, _: &str, _: u64, _: usize) -> io::Result<Vec<u8>> {
            Err(Errno::IO.into())
        }
        fn truncate(&self, _: &str, _: u64) -> io::Result<()> {
            Err(Errno::IO.into())
        }
        fn list(&self) -> io::Result<Vec<(String, u64)>> {
            Err(Errno::IO.into())
        }
        fn remove(&self, _: &str) -> io::Result<()> {
            Err(Errno::IO.into())
        }
    }

    fn broken() -> Pages {
        Pages { at: "the data folder".to_owned(), medium: Arc::new(Broken) }
    }

    #[test]
    fn a_place_that_cannot_be_read_does_not_stand_in_the_way_of_one_that_can() {
        let folder = tempfile::tempdir().unwrap();
        let register = Arc::new(MemorySlots::default());
        let packs: Arc<dyn Medium> = Arc::new(Folder::open(folder.path()).unwrap());
        let stores = Stores {
            packs: Arc::clone(&packs),
            register: Arc::clone(&register) as Arc<dyn SlotDevice>,
            probe: Arc::new(NoProbe),
        };
        let config = ForestConfig { reserve_bytes: 4096, provision_buckets: 2, ..ForestConfig::default() };
        drop(Forest::create(stores, config, b"", Pins { instance: INSTANCE, ..Pins::default() }).unwrap());
        let mut blocks = (0..2).map(|slot| register.read_slot(slot).unwrap());
        let block = blocks.find(|block| RootName::of(block).is_some()).unwrap();
        let secret = SecretKey::generate().unwrap();
        let key = secret.public().unwrap();
        let envelope = seal(&block, INSTANCE, Quorum::plain(1).unwrap(), 1, "attic", &key).unwrap();
        let mirror = || Pages { at: "the mirror cellar".to_owned(), medium: Arc::clone(&packs) };

        let chosen = choose(std::slice::from_ref(&envelope), &secret, &[broken(), mirror()], 1).unwrap();
        assert!(*chosen.block == *block);
        let refused = choose(&[envelope], &secret, &[broken()], 1).err().unwrap().to_string();
        assert!(refused.contains("the data folder cannot be read"), "{refused}");
    }

    #[test]
    fn a_folder_that_cannot_be_opened_is_no_reason_to_go_without_key_pages() {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| (name.to_owned(), home.path().join(name));
        std::os::unix::fs::symlink(home.path().join("disk"), home.path().join("disk")).unwrap();
        std::fs::create_dir(home.path().join("mirror")).unwrap();
        // Nothing is checked where there are none; where there may be some, nothing is believed without.
        assert!(readable(vec![place("nowhere"), place("mirror")]).unwrap().is_empty());
        assert!(readable(vec![place("disk"), place("mirror")]).is_err());
        std::fs::write(home.path().join("mirror").join("1.kfp"), b"").unwrap();
        assert_eq!(readable(vec![place("disk"), place("mirror")]).unwrap().len(), 1);
    }
}
