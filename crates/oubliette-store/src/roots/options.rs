//! From what an operator chose to an open root store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyforest::media::SlotDevice;
use thiserror::Error;

use super::check::{RegisterAssessment, Weight};
use super::{
    Carrier, FileRegister, FolderCarrier, KeyedError, KeyedSlots, Keys, MultiShare, OpenBao, OpenBaoError,
    OpenBaoOptions, RegisterError, ShareError, assess,
};
#[cfg(feature = "pkcs11")]
use super::{Pkcs11Error, Pkcs11Options, Token};

/// Which root store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootOptions {
    /// Two blocks of a file, overwritten in place.
    File {
        /// Its directory, outside of the data folder.
        directory: PathBuf,
    },
    /// The transit engine of an OpenBao.
    OpenBao(OpenBaoOptions),
    /// A token with a PKCS#11 module.
    #[cfg(feature = "pkcs11")]
    Pkcs11(Pkcs11Options),
    /// The root as the XOR of shares, each in a store of its own.
    MultiShare {
        /// The stores, none of them split itself. Their order is part of what is written.
        stores: Vec<RootOptions>,
        /// Stores that must confirm a destruction before it counts: all of them unless said otherwise.
        destroy_quorum: Option<usize>,
    },
}

/// What a root store stands on.
pub struct RootPlace<'a> {
    /// The data folder, in which a register file must not lie.
    pub data: &'a Path,
    /// The vault's instance id: part of the names of its keys.
    pub instance: &'a str,
    /// Where the wrapped roots of a store lie, by a name for it (`openbao`, `pkcs11`, or `share-N-` before them).
    pub carrier: &'a dyn Fn(&str) -> std::io::Result<Box<dyn Carrier>>,
}

/// An open root store.
pub struct OpenRoots {
    /// The slots.
    pub device: Arc<dyn SlotDevice>,
    /// What is known about it. For doctor, and for refusing what cannot be relied on.
    pub assessment: RegisterAssessment,
}

/// Why a root store could not be opened. Nothing was lost by any of them.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The register file.
    #[error("the register file cannot be opened")]
    File(#[from] RegisterError),
    /// OpenBao.
    #[error(transparent)]
    OpenBao(#[from] OpenBaoError),
    /// The token.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Pkcs11(#[from] Pkcs11Error),
    /// The keys, or what they wrap.
    #[error(transparent)]
    Keyed(#[from] KeyedError),
    /// The split.
    #[error(transparent)]
    Shares(#[from] ShareError),
    /// A split within a split.
    #[error("a share cannot be split again")]
    Nested,
    /// Two stores of a split are the same: whoever breaks one of them has both.
    #[error("two shares lie in the same store")]
    SameStore,
    /// Looking at the store, or opening its carrier.
    #[error("{operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl RootOptions {
    /// Opens the store and looks at how far it can be relied on. Blocks; may be called on any thread.
    pub fn open(&self, place: &RootPlace<'_>) -> Result<OpenRoots, RootsError> {
        self.open_as(place, "")
    }

    fn open_as(&self, place: &RootPlace<'_>, share: &str) -> Result<OpenRoots, RootsError> {
        match self {
            Self::File { directory } => {
                let register = FileRegister::open(directory, place.data)?;
                let assessment = assess(&register).map_err(failed("looking at the register's place"))?;
                Ok(OpenRoots { device: Arc::new(register), assessment })
            }
            Self::OpenBao(options) => keyed(OpenBao::connect(options)?, place, share, OpenBao::assess),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(options) => keyed(Token::open(options)?, place, share, Token::assess),
            Self::MultiShare { .. } if !share.is_empty() => Err(RootsError::Nested),
            Self::MultiShare { stores, destroy_quorum } => {
                if stores.iter().enumerate().any(|(at, store)| stores[..at].iter().any(|other| other.same_store(store)))
                {
                    return Err(RootsError::SameStore);
                }
                let mut devices = Vec::new();
                let mut assessments = Vec::new();
                for (number, store) in stores.iter().enumerate() {
                    let open = store.open_as(place, &format!("share-{number}-"))?;
                    devices.push(open.device);
                    assessments.push(open.assessment);
                }
                let device = MultiShare::new(devices, *destroy_quorum)?;
                let assessment =
                    together(device.class().into_owned(), &assessments, destroy_quorum.unwrap_or(stores.len()));
                Ok(OpenRoots { device: Arc::new(device), assessment })
            }
        }
    }

    /// Whether one break-in opens both.
    fn same_store(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { directory: one }, Self::File { directory: two }) => one == two,
            (Self::OpenBao(one), Self::OpenBao(two)) => one.address == two.address && one.namespace == two.namespace,
            #[cfg(feature = "pkcs11")]
            (Self::Pkcs11(one), Self::Pkcs11(two)) => one.module == two.module && one.token == two.token,
            _ => false,
        }
    }
}

fn keyed<K: Keys + 'static>(
    keys: K,
    place: &RootPlace<'_>,
    share: &str,
    look: impl Fn(&K) -> std::io::Result<RegisterAssessment>,
) -> Result<OpenRoots, RootsError> {
    let name = format!("{share}{}", keys.class());
    let carrier = (place.carrier)(&name).map_err(failed("opening the place of the wrapped roots"))?;
    let slots = KeyedSlots::open(keys, carrier, place.instance)?;
    let assessment = look(slots.keys()).map_err(failed("looking at the key store"))?;
    Ok(OpenRoots { device: Arc::new(slots), assessment })
}

/// A split is as good as its best stores: as many may be doubtful as need not confirm, and one more must be left.
fn together(class: String, shares: &[RegisterAssessment], quorum: usize) -> RegisterAssessment {
    let good = shares.iter().filter(|share| share.verified).count();
    // However the confirming stores are picked, one of the good ones is among them.
    let enough = good + quorum > shares.len();
    let mut findings = Vec::new();
    for share in shares {
        for finding in &share.findings {
            let mut finding = finding.clone();
            finding.text = format!("{}: {}", share.class, finding.text);
            if enough {
                finding.weight = Weight::Note;
            }
            findings.push(finding);
        }
    }
    RegisterAssessment::of(class, findings)
}

/// Carriers in folders of their own below `parent`, which may be anywhere, also in the data folder.
pub fn folder_carriers(parent: PathBuf) -> impl Fn(&str) -> std::io::Result<Box<dyn Carrier>> {
    move |name| Ok(Box::new(FolderCarrier::open(&parent.join(name))?))
}

fn failed(operation: &'static str) -> impl FnOnce(std::io::Error) -> RootsError {
    move |source| RootsError::Io { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roots::check::{lowers, note};

    #[test]
    fn a_split_is_verified_when_every_confirmed_destruction_has_a_verified_store_in_it() {
        let good = || RegisterAssessment::of("file".to_owned(), vec![note("remark", "a remark")]);
        let bad = || RegisterAssessment::of("file".to_owned(), vec![lowers("doubt", "a doubt")]);
        let verified = |shares: &[RegisterAssessment], quorum| together("m".to_owned(), shares, quorum).verified;
        assert!(verified(&[good(), bad()], 2));
        assert!(!verified(&[good(), bad()], 1), "the doubtful one may have been the only one to confirm");
        assert!(verified(&[good(), good()], 1));
        assert!(!verified(&[bad(), bad()], 2));
        assert!(verified(&[good(), bad(), bad()], 3));
        assert!(!verified(&[good(), bad(), bad()], 2));
    }
}
