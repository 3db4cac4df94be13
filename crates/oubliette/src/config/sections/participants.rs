//! `[participants]`

use crate::config::section::section;

section! {
    /// Who counts as a customer.
    Participants, "participants" {
        /// Participant types that are not customers, compared without case. Only the others' numbers and addresses are
        /// found by an erasure.
        internal: Vec<String> = ["agent", "ivr", "system", "bot"].map(str::to_owned).to_vec(),
    }
}
