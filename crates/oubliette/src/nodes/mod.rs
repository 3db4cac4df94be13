//! Several processes serving side by side (`docs/adr/0012`).
//!
//! One of them is the *holder*: it has the claim to the key state, and with it the only writer of directory, lanes and look-up
//! map. All others are *fronts*: they listen to clients like it does and pass every request on to it ([`forward`]). Only the
//! bytes of stored contents do not travel between nodes: the holder lends the key of that one content, and the front reads
//! the sealed bytes from the bucket itself ([`granted`]), for as long as it has a lease with the holder ([`lease`],
//! [`lendings`]). When the holder goes, one of the fronts becomes it.
//!
//! ```text
//! client ──► front ── request ──► holder ──► rows, keys
//!              ▲ ◄── key, place ──┘
//!              └── sealed bytes ── bucket
//! ```

mod body;
mod forward;
mod front;
mod granted;
mod holder;
mod lease;
mod lendings;
mod ops;
mod peer;
mod run;
#[cfg(test)]
mod simulated;
mod tls;
mod wire;

pub use run::serve;
pub use tls::NodeTls;
