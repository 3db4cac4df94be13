//! The operator's permission to give envelopes out: a file beside the register that says until when.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

/// The permission of one agent.
pub struct Release(PathBuf);

impl Release {
    /// Beside the register of this folder.
    pub fn beside(register: &Path) -> Self {
        Self(register.join("release"))
    }

    /// Allows it for so long from now.
    pub fn allow(&self, time: Duration) -> io::Result<Timestamp> {
        let until = Timestamp::now() + time;
        fs::write(&self.0, until.to_string())?;
        Ok(until)
    }

    /// Allows it no longer.
    pub fn withdraw(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether it is allowed at the moment. What cannot be read allows nothing.
    pub fn is_allowed(&self) -> bool {
        let until = fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse::<Timestamp>().ok());
        until.is_some_and(|until| Timestamp::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_ends_by_itself_or_when_it_is_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let release = Release::beside(folder.path());
        assert!(!release.is_allowed());
        release.allow(Duration::from_secs(60)).unwrap();
        assert!(release.is_allowed());
        release.withdraw().unwrap();
        assert!(!release.is_allowed());
        release.withdraw().unwrap();
        release.allow(Duration::ZERO).unwrap();
        assert!(!release.is_allowed());
        fs::write(&release.0, "for ever").unwrap();
        assert!(!release.is_allowed());
    }
}
