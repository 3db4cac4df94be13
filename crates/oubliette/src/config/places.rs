//! Which engines the configuration names, read into the adapters' own options.

use std::path::PathBuf;
use std::time::Duration;

use oubliette_store::blobs::object::{Credentials, Encryption, ObjectOptions, S3Options, Style};
use oubliette_store::postgres::Options as PostgresServer;
use oubliette_store::roots::{Login, OpenBaoOptions, RootOptions};
#[cfg(feature = "pkcs11")]
use oubliette_store::roots::{Pin, Pkcs11Options, TokenChoice};

use super::{Config, ConfigError};

/// Where the rows lie, and with them the key state.
#[derive(Clone, Debug)]
pub enum MetadataPlace {
    /// In the data folder.
    Sqlite,
    /// On this server.
    Postgres(Box<PostgresServer>),
}

/// Where the sealed contents lie.
#[derive(Clone, Debug)]
pub enum BlobPlace {
    /// In the data folder.
    Local,
    /// In this bucket.
    S3(Box<S3Options>, ObjectOptions),
}

/// The second, independent place of key pages beside PostgreSQL.
#[derive(Clone, Debug)]
pub enum SecondPlace {
    /// The object store of the contents.
    Blobs,
    /// A folder, on another disk.
    Folder(PathBuf),
    /// A standby that the primary waits for.
    Standby(Box<PostgresServer>),
}

impl Config {
    /// Where the rows lie.
    pub fn metadata_place(&self) -> Result<MetadataPlace, ConfigError> {
        match self.storage.metadata.as_str() {
            "sqlite" => Ok(MetadataPlace::Sqlite),
            url => Ok(MetadataPlace::Postgres(Box::new(self.server_at("storage", "metadata", url)?))),
        }
    }

    /// Where the contents lie.
    pub fn blob_place(&self) -> Result<BlobPlace, ConfigError> {
        if self.storage.blobs == "local" {
            return Ok(BlobPlace::Local);
        }
        let options = self.bucket_at("storage", "blobs", &self.storage.blobs)?;
        let limits =
            ObjectOptions { timeout: Duration::from_secs(self.s3.timeout_seconds), ..ObjectOptions::default() };
        Ok(BlobPlace::S3(Box::new(options), limits))
    }

    /// A bucket named in `[section] key`, reached as `[s3]` says.
    pub fn bucket_at(&self, section: &'static str, key: &'static str, url: &str) -> Result<S3Options, ConfigError> {
        let wrong = |text: &str| ConfigError::value(section, key, text);
        let rest = url.strip_prefix("s3://").ok_or_else(|| wrong("\"local\" or \"s3://bucket/prefix\""))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("the bucket's name is missing: \"s3://bucket/prefix\""));
        }
        let style = if self.s3.virtual_hosted { Style::Virtual } else { Style::Path };
        Ok(S3Options {
            prefix: prefix.trim_matches('/').to_owned(),
            region: self.s3.region.clone(),
            endpoint: self.s3.endpoint.clone().filter(|endpoint| !endpoint.is_empty()),
            style,
            encryption: self.encryption()?,
            ca_file: given(self.s3.ca_file.as_ref()),
            allow_http: self.s3.allow_http,
            ..S3Options::new(bucket, self.s3_credentials()?)
        })
    }

    /// The second place of key pages. Asked only when the first is PostgreSQL.
    pub fn second_place(&self) -> Result<SecondPlace, ConfigError> {
        let wrong = |text: &str| ConfigError::value("key_state", "second", text);
        match self.key_state.second.as_str() {
            "blobs" if matches!(self.blob_place()?, BlobPlace::S3(..)) => Ok(SecondPlace::Blobs),
            "blobs" => Err(wrong("storage.blobs names no bucket; name one, or \"folder:PATH\", or \"standby:URL\"")),
            other => match other.split_once(':') {
                Some(("folder", path)) if !path.is_empty() => Ok(SecondPlace::Folder(PathBuf::from(path))),
                Some(("standby", url)) => {
                    Ok(SecondPlace::Standby(Box::new(self.server_at("key_state", "second", url)?)))
                }
                _ => Err(wrong("\"blobs\", \"folder:PATH\" or \"standby:URL\"")),
            },
        }
    }

    /// The root store.
    pub fn root_place(&self) -> Result<RootOptions, ConfigError> {
        if self.root.class != "multi-share" {
            return self.root_of("class", &self.root.class);
        }
        if self.root.shares.len() < 2 {
            return Err(ConfigError::value("root", "shares", "at least two classes"));
        }
        let stores = self.root.shares.iter().map(|class| self.root_of("shares", class)).collect::<Result<_, _>>()?;
        Ok(RootOptions::MultiShare { stores, destroy_quorum: None })
    }

    fn root_of(&self, key: &str, class: &str) -> Result<RootOptions, ConfigError> {
        match class {
            "file" => Ok(RootOptions::File { directory: self.register_folder()? }),
            "openbao" => Ok(RootOptions::OpenBao(self.openbao_options()?)),
            "pkcs11" => self.pkcs11_options(),
            _ => Err(ConfigError::value("root", key, "\"file\", \"openbao\", \"pkcs11\" or \"multi-share\"")),
        }
    }

    fn openbao_options(&self) -> Result<OpenBaoOptions, ConfigError> {
        let section = &self.openbao;
        if section.address.is_empty() {
            return Err(ConfigError::value("openbao", "address", "the URL of the server"));
        }
        let login = match (given(section.token_file.as_ref()), &section.role_id, given(section.secret_id_file.as_ref()))
        {
            (Some(file), None, None) => Login::TokenFile(file),
            (None, Some(role), Some(file)) => {
                Login::AppRole { role_id: role.clone(), secret_id_file: file, mount: section.approle_mount.clone() }
            }
            _ => {
                let text = "give token_file, or role_id and secret_id_file";
                return Err(ConfigError::value("openbao", "token_file", text));
            }
        };
        Ok(OpenBaoOptions {
            mount: section.mount.clone(),
            namespace: section.namespace.clone().filter(|namespace| !namespace.is_empty()),
            ca_file: given(section.ca_file.as_ref()),
            timeout: Duration::from_secs(section.timeout_seconds),
            ..OpenBaoOptions::new(section.address.clone(), login)
        })
    }

    #[cfg(feature = "pkcs11")]
    fn pkcs11_options(&self) -> Result<RootOptions, ConfigError> {
        let section = &self.pkcs11;
        let pin = given(section.pin_file.as_ref())
            .ok_or_else(|| ConfigError::value("pkcs11", "pin_file", "a file with the user's PIN"))?;
        if section.module.as_os_str().is_empty() {
            return Err(ConfigError::value("pkcs11", "module", "the vendor's module, a shared library"));
        }
        Ok(RootOptions::Pkcs11(Pkcs11Options {
            module: section.module.clone(),
            token: TokenChoice::Label(section.token.clone()),
            pin: Pin::File(pin),
        }))
    }

    #[cfg(not(feature = "pkcs11"))]
    fn pkcs11_options(&self) -> Result<RootOptions, ConfigError> {
        let text = "this program was built without PKCS#11: build it with the feature `pkcs11`";
        Err(ConfigError::value("root", "class", text))
    }

    fn server_at(&self, section: &'static str, key: &'static str, url: &str) -> Result<PostgresServer, ConfigError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest =
            rest.ok_or_else(|| ConfigError::value(section, key, "\"sqlite\" or a URL that begins with postgres://"))?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || rest.contains("password=") {
            return Err(ConfigError::value(section, key, "no password here: name a file in postgres.password_file"));
        }
        Ok(PostgresServer {
            url: url.to_owned(),
            password_file: given(self.postgres.password_file.as_ref()),
            ca_file: given(self.postgres.ca_file.as_ref()),
            connect_timeout: Duration::from_secs(self.postgres.connect_timeout_seconds),
            statement_timeout: Duration::from_secs(self.postgres.statement_timeout_seconds),
            ..PostgresServer::default()
        })
    }

    fn encryption(&self) -> Result<Encryption, ConfigError> {
        match self.s3.encryption.as_str() {
            "bucket" => Ok(Encryption::BucketDefault),
            "AES256" => Ok(Encryption::Store),
            "aws:kms" => {
                let key = self.s3.kms_key.clone().filter(|key| !key.is_empty());
                Ok(Encryption::Kms { key, bucket_key: true })
            }
            _ => Err(ConfigError::value("s3", "encryption", "\"bucket\", \"AES256\" or \"aws:kms\"")),
        }
    }

    fn s3_credentials(&self) -> Result<Credentials, ConfigError> {
        match self.s3.credentials.as_str() {
            "environment" => Ok(Credentials::Environment),
            "instance" => Ok(Credentials::Instance),
            "file" => Ok(Credentials::File {
                path: given(self.s3.credentials_file.as_ref())
                    .ok_or_else(|| ConfigError::value("s3", "credentials_file", "the file with the keys"))?,
                profile: self.s3.credentials_profile.clone(),
            }),
            _ => Err(ConfigError::value("s3", "credentials", "\"environment\", \"instance\" or \"file\"")),
        }
    }
}

/// An empty path in the environment means none.
pub(super) fn given(path: Option<&PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty()).cloned()
}
