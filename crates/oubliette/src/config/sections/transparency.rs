//! `[transparency]`

use crate::config::section::section;

section! {
    /// The transparency log, in which the vault states what it erased (docs/operating/log.md).
    Transparency, "transparency" {
        /// The log's name, for good: `oubliette/` and the vault's id when it is not set. A host name and a path that are
        /// yours are a good one.
        origin: Option<String> = None,
        /// Whether `/log/` is served, to anybody and without a credential. It holds hashes, counts and times, nothing
        /// personal; without it a certificate can still be checked, but nobody can follow the log.
        public: bool = true,
        /// Witnesses that are asked to sign each checkpoint (C2SP tlog-witness): address of the witness, a space, and its
        /// public key in signed-note form. One that does not answer is told in the figures and holds up nothing.
        witnesses: Vec<String> = Vec::new(),
    }
}
