//! `[s3]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// How the object store is reached when `storage.blobs` names a bucket.
    S3, "s3" {
        /// URL of the service; empty for Amazon's own.
        endpoint: Option<String> = None,
        /// Region in the signatures.
        region: String = "us-east-1".to_owned(),
        /// The bucket is part of the host name instead of the path.
        virtual_hosted: bool = false,
        /// Who asks: "environment" (`AWS_ACCESS_KEY_ID` and its companions, a web identity or a container's credentials),
        /// "instance" (the machine's own role) or "file".
        credentials: String = "environment".to_owned(),
        /// With "file": a file in the form of `~/.aws/credentials`, read again while the process runs.
        credentials_file: Option<PathBuf> = None,
        /// With "file": the section in it.
        credentials_profile: String = "default".to_owned(),
        /// PEM file with the authorities that may have signed the service's certificate. Default: the system's.
        ca_file: Option<PathBuf> = None,
        /// Speak plain HTTP to the endpoint.
        allow_http: bool = false,
        /// Encryption by the service, below our own: "bucket" (whatever the bucket does), "AES256" or "aws:kms".
        encryption: String = "bucket".to_owned(),
        /// Name of the service's key for "aws:kms".
        kms_key: Option<String> = None,
        /// No answer within this time is a failed request; it is tried again.
        timeout_seconds: u64 = 120,
    }
}
