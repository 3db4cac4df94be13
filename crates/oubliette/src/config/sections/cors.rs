//! `[cors]`

use crate::config::section::section;

section! {
    /// Calls from browsers. Tokens do not belong into pages; leave this empty unless you know the page.
    Cors, "cors" {
        /// Origins that may call from a browser, for example `https://desk.example.org`. Empty: CORS is off.
        origins: Vec<String> = Vec::new(),
    }
}
