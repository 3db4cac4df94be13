//! Named moments of a seal, a recovery or a transaction, for crash tests and archives.

/// Told when a named point is reached. Production uses [`NoProbe`]; tests abort the process or copy the data folder there.
pub trait Probe: Send + Sync {
    /// `point` is one of the constant names listed by the module that calls it.
    fn reached(&self, point: &'static str);

    /// Whether to behave wrongly on purpose, so that a test can show that it would notice.
    #[cfg(feature = "broken-variants")]
    #[doc(hidden)]
    fn breaks(&self, _how: Broken) -> bool {
        false
    }
}

/// The probe that does nothing.
#[derive(Clone, Copy, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn reached(&self, _point: &'static str) {}
}

/// Every point this crate reports, in the order in which a vault passes them.
pub const CRASH_POINTS: &[&str] = &[
    CREATE_PAGES_DURABLE,
    CREATE_ROOT_DURABLE,
    PACK_CREATED,
    SEAL_BEGUN,
    SEAL_PAGES_WRITTEN,
    SEAL_PAGES_DURABLE,
    SEAL_VERIFIED,
    SEAL_NEW_ROOT_DURABLE,
    SEAL_OLD_ROOT_DESTROYED,
    SEAL_INSTALLED,
    SEAL_CLEANED,
    JOURNAL_WRITTEN,
    JOURNAL_DURABLE,
    RECOVER_PAGES_OPENED,
    RECOVER_ROOT_REWRITTEN,
    RECOVER_OTHER_DESTROYED,
    RECOVER_CLEANED,
];

pub(crate) const CREATE_PAGES_DURABLE: &str = "keyforest.create.pages_durable";
pub(crate) const CREATE_ROOT_DURABLE: &str = "keyforest.create.root_durable";
pub(crate) const PACK_CREATED: &str = "keyforest.pack.created";
pub(crate) const SEAL_BEGUN: &str = "keyforest.seal.begun";
pub(crate) const SEAL_PAGES_WRITTEN: &str = "keyforest.seal.pages_written";
pub(crate) const SEAL_PAGES_DURABLE: &str = "keyforest.seal.pages_durable";
pub(crate) const SEAL_VERIFIED: &str = "keyforest.seal.verified";
pub(crate) const SEAL_NEW_ROOT_DURABLE: &str = "keyforest.seal.new_root_durable";
pub(crate) const SEAL_OLD_ROOT_DESTROYED: &str = "keyforest.seal.old_root_destroyed";
pub(crate) const SEAL_INSTALLED: &str = "keyforest.seal.installed";
pub(crate) const SEAL_CLEANED: &str = "keyforest.seal.cleaned";
pub(crate) const JOURNAL_WRITTEN: &str = "keyforest.journal.written";
pub(crate) const JOURNAL_DURABLE: &str = "keyforest.journal.durable";
pub(crate) const RECOVER_PAGES_OPENED: &str = "keyforest.recover.pages_opened";
pub(crate) const RECOVER_ROOT_REWRITTEN: &str = "keyforest.recover.root_rewritten";
pub(crate) const RECOVER_OTHER_DESTROYED: &str = "keyforest.recover.other_destroyed";
pub(crate) const RECOVER_CLEANED: &str = "keyforest.recover.cleaned";

/// Mistakes that the tests must catch. Compiled into test builds only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Broken {
    /// The old slot is not overwritten.
    OldSlotKept,
    /// Recovery leaves the other slot as it is.
    RecoveryKeepsOther,
    /// The new root is written before its pages are durable, and nothing is verified.
    RootBeforePages,
    /// Recovery believes what it read without rewriting it.
    RecoveryBelieves,
    /// When the newest root's pages do not open, the older root is taken.
    RollBack,
    /// A page's new version is sealed under the key of the version before.
    PageKeyReused,
    /// After a start, leaves are issued from the first bucket again.
    LeafReissued,
    /// The batch's last leaf is forgotten.
    LeafForgotten,
    /// A live bucket is dropped along with the punctured ones.
    BucketLost,
}

#[cfg(feature = "broken-variants")]
pub(crate) fn broken(probe: &dyn Probe, how: Broken) -> bool {
    probe.breaks(how)
}

#[cfg(not(feature = "broken-variants"))]
pub(crate) fn broken(_probe: &dyn Probe, _how: Broken) -> bool {
    false
}
