//! `[server]`

use crate::config::section::section;

section! {
    /// The listener: all dialects, the native API and the health end points.
    Server, "server" {
        /// Address and port.
        listen: String = "127.0.0.1:8080".to_owned(),
        /// The address clients use, for links in answers; without a trailing slash. Default: made from `listen`.
        public_url: Option<String> = None,
        /// Serve plain HTTP on an address other than loopback. Say `true` only behind a proxy that ends TLS.
        accept_plain_http: bool = false,
    }
}
