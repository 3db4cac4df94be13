//! What `[mirrors]` says, read into what the program needs.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use oubliette_store::blobs::object::S3Options;
use oubliette_store::media::PartyKind;

use super::places::given;
use super::{Config, ConfigError, NodeFiles};

/// One mirror.
#[derive(Clone, Debug)]
pub struct MirrorPlace {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub at: MirrorAt,
}

/// Where a mirror lies.
#[derive(Clone, Debug)]
pub enum MirrorAt {
    /// In a folder, on another disk.
    Folder(PathBuf),
    /// In a bucket.
    Bucket(Box<S3Options>),
    /// At another Oubliette: host and port, and how this vault shows itself there.
    Host(String, NodeFiles),
}

impl Config {
    /// The mirrors of the key state.
    pub fn mirror_places(&self) -> Result<Vec<MirrorPlace>, ConfigError> {
        let wrong = |text: &str| ConfigError::value("mirrors", "places", text);
        if self.mirrors.timeout_seconds == 0 {
            return Err(ConfigError::value("mirrors", "timeout_seconds", "at least 1"));
        }
        let mut names = BTreeSet::new();
        let mut places = Vec::new();
        for text in &self.mirrors.places {
            let form = "write \"NAME=folder:/PATH\", \"NAME=s3://bucket/prefix\" or \"NAME=https://host:port\"";
            let (name, place) = text.split_once('=').ok_or_else(|| wrong(form))?;
            if oubliette_proof::entry::Token::new(name).is_none() {
                return Err(wrong("a name is made of 1 to 64 letters, digits and . _ : / -"));
            }
            if !names.insert(name) {
                return Err(wrong("two mirrors have the same name"));
            }
            let at = if let Some(path) = place.strip_prefix("folder:") {
                let path = PathBuf::from(path);
                if !path.is_absolute() {
                    return Err(wrong("a folder is named by its whole path, from /"));
                }
                MirrorAt::Folder(path)
            } else if place.starts_with("s3://") {
                MirrorAt::Bucket(Box::new(self.bucket_at("mirrors", "places", place)?))
            } else if let Some(host) = place.strip_prefix("https://") {
                let host = host.trim_end_matches('/');
                if host.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
                    return Err(wrong("a host and a port, for example \"cellar=https://vault-2.example.org:8444\""));
                }
                let section = &self.mirrors;
                let files = [&section.ca_file, &section.certificate_file, &section.key_file];
                MirrorAt::Host(host.to_owned(), all_three("mirrors", files)?)
            } else {
                return Err(wrong(form));
            };
            places.push(MirrorPlace { name: name.to_owned(), at });
        }
        if places.len() > usize::from(u8::MAX) {
            return Err(wrong("too many mirrors"));
        }
        Ok(places)
    }

    /// How long a mirror may take to answer.
    pub fn mirror_limit(&self) -> Duration {
        Duration::from_secs(self.mirrors.timeout_seconds)
    }

    /// Everybody who takes part in seals beside the vault. A party that the key state knows and that is not here stops the
    /// opening.
    pub fn parties(&self) -> Result<Vec<(PartyKind, String)>, ConfigError> {
        let mirrors = self.mirror_places()?.into_iter().map(|place| (PartyKind::Mirror, place.name));
        let agents = self.escrow_place()?.into_iter().flat_map(|escrow| escrow.agents);
        Ok(mirrors.chain(agents.map(|(name, _)| (PartyKind::Agent, name))).collect())
    }

    /// How mirrors of other vaults are kept; `None` when none are.
    pub fn host_place(&self) -> Result<Option<HostPlace>, ConfigError> {
        let section = &self.mirror_host;
        let Some(listen) = section.listen.as_ref().filter(|listen| !listen.is_empty()) else { return Ok(None) };
        let wrong = |key, text: &str| ConfigError::value("mirror_host", key, text);
        let listen = listen.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        let listen = listen.ok_or_else(|| wrong("listen", "an address and a port, for example \"10.0.0.5:8444\""))?;
        let folder = given(section.folder.as_ref());
        let folder = folder.ok_or_else(|| wrong("folder", "a folder for the mirrored vaults' files"))?;
        let files = [&section.ca_file, &section.certificate_file, &section.key_file];
        let files = all_three("mirror_host", files)?;
        Ok(Some(HostPlace { listen, folder, files, max_bytes: section.max_bytes, max_vaults: section.max_vaults }))
    }
}

/// How mirrors of other vaults are kept.
#[derive(Clone, Debug)]
pub struct HostPlace {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where their files lie.
    pub folder: PathBuf,
    /// How this host shows itself, and whom it trusts.
    pub files: NodeFiles,
    /// Bytes that one vault's mirror may take.
    pub max_bytes: u64,
    /// Vaults that may be mirrored here.
    pub max_vaults: usize,
}

fn all_three(section: &'static str, files: [&Option<PathBuf>; 3]) -> Result<NodeFiles, ConfigError> {
    match files.map(|file| given(file.as_ref())) {
        [Some(ca), Some(certificate), Some(key)] => Ok(NodeFiles { section, ca, certificate, key }),
        _ => Err(ConfigError::value(
            section,
            "ca_file",
            "give ca_file, certificate_file and key_file: both sides show one",
        )),
    }
}
