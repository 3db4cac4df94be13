//! Exit codes: what a script may rely on.

/// Done.
pub const DONE: u8 = 0;
/// Something failed; the message says what.
pub const FAILED: u8 = 1;
/// The command line is wrong (clap's own code).
pub const USAGE: u8 = 2;
/// The configuration is refused.
pub const CONFIG: u8 = 3;
/// What was named is not there.
pub const NOT_FOUND: u8 = 4;
/// Asked and declined, or nobody was there to ask.
pub const DECLINED: u8 = 5;
/// The vault is in use, not ready, or the erasure is due but not sealed yet: try again.
pub const UNAVAILABLE: u8 = 6;
/// Finished, with findings: files that could not be imported, remnants, a doctor's complaint.
pub const FINDINGS: u8 = 7;
/// The vault has moved to another place.
pub const MOVED: u8 = 8;
/// The database is older than the key state: refused until an operator attaches it as a copy that was put back.
pub const BEHIND: u8 = 9;
/// A flush failed: the process ended at once so that nothing is claimed that the disk does not hold. Start it again.
pub const FLUSH_FAILED: u8 = 74;
/// Another process has taken the vault over, because this one was paused or cut off: it ended without another answer.
pub const PASSED_OVER: u8 = 75;

/// All of them with their meaning, for the documentation.
pub const TABLE: [(u8, &str); 12] = [
    (DONE, "done"),
    (FAILED, "something failed; the message says what"),
    (USAGE, "the command line is wrong"),
    (CONFIG, "the configuration is refused"),
    (NOT_FOUND, "what was named is not there"),
    (DECLINED, "asked and declined, or nobody was there to ask (`--yes`)"),
    (UNAVAILABLE, "the vault is in use or not ready, or the erasure is due but not sealed yet: try again"),
    (FINDINGS, "finished, with findings: files not imported, remnants found, a complaint of `doctor`"),
    (MOVED, "the vault has moved to another place: serve it with that one's configuration"),
    (
        BEHIND,
        "the database is older than the key state and nothing was served: if an older copy was put back on purpose, \
         `oubliette restore attach` opens it",
    ),
    (
        FLUSH_FAILED,
        "a flush failed and the process ended at once, so that nothing is claimed that the disk does not hold: start it \
         again, it recovers from what is really there",
    ),
    (
        PASSED_OVER,
        "another process has taken the vault over, because this one was paused or cut off; start it again to stand by",
    ),
];
