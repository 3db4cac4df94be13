//! The right to use keys, for a time.

/// Whether this process may use keys now.
///
/// In a cluster another node may have taken over while this one was paused or cut off; what it erased since must not be
/// served from here. So every use of a key is followed by this question, *before* anything leaves: what was opened under a
/// lease that lapsed meanwhile is thrown away. At most the chunk that was already handed to a socket leaves late.
///
/// Implementations measure with a clock that runs on while the machine sleeps (`CLOCK_BOOTTIME`).
pub trait Lease: Send + Sync {
    /// Whether it holds now. Cheap; called for every chunk.
    fn holds(&self) -> bool;
}

/// For a vault whose process alone can have it open: the lock on its data folder is its lease.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbounded;

impl Lease for Unbounded {
    fn holds(&self) -> bool {
        true
    }
}
