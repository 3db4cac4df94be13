//! What is lost with a disk, told to the operator whenever a vault is served and by `doctor`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use oubliette_store::media::PartyKind;
use oubliette_store::roots::RootOptions;

use super::Leaving;
use crate::config::{BlobPlace, Config, ConfigError, MetadataPlace, MirrorAt, MirrorPlace};

/// How long a look at a place may take.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// Where a part of the key state is when a disk dies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Elsewhere {
    /// Nowhere: it dies too.
    No,
    /// There.
    At(String),
}

/// What would be lost with the disk of the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// For people.
    pub sentence: String,
    /// Keys that are nowhere else are among it.
    pub keys: bool,
}

impl Loss {
    /// Tells the log of a process.
    pub fn tell(&self) {
        if self.keys {
            tracing::warn!("{}", self.sentence);
        } else {
            tracing::info!("{}", self.sentence);
        }
    }
}

/// What would be lost with the disk of the data folder; `None` where rows and keys lie in servers, and no agent holds the root.
/// Parties of `leaving` do not count.
pub(super) fn with_disk(config: &Config, leaving: Option<&Leaving>) -> Result<Option<Loss>, ConfigError> {
    let leaves = |kind, name: &str| leaving.is_some_and(|leaving| leaving.is(kind, name));
    let agents =
        config.escrow_place()?.map_or(Ok(None), |place| place.without(|name| leaves(PartyKind::Agent, name)))?;
    let data = &config.storage.data;
    let places = config.mirror_places()?;
    let mirrors: Vec<&str> = places
        .iter()
        .filter(|place| !same_disk(data, place) && !leaves(PartyKind::Mirror, &place.name))
        .map(|place| &*place.name)
        .collect();
    let embedded = matches!(config.metadata_place()?, MetadataPlace::Sqlite);
    let pages = match &mirrors[..] {
        _ if !embedded => Elsewhere::At("the database server".to_owned()),
        [] => Elsewhere::No,
        names => Elsewhere::At(format!("mirror {}", names.join(", "))),
    };
    let root = match (agents, config.root_place()?) {
        (Some(place), _) => {
            Elsewhere::At(format!("any {} of the {} escrow agents", place.quorum.restore(), place.quorum.agents()))
        }
        (None, RootOptions::File { directory }) if device(&directory) == device(data) => Elsewhere::No,
        (None, RootOptions::File { .. }) => Elsewhere::At("the register's own disk".to_owned()),
        (None, _) => Elsewhere::At("the root store".to_owned()),
    };
    if !embedded && root != Elsewhere::No {
        return Ok(None);
    }
    let contents = match config.blob_place() {
        _ if !embedded => "",
        Ok(BlobPlace::S3(..)) => "the rows, unless there is a backup of them; ",
        _ => "rows and contents, unless there is a backup of them; ",
    };
    let lost = pages == Elsewhere::No || root == Elsewhere::No;
    let sentence = format!("with the disk of the data folder are lost: {contents}{}", keys(pages, root));
    Ok(Some(Loss { sentence, keys: lost }))
}

fn keys(pages: Elsewhere, root: Elsewhere) -> String {
    use Elsewhere::{At, No};
    match (pages, root) {
        (No, No) => {
            "the only copies of key pages and root, without which no backup can be read. A mirror on another disk and \
                     escrow agents keep them (docs/operating/escrow.md)"
                .to_owned()
        }
        (No, At(root)) => format!(
            "the only copy of the key pages, without which no backup can be read, although the root is with {root}. A mirror on \
             another disk keeps them"
        ),
        (At(pages), No) => format!(
            "the only copy of the root, without which no backup can be read, although the key pages are with {pages}. Escrow \
             agents keep it (docs/operating/escrow.md)"
        ),
        (At(pages), At(root)) => format!("no key: the key pages are also with {pages}, the root with {root}"),
    }
}

/// Whether a mirror lies on the disk of the data folder.
pub(super) fn same_disk(data: &Path, place: &MirrorPlace) -> bool {
    let MirrorAt::Folder(path) = &place.at else { return false };
    device(path).is_some_and(|other| device(data) == Some(other))
}

/// The filesystem of a folder; of one that is not there yet, that of the one above it. `None` where it cannot be seen: a place
/// that hangs, like a share whose server is away, keeps a thread and not the start.
fn device(path: &Path) -> Option<u64> {
    let (answer, answered) = mpsc::channel();
    let path = path.to_owned();
    let look = move || {
        let device = path.ancestors().find_map(|path| Some(std::fs::metadata(path).ok()?.dev()));
        let _ = answer.send(device);
    };
    std::thread::Builder::new().name("disk-look".to_owned()).spawn(look).ok()?;
    answered.recv_timeout(LOOK_WITHIN).ok()?
}

#[cfg(test)]
mod tests {
    use oubliette_proof::Token;
    use oubliette_proof::note::{KeyKind, SigningKey};

    use super::*;
    use crate::config::Mirrors;

    fn told(config: &Config) -> String {
        with_disk(config, None).unwrap().map(|loss| loss.sentence).unwrap_or_default()
    }

    #[test]
    fn what_goes_with_the_disk_depends_on_who_else_holds_it() {
        let home = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data = home.path().join("vault");
        assert!(told(&config).contains("rows and contents") && told(&config).contains("key pages and root"));
        let places = vec![format!("near=folder:{}", home.path().join("near").display())];
        config.mirrors = Mirrors { places, ..Mirrors::default() };
        assert!(told(&config).contains("key pages and root"), "on the same disk it is lost with it");
        config.mirrors.places.push("far=s3://bucket/prefix".to_owned());
        config.s3.endpoint = Some("http://localhost:1".to_owned());
        assert!(
            told(&config).contains("only copy of the root") && told(&config).contains("mirror far"),
            "{}",
            told(&config)
        );
        assert!(with_disk(&config, None).unwrap().unwrap().keys, "the root is nowhere else");
        let parties = vec![(PartyKind::Mirror, Token::new("far").unwrap())];
        let key = SigningKey::generate("operator", KeyKind::Note).unwrap();
        let leaving = Leaving { parties, reason: Token::new("retired").unwrap(), key };
        assert!(with_disk(&config, Some(&leaving)).unwrap().unwrap().sentence.contains("key pages and root"));
    }

    #[test]
    fn nothing_is_called_safe_that_lacks_its_other_half() {
        use Elsewhere::{At, No};
        let (pages, root) = (At("mirror far".to_owned()), At("any 2 of the 3 escrow agents".to_owned()));
        assert!(keys(pages.clone(), No).contains("only copy of the root"));
        assert!(keys(No, root.clone()).contains("only copy of the key pages"));
        let both = keys(pages, root);
        assert!(both.contains("no key") && both.contains("mirror far") && both.contains("2 of the 3"));
    }
}
