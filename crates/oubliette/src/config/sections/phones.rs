//! `[phones]`

use crate::config::section::section;

section! {
    /// How phone numbers are read.
    Phones, "phones" {
        /// Region (ISO 3166, two letters) of numbers written without `+`. Without it nothing is guessed: such numbers
        /// are compared after stripping spaces, dots, dashes and parentheses.
        default_region: Option<String> = None,
    }
}
