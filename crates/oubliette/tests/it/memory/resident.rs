//! Resident memory of a process, as the kernel counts it.

use std::fs;

/// One mebibyte.
pub const MIB: u64 = 1 << 20;

/// A process whose memory is watched.
pub struct Resident {
    pid: u32,
}

impl Resident {
    /// Of this process.
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Bytes now.
    pub fn now(&self) -> u64 {
        self.field("VmRSS:")
    }

    /// Most bytes since [`Resident::forget_peak`].
    pub fn peak(&self) -> u64 {
        self.field("VmHWM:")
    }

    /// Begins a new peak. Where the system does not allow that, the peak since the start goes on to count, which only makes a
    /// test stricter.
    pub fn forget_peak(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    fn field(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}
