//! Logs, figures, and the probes that time seals and root stores. Nothing here names a person, a path or a key.

mod certificate;
mod figures;
mod logs;
mod probes;
mod register;
mod table;

pub use certificate::expires;
pub use figures::{Serving, node_role, record_agents, record_mirrors, record_readiness, record_status, recorder};
pub use logs::{check_level, init_logs};
pub use probes::SealTimer;
pub use register::WatchedRegister;
pub use table::{FIGURES, Figure, Kind, reference};
