//! What the process does for its keys before it touches any: no core dumps, no swap, no debugger.

/// Hardens the process; gives what could not be done, for the operator.
pub fn harden() -> Vec<String> {
    Vec::new()
}
