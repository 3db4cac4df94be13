//! The place of what an outsider checks: log entries, the hash tree, checkpoints, receipts, certificates and the verifier.
//!
//! Nothing of it exists yet, and nothing here pretends to. The crate stands in the workspace so that its layering holds from
//! the start: it may depend on the crypto provider and on nothing of ours.
