//! Threads that may wait for a disk.
//!
//! An adapter keeps the disk away from the threads of the async runtime: it hands work to threads of its own, and each call
//! costs two changes of thread. A thread that serves nobody else needs none of that; it says so once, and an adapter may then
//! do there what it is asked, before the call's future first returns.

use std::cell::Cell;

thread_local! {
    static MAY_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Says of the current thread, for the rest of its life, that it may wait. Not for threads of an async runtime.
pub fn this_thread_may_wait() {
    MAY_WAIT.set(true);
}

/// Whether the current thread may wait.
pub fn may_wait() -> bool {
    MAY_WAIT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_wait_only_once_it_said_so() {
        let of_another = std::thread::spawn(|| {
            let before = may_wait();
            this_thread_may_wait();
            (before, may_wait())
        });
        assert_eq!(of_another.join().unwrap(), (false, true));
        assert!(!may_wait(), "what another thread says of itself");
    }
}
