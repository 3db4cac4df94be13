//! Who asks an object store.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use oubliette_core::ports::{PortError, PortErrorKind};
use thiserror::Error;

/// A credentials file is read again when it was read this long ago: keys may be exchanged in it.
const READ_AGAIN: Duration = Duration::from_secs(30);

/// Where the keys come from. `Debug` shows no secret.
#[derive(Clone)]
pub enum Credentials {
    /// Named outright.
    Keys {
        /// Access key id.
        id: String,
        /// Secret access key.
        secret: String,
        /// Session token of temporary keys.
        token: Option<String>,
    },
    /// A file in the form of `~/.aws/credentials`, read again while the process runs.
    File {
        /// The file.
        path: PathBuf,
        /// The section; usually `default`.
        profile: String,
    },
    /// `AWS_ACCESS_KEY_ID` and its companions, a web identity token, or a container's credentials: whichever is set.
    Environment,
    /// The role of the machine, from its metadata service.
    Instance,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys { id, .. } => f.debug_struct("Keys").field("id", id).finish_non_exhaustive(),
            Self::File { path, profile } => {
                f.debug_struct("File").field("path", path).field("profile", profile).finish()
            }
            Self::Environment => f.write_str("Environment"),
            Self::Instance => f.write_str("Instance"),
        }
    }
}

/// Why a credentials file cannot be used. Never says what is in it.
#[derive(Debug, Error)]
enum FileError {
    #[error("the credentials file cannot be read")]
    Unreadable(#[source] std::io::Error),
    #[error("the credentials file has no section of this name with a key and a secret")]
    Incomplete,
}

/// Keys from a file.
pub(super) struct FileCredentials {
    path: PathBuf,
    profile: String,
    last: Mutex<(Arc<AwsCredential>, Instant)>,
}

impl fmt::Debug for FileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCredentials").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileCredentials {
    pub(super) fn open(path: PathBuf, profile: String) -> Result<Self, PortError> {
        let first = read(&path, &profile)
            .map_err(|error| PortError::new(PortErrorKind::Refused, "read the credentials file", error))?;
        Ok(Self { path, profile, last: Mutex::new((Arc::new(first), Instant::now())) })
    }
}

#[async_trait]
impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.1.elapsed() >= READ_AGAIN {
            last.1 = Instant::now();
            // A file that is just being replaced: the keys from before still count.
            match read(&self.path, &self.profile) {
                Ok(new) => last.0 = Arc::new(new),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the credentials file could not be read again"
                ),
            }
        }
        Ok(Arc::clone(&last.0))
    }
}

fn read(path: &Path, profile: &str) -> Result<AwsCredential, FileError> {
    let text = std::fs::read_to_string(path).map_err(FileError::Unreadable)?;
    parse(&text, profile).ok_or(FileError::Incomplete)
}

fn parse(text: &str, profile: &str) -> Option<AwsCredential> {
    let (mut id, mut secret, mut token) = (None, None, None);
    let mut here = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            here = section.trim() == profile;
        } else if here && let Some((name, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsCredential { key_id: id?, secret_key: secret?, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n[default]\naws_access_key_id = one\naws_secret_access_key=a=b\n\n[other]\n\
        aws_access_key_id=two\naws_secret_access_key=c\naws_session_token = t\n[half]\naws_access_key_id=three\n";

    #[test]
    fn a_section_gives_its_own_keys() {
        let default = parse(FILE, "default").unwrap();
        assert_eq!((default.key_id.as_str(), default.secret_key.as_str(), default.token), ("one", "a=b", None));
        let other = parse(FILE, "other").unwrap();
        assert_eq!((other.key_id.as_str(), other.token.as_deref()), ("two", Some("t")));
        assert!(parse(FILE, "half").is_none() && parse(FILE, "absent").is_none());
    }

    #[test]
    fn an_unusable_file_is_refused_without_telling_what_is_in_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("credentials");
        assert!(FileCredentials::open(path.clone(), "default".to_owned()).is_err());
        std::fs::write(&path, "[default]\naws_secret_access_key=hidden\n").unwrap();
        let error = FileCredentials::open(path.clone(), "default".to_owned()).unwrap_err();
        assert!(!format!("{error:?}").contains("hidden"));
        std::fs::write(&path, FILE).unwrap();
        let found = FileCredentials::open(path, "other".to_owned()).unwrap();
        assert!(!format!("{found:?}").contains("two"));
    }
}
