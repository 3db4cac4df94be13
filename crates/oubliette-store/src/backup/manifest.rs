//! What a copy says of itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BackupError, MARK, Place, place_failed};

/// The only format so far.
const FORMAT: u32 = 1;
/// Largest manifest.
const MOST: u64 = 1 << 20;

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Its name.
    pub id: String,
    /// The vault's id.
    pub instance: Uuid,
    /// The newest seal that the database knew of.
    pub epoch: u64,
    /// Commits of the database until then.
    pub commit_counter: u64,
    /// When it was begun.
    pub taken_at: Timestamp,
    /// Version of the program.
    pub program: String,
    /// The database.
    pub database: FileSum,
    /// The list of files.
    pub files: FileSum,
    /// Contents that the database refers to.
    pub contents: u64,
    /// Bytes of the files in the list.
    pub bytes: u64,
    /// Contents that were erased while the copy was made, and are not in it.
    pub missing: u64,
}

/// Length and SHA-256 of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSum {
    /// Bytes.
    pub length: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

impl FileSum {
    pub(super) fn new((length, sum): (u64, [u8; 32])) -> Self {
        Self { length, sha256: hex::encode(sum) }
    }

    /// Whether a file is this one.
    pub(super) fn is(&self, (length, sum): (u64, [u8; 32])) -> bool {
        self.length == length && self.sha256 == hex::encode(sum)
    }
}

impl Manifest {
    pub(super) const FORMAT: u32 = FORMAT;

    /// A file of the copy.
    pub(super) fn path(id: &str, file: &str) -> String {
        format!("copies/{id}/{file}")
    }

    pub(super) fn read(place: &Place, name: &str) -> Result<Self, BackupError> {
        let bytes = place.whole(name, MOST).map_err(place_failed("reading a manifest"))?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|_| BackupError::Damaged(format!("{name} is no manifest of this format")))?;
        if manifest.format != FORMAT || name != Self::path(&manifest.id, "manifest.json") {
            return Err(BackupError::Damaged(format!("{name} is no manifest of this format")));
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, place: &Place) -> Result<(), BackupError> {
        put_json(place, &Self::path(&self.id, "manifest.json"), self)
    }
}

#[derive(Serialize, Deserialize)]
struct Mark {
    format: u32,
    instance: Uuid,
}

/// Makes sure that the place is for this vault.
pub(super) fn mark(place: &Place, instance: Uuid) -> Result<(), BackupError> {
    let bytes = match place.whole(MARK, MOST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return put_json(place, MARK, &Mark { format: FORMAT, instance });
        }
        Err(error) => return Err(place_failed("reading whose it is")(error)),
    };
    let found: Mark = serde_json::from_slice(&bytes)
        .map_err(|_| BackupError::Damaged(format!("{MARK} does not say which vault's copies these are")))?;
    if found.instance == instance { Ok(()) } else { Err(BackupError::OtherVault(found.instance)) }
}

fn put_json(place: &Place, name: &str, value: &impl Serialize) -> Result<(), BackupError> {
    let json = serde_json::to_vec_pretty(value).map_err(|error| BackupError::Damaged(error.to_string()))?;
    place.put(name, &json[..], json.len() as u64).map_err(place_failed("writing a small file"))?;
    Ok(())
}
