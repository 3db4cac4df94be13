//! Keeps key material out of what outlives the process: swap, core dumps, other users' debuggers.
//!
//! None of it is fatal: what could not be had is reported, named in status and left to the operator.

use std::fs;

use rustix::mm::MlockAllFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// What swap there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// None is on.
    Off,
    /// Only compressed memory (zram): nothing reaches a disk, unless zram writes back.
    Compressed,
    /// These devices or files may receive pages.
    On(Vec<String>),
    /// `/proc/swaps` cannot be read.
    Unknown,
}

/// What was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardReport {
    /// All present and future memory stays in RAM; else why not.
    pub memory_locked: Result<(), String>,
    /// The process cannot be dumped or traced by its own user; else why not.
    pub not_dumpable: Result<(), String>,
    /// No core file is written; else why not.
    pub core_files_off: Result<(), String>,
    /// What swap there is. It matters only while memory is not locked.
    pub swap: Swap,
}

impl GuardReport {
    /// What an operator should know, as sentences; empty when everything is in place.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Err(why) = &self.memory_locked {
            match &self.swap {
                Swap::Off => {}
                Swap::Compressed => warnings.push(format!("memory is not locked ({why}) and zram swap is on")),
                Swap::On(places) => warnings.push(format!(
                    "memory is not locked ({why}) and keys may be swapped to {}: lift the limit, or switch swap off",
                    places.join(", ")
                )),
                Swap::Unknown => warnings.push(format!("memory is not locked ({why}) and swap cannot be seen")),
            }
        }
        for (what, result) in [("be dumped", &self.not_dumpable), ("write core files", &self.core_files_off)] {
            if let Err(why) = result {
                warnings.push(format!("the process may {what} ({why})"));
            }
        }
        warnings
    }
}

/// Locks memory, switches dumps off and looks at swap. Call once, before any key is read.
pub fn engage() -> GuardReport {
    GuardReport {
        memory_locked: lock_memory(),
        not_dumpable: rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| e.to_string()),
        core_files_off: rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
            .map_err(|error| error.to_string()),
        swap: fs::read_to_string("/proc/swaps").map_or(Swap::Unknown, |text| swap(&text)),
    }
}

fn lock_memory() -> Result<(), String> {
    let limit = rustix::process::getrlimit(Resource::Memlock);
    if let Some(maximum) = limit.maximum
        && !may_lock_beyond_limit()
    {
        // Locking would succeed while the process is small, and a later allocation would fail.
        return Err(format!("the limit on locked memory is {maximum} bytes; it must be unlimited"));
    }
    if limit.current.is_some() {
        let _ =
            rustix::process::setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    rustix::mm::mlockall(flags).map_err(|error| error.to_string())
}

/// Whether the process holds `CAP_IPC_LOCK`.
fn may_lock_beyond_limit() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits >> CAP_IPC_LOCK & 1 == 1)
}

fn swap(text: &str) -> Swap {
    let places: Vec<String> =
        text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    if places.is_empty() {
        Swap::Off
    } else if places.iter().all(|place| place.starts_with("/dev/zram")) {
        Swap::Compressed
    } else {
        Swap::On(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_told_apart_from_compressed_memory() {
        let head = "Filename\tType\tSize\tUsed\tPriority\n";
        assert_eq!(swap(head), Swap::Off);
        assert_eq!(swap(&format!("{head}/dev/zram0 partition 1 0 100\n")), Swap::Compressed);
        let on = swap(&format!("{head}/dev/zram0 partition 1 0 100\n/swapfile file 1 0 -2\n"));
        assert_eq!(on, Swap::On(vec!["/dev/zram0".to_owned(), "/swapfile".to_owned()]));
    }

    #[test]
    fn unlocked_memory_without_swap_is_no_reason_to_worry_and_with_swap_it_is() {
        let report = |swap: Swap| GuardReport {
            memory_locked: Err("refused".to_owned()),
            not_dumpable: Ok(()),
            core_files_off: Ok(()),
            swap,
        };
        assert!(report(Swap::Off).warnings().is_empty());
        assert_eq!(report(Swap::On(vec!["/swapfile".to_owned()])).warnings().len(), 1);
    }
}
