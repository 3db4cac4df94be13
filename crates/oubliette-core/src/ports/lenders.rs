//! Keys that were lent to other nodes.

use super::PurgeSet;

/// Who reads contents with keys lent by this vault, and how they are taken back.
///
/// The vault hides a set, wipes its own keys in use, and only then asks to take back what was lent; a key is registered as
/// lent *before* it is copied out. So either the lender finds its key wiped already, or the erasure sees what was lent. No
/// erasure is answered as done, or counted as sealed, before [`Lenders::wait_back`] returned for it.
pub trait Lenders: Send + Sync {
    /// Begins to take back every key of these leaves that is lent. Returns at once.
    fn take_back(&self, set: &PurgeSet);

    /// Whether no key of these leaves can be used anywhere but here any more. Returns at once.
    fn is_back(&self, set: &PurgeSet) -> bool;

    /// Returns when no key of these leaves can be used anywhere but here any more: it was given back, or the lease under
    /// which it was lent has ended. Blocks for no longer than such a lease.
    fn wait_back(&self, set: &PurgeSet);
}

/// For a vault that lends nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLenders;

impl Lenders for NoLenders {
    fn take_back(&self, _set: &PurgeSet) {}

    fn is_back(&self, _set: &PurgeSet) -> bool {
        true
    }

    fn wait_back(&self, _set: &PurgeSet) {}
}
