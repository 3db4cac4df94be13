//! Root stores: the only places whose overwritten and destroyed bytes must really be gone.

pub mod carrier;
pub mod check;
pub mod fiemap;
pub mod file;
pub mod keyed;
pub mod openbao;
pub mod options;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod shares;

pub use carrier::{Carrier, FolderCarrier};
pub use check::{Finding, RegisterAssessment, Weight, assess};
pub use file::{FileRegister, RegisterError};
pub use keyed::{KeyedError, KeyedSlots, Keys};
pub use openbao::{Login, OpenBao, OpenBaoError, OpenBaoOptions};
pub use options::{OpenRoots, RootOptions, RootPlace, RootsError, folder_carriers};
#[cfg(feature = "pkcs11")]
pub use pkcs11::{Pin, Pkcs11Error, Pkcs11Options, Token, TokenChoice};
pub use shares::{MultiShare, ShareError};
