//! Logs, figures, and the probe that times seals. Nothing here names a person, a path or a key.

mod figures;
mod logs;
mod probes;

pub use figures::{record_status, recorder};
pub use logs::init_logs;
pub use probes::SealTimer;
