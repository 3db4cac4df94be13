//! What an operator says of a bucket, and the limits of the adapter.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::client::{HttpConnector, ReqwestConnector};
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore as _, RetryConfig};
use oubliette_core::ports::{PortError, PortErrorKind};

use super::credentials::{Credentials, FileCredentials};
use super::error::not_done;
use super::place::Kind;
use super::s3::{Patience, S3};

/// Limits of an object store.
#[derive(Clone, Debug)]
pub struct ObjectOptions {
    /// Blobs of up to this many bytes are packed into segments. Each blob being written may hold as much in memory.
    pub small_bytes: u64,
    /// A segment is no longer than this (but for a single blob that is).
    pub segment_bytes: u64,
    /// Bytes of the first parts of an upload; later parts are longer. A blob of up to one part is sent whole.
    pub part_bytes: u64,
    /// Parts of one upload under way at once. An upload holds one more than that in memory.
    pub parallel_parts: usize,
    /// Requests at once when listing, removing and compacting.
    pub parallel: usize,
    /// What no row refers to is a leftover when it is older than this; what is younger may be another process's whose row is
    /// not committed yet. An upload that takes longer than half of it is refused.
    pub margin: Duration,
    /// A segment whose blobs were moved is kept for this long, for readers in other processes that hold the old reference.
    pub drop_after: Duration,
    /// No answer within this time is a failed request.
    pub timeout: Duration,
    /// No connection within this time is a failed request.
    pub connect_timeout: Duration,
    /// Retries of one request after the first try.
    pub retries: usize,
    /// No retry begins later than this after the first try.
    pub retry_within: Duration,
}

impl Default for ObjectOptions {
    fn default() -> Self {
        Self {
            small_bytes: 256 << 10,
            segment_bytes: 8 << 20,
            part_bytes: 8 << 20,
            parallel_parts: 3,
            parallel: 16,
            margin: Duration::from_secs(24 * 3600),
            drop_after: Duration::from_secs(60),
            timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(5),
            retries: 6,
            retry_within: Duration::from_secs(60),
        }
    }
}

impl ObjectOptions {
    /// Refuses limits that S3 has no room for.
    pub(super) fn check(&self) -> Result<(), PortError> {
        // Every part but the last has 5 MiB at least; a segment's offsets and an entry's length must fit their fields.
        let fits = self.part_bytes >= 5 << 20 && self.part_bytes <= 512 << 20;
        let small = self.small_bytes <= self.part_bytes && self.segment_bytes <= 1 << 30;
        if fits && small && self.parallel > 0 && self.parallel_parts > 0 && self.segment_bytes > 0 {
            Ok(())
        } else {
            Err(PortError::bare(PortErrorKind::Refused, "read the limits of the object store"))
        }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience { retries: self.retries, within: self.retry_within }
    }

    fn retry(&self) -> RetryConfig {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
            ..BackoffConfig::default()
        };
        RetryConfig { backoff, max_retries: self.retries, retry_timeout: self.retry_within }
    }
}

/// How the bucket is named in a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// `https://host/bucket/key`: what most servers of one's own speak.
    #[default]
    Path,
    /// `https://bucket.host/key`.
    Virtual,
}

/// What the server is asked to encrypt with. The vault's own seal never depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Whatever the bucket does by itself.
    #[default]
    BucketDefault,
    /// Keys of the store (`AES256`).
    Store,
    /// Keys of the cloud's key service (`aws:kms`).
    Kms {
        /// The key; the account's own without.
        key: Option<String>,
        /// One derived key for the bucket instead of one a request.
        bucket_key: bool,
    },
}

/// An S3 bucket. `Debug` leaves the credentials out.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// Its name.
    pub bucket: String,
    /// What all keys begin with; empty, or folders with a slash between: several vaults may share a bucket.
    pub prefix: String,
    /// Its region; servers of one's own take any.
    pub region: String,
    /// URL of the server, without the bucket; `None` is Amazon's of the region.
    pub endpoint: Option<String>,
    /// How the bucket is named in a URL.
    pub style: Style,
    /// Who asks.
    pub credentials: Credentials,
    /// Encryption on the server's side.
    pub encryption: Encryption,
    /// PEM file of certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Speak HTTP without TLS when the endpoint says so. Requests are signed, not secret: only on a trusted network.
    pub allow_http: bool,
}

impl S3Options {
    /// A bucket with everything else as usual.
    pub fn new(bucket: impl Into<String>, credentials: Credentials) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            style: Style::Path,
            credentials,
            encryption: Encryption::BucketDefault,
            ca_file: None,
            allow_http: false,
        }
    }

    /// URL of the bucket.
    fn bucket_url(&self) -> Result<String, PortError> {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if self.bucket.is_empty() || !plain(&self.bucket) {
            return Err(refused("read the name of the bucket"));
        }
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://s3.{}.amazonaws.com", self.region),
        };
        let Some((scheme, host)) = endpoint.split_once("://") else { return Err(refused("read the endpoint")) };
        match scheme {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err(refused("read the endpoint: HTTP without TLS is not allowed")),
        }
        Ok(match self.style {
            Style::Path => format!("{endpoint}/{}", self.bucket),
            Style::Virtual => format!("{scheme}://{}.{host}", self.bucket),
        })
    }

    fn client(&self, limits: &ObjectOptions) -> Result<ClientOptions, PortError> {
        let mut client = ClientOptions::new()
            .with_timeout(limits.timeout)
            .with_connect_timeout(limits.connect_timeout)
            .with_http1_only()
            .with_allow_http(self.allow_http);
        if let Some(path) = &self.ca_file {
            for certificate in certificates(path)? {
                client = client.with_root_certificate(certificate);
            }
        }
        Ok(client)
    }

    /// A client of its own for the bucket, for those that keep other things in it than contents.
    ///
    /// # Errors
    /// `Refused` for settings that make no sense.
    pub fn object_store(&self) -> Result<Arc<dyn object_store::ObjectStore>, PortError> {
        Ok(Arc::new(self.connect(&ObjectOptions::default(), None)?.0))
    }

    /// Whether nothing lies below the prefix, apart from what trying a bucket out may leave there and from what lies in these
    /// folders below it. Reads only.
    ///
    /// # Errors
    /// `Refused` for settings that make no sense, `Unavailable` when the bucket cannot be listed now.
    pub async fn is_empty(&self, apart_from: &[&str]) -> Result<bool, PortError> {
        let prefix = checked_prefix(&self.prefix)?;
        let mut passed_over = vec![format!("{prefix}{}/", Kind::Probe.letter())];
        passed_over.extend(apart_from.iter().map(|folder| format!("{prefix}{folder}/")));
        let at = (!prefix.is_empty()).then(|| ObjectPath::from(prefix.trim_end_matches('/')));
        let mut found = self.object_store()?.list(at.as_ref());
        while let Some(object) = found.next().await {
            let object = object.map_err(not_done("list the bucket"))?;
            if !passed_over.iter().any(|folder| object.location.as_ref().starts_with(folder)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The client for whole objects, and the sender of our own requests. `checksums` are asked for by buckets with locks.
    pub(super) fn connect(
        &self,
        limits: &ObjectOptions,
        checksums: Option<Checksum>,
    ) -> Result<(AmazonS3, S3), PortError> {
        const OPERATION: &str = "connect to the object store";
        let fail = |error: object_store::Error| PortError::new(PortErrorKind::Refused, OPERATION, error);
        let url = self.bucket_url()?;
        let client = self.client(limits)?;
        let mut builder = match &self.credentials {
            Credentials::Environment => AmazonS3Builder::from_env(),
            _ => AmazonS3Builder::new(),
        };
        // The URL is whole: with *virtual* the client adds nothing to it.
        builder = builder
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_endpoint(&url)
            // The environment's own has precedence otherwise.
            .with_config(AmazonS3ConfigKey::S3Endpoint, &url)
            .with_virtual_hosted_style_request(true)
            .with_client_options(client.clone())
            .with_retry(limits.retry());
        builder = match &self.credentials {
            Credentials::Environment | Credentials::Instance => builder,
            Credentials::Keys { id, secret, token } => {
                let keys = builder.with_access_key_id(id).with_secret_access_key(secret);
                token.iter().fold(keys, |keys, token| keys.with_token(token))
            }
            Credentials::File { path, profile } => {
                builder.with_credentials(Arc::new(FileCredentials::open(path.clone(), profile.clone())?))
            }
        };
        builder = match &self.encryption {
            Encryption::BucketDefault => builder,
            Encryption::Store => builder.with_config(encryption("aws_server_side_encryption"), "AES256"),
            Encryption::Kms { key, bucket_key } => {
                let kms = match key {
                    Some(key) => builder.with_sse_kms_encryption(key),
                    None => builder.with_config(encryption("aws_server_side_encryption"), "aws:kms"),
                };
                kms.with_bucket_key(*bucket_key)
            }
        };
        if let Some(checksum) = checksums {
            builder = builder.with_checksum_algorithm(checksum);
        }
        let store = builder.build().map_err(fail)?;
        let http = ReqwestConnector::default().connect(&client).map_err(fail)?;
        let credentials = Arc::clone(store.credentials());
        let s3 = S3::new(http, credentials, url, self.region.clone(), limits.patience());
        Ok((store, s3))
    }
}

#[expect(clippy::expect_used, reason = "a constant of the client, checked by a test")]
fn encryption(key: &str) -> AmazonS3ConfigKey {
    key.parse().expect("a known key")
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, PortError> {
    const OPERATION: &str = "read the certificates to trust";
    let pem = std::fs::read(path).map_err(|error| PortError::new(PortErrorKind::Refused, OPERATION, error))?;
    let found = Certificate::from_pem_bundle(&pem);
    let found = found.map_err(|error| PortError::new(PortErrorKind::Refused, OPERATION, error))?;
    if found.is_empty() { Err(refused(OPERATION)) } else { Ok(found) }
}

/// What all keys begin with, ready to be put in front of one.
pub(super) fn checked_prefix(prefix: &str) -> Result<String, PortError> {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        return Ok(String::new());
    }
    let part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
    };
    if prefix.len() <= 512 && prefix.split('/').all(part) {
        Ok(format!("{prefix}/"))
    } else {
        Err(refused("read the prefix of keys"))
    }
}

fn refused(operation: &'static str) -> PortError {
    PortError::bare(PortErrorKind::Refused, operation)
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "path",
            Self::Virtual => "virtual",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Credentials {
        Credentials::Keys { id: "id".to_owned(), secret: "very secret".to_owned(), token: Some("token".to_owned()) }
    }

    #[test]
    fn the_url_follows_style_region_and_endpoint() {
        let amazon = S3Options { region: "eu-north-1".to_owned(), ..S3Options::new("calls", keys()) };
        assert_eq!(amazon.bucket_url().unwrap(), "https://s3.eu-north-1.amazonaws.com/calls");
        let own = S3Options { endpoint: Some("https://s3.example.org:9000/".to_owned()), ..amazon.clone() };
        assert_eq!(own.bucket_url().unwrap(), "https://s3.example.org:9000/calls");
        let own = S3Options { style: Style::Virtual, ..own };
        assert_eq!(own.bucket_url().unwrap(), "https://calls.s3.example.org:9000");
        let plain = S3Options { endpoint: Some("http://127.0.0.1:1".to_owned()), ..amazon };
        assert!(plain.bucket_url().is_err());
        assert!(S3Options { allow_http: true, ..plain }.bucket_url().is_ok());
        assert!(S3Options::new("a/../b", keys()).bucket_url().is_err());
    }

    #[test]
    fn no_secret_is_in_debug() {
        let shown = format!("{:?}", S3Options::new("calls", keys()));
        assert!(!shown.contains("very secret") && !shown.contains("token"), "{shown}");
    }

    #[test]
    fn every_encryption_is_understood_by_the_client() {
        for encryption in [
            Encryption::BucketDefault,
            Encryption::Store,
            Encryption::Kms { key: Some("alias/calls".to_owned()), bucket_key: true },
            Encryption::Kms { key: None, bucket_key: false },
        ] {
            let options = S3Options { encryption, ..S3Options::new("calls", keys()) };
            assert!(options.connect(&ObjectOptions::default(), None).is_ok(), "{options:?}");
        }
    }

    #[test]
    fn a_prefix_is_folders_or_nothing() {
        assert_eq!(checked_prefix("").unwrap(), "");
        assert_eq!(checked_prefix("/a/b-2/").unwrap(), "a/b-2/");
        for odd in ["a//b", "..", "a b", "a/../b", "ä"] {
            assert!(checked_prefix(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn limits_without_room_are_refused() {
        assert!(ObjectOptions::default().check().is_ok());
        for odd in [
            ObjectOptions { part_bytes: 1 << 20, ..ObjectOptions::default() },
            ObjectOptions { parallel: 0, ..ObjectOptions::default() },
            ObjectOptions { small_bytes: 1 << 40, ..ObjectOptions::default() },
        ] {
            assert!(odd.check().is_err(), "{odd:?}");
        }
    }
}
