//! Named moments of a seal, a recovery or a transaction, for crash tests and archives.

/// Told when a named point is reached. Production uses [`NoProbe`]; tests abort the process or copy the data folder there.
pub trait Probe: Send + Sync {
    /// `point` is one of the constant names listed by the module that calls it.
    fn reached(&self, point: &'static str);
}

/// The probe that does nothing.
#[derive(Clone, Copy, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn reached(&self, _point: &'static str) {}
}
