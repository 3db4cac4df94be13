//! A real S3 server and buckets of one's own on it.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, ReqwestConnector};
use oubliette_store::blobs::ObjectOptions;
use oubliette_store::blobs::object::{Credentials, S3Options};
use reqwest::Method;

/// What a server needs to be known.
#[derive(Clone)]
pub struct Server {
    pub endpoint: String,
    key: String,
    secret: String,
    http: HttpClient,
}

/// An answer: status and body.
pub struct Answer(pub u16, pub String);

/// The server that the test command started.
pub fn server() -> Server {
    let var = |name: &str| {
        std::env::var(name)
            .unwrap_or_else(|_| panic!("{name} is not set: run `scripts/engines.sh start DIR`, then `. DIR/env`"))
    };
    Server::new(var("OUBLIETTE_TEST_S3"), var("OUBLIETTE_TEST_S3_KEY"), var("OUBLIETTE_TEST_S3_SECRET"))
}

impl Server {
    pub fn new(endpoint: String, key: String, secret: String) -> Self {
        let http = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
        Self { endpoint, key, secret, http }
    }

    /// The same server, reached by another way.
    pub fn through(&self, endpoint: String) -> Self {
        Self { endpoint, ..self.clone() }
    }

    /// A signed request of an administrator.
    pub async fn ask(&self, method: Method, target: &str, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut request = HttpRequest::new(Bytes::copy_from_slice(body.as_bytes()).into());
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}/{target}", self.endpoint).parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let credential = AwsCredential { key_id: self.key.clone(), secret_key: self.secret.clone(), token: None };
        AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut request, None).unwrap();
        let response = self.http.execute(request).await.unwrap();
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let mut stream = response.into_body().bytes_stream();
        while let Some(part) = stream.next().await {
            body.extend_from_slice(&part.unwrap());
        }
        Answer(status, String::from_utf8_lossy(&body).into_owned())
    }

    async fn done(&self, method: Method, target: &str, headers: &[(&'static str, &str)], body: &str) -> String {
        let Answer(status, text) = self.ask(method, target, headers, body).await;
        assert!((200..300).contains(&status), "{target}: {status} {text}");
        text
    }

    /// A new bucket.
    pub async fn bucket(&self, kind: BucketKind) -> TestBucket {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{}-{number}", std::process::id(), uuid::Uuid::new_v4().simple());
        let lock: &[_] = if matches!(kind, BucketKind::Locking { .. }) {
            &[("x-amz-bucket-object-lock-enabled", "true")]
        } else {
            &[]
        };
        self.done(Method::PUT, &name, lock, "").await;
        let bucket = TestBucket { server: self.clone(), name, removed_on_drop: true };
        match kind {
            BucketKind::Plain => {}
            BucketKind::Versioned => bucket.set_versioning("Enabled").await,
            BucketKind::Locking { days: None } => {}
            BucketKind::Locking { days: Some(days) } => {
                let rule = format!(
                    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                     <Mode>GOVERNANCE</Mode><Days>{days}</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
                );
                bucket.server.done(Method::PUT, &format!("{}?object-lock=", bucket.name), &[], &rule).await;
            }
        }
        bucket
    }
}

/// How a bucket is made.
#[derive(Clone, Copy)]
pub enum BucketKind {
    Plain,
    Versioned,
    /// With Object Lock, and for everything by default when `days` says so.
    Locking {
        days: Option<u32>,
    },
}

/// A bucket of one test.
pub struct TestBucket {
    pub server: Server,
    pub name: String,
    removed_on_drop: bool,
}

/// The server has room for a number of buckets only. What is locked cannot be deleted as objects, so the storage of the whole
/// bucket is dropped at the server's own side.
impl Drop for TestBucket {
    fn drop(&mut self) {
        let master = std::env::var("OUBLIETTE_TEST_S3_MASTER");
        let Some(master) = master.ok().filter(|_| self.removed_on_drop) else { return };
        let host = master.trim_start_matches("http://");
        let Ok(mut stream) = std::net::TcpStream::connect(host) else { return };
        let request =
            format!("GET /col/delete?collection={} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", self.name);
        if stream.write_all(request.as_bytes()).is_ok() {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
}

impl TestBucket {
    /// How the vault attaches it.
    pub fn options(&self) -> S3Options {
        let credentials =
            Credentials::Keys { id: self.server.key.clone(), secret: self.server.secret.clone(), token: None };
        S3Options {
            endpoint: Some(self.server.endpoint.clone()),
            allow_http: true,
            prefix: "vault".to_owned(),
            ..S3Options::new(&self.name, credentials)
        }
    }

    /// The same bucket, reached by another way.
    pub fn through(&self, endpoint: String) -> Self {
        Self { server: self.server.through(endpoint), name: self.name.clone(), removed_on_drop: false }
    }

    pub async fn set_versioning(&self, status: &str) {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        self.server.done(Method::PUT, &format!("{}?versioning=", self.name), &[], &body).await;
    }

    pub async fn put(&self, key: &str, body: &str) {
        self.server.done(Method::PUT, &format!("{}/{key}", self.name), &[], body).await;
    }

    pub async fn get(&self, key: &str) -> Answer {
        self.server.ask(Method::GET, &format!("{}/{key}", self.name), &[], "").await
    }

    /// Deletes without a version: where versions are kept, this leaves a marker.
    pub async fn delete(&self, key: &str) {
        self.server.done(Method::DELETE, &format!("{}/{key}", self.name), &[], "").await;
    }

    pub async fn retain(&self, key: &str, until: jiff::Timestamp) {
        let body =
            format!("<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{until:.0}</RetainUntilDate></Retention>");
        self.server.done(Method::PUT, &format!("{}/{key}?retention=", self.name), &[], &body).await;
    }

    pub async fn hold(&self, key: &str, status: &str) {
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        self.server.done(Method::PUT, &format!("{}/{key}?legal-hold=", self.name), &[], &body).await;
    }

    /// Begins an upload in parts and leaves it.
    pub async fn begin_upload(&self, key: &str) {
        let text = self.server.done(Method::POST, &format!("{}/{key}?uploads=", self.name), &[], "").await;
        let id = text.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
        let target = format!("{}/{key}?partNumber=1&uploadId={id}", self.name);
        self.server.done(Method::PUT, &target, &[], "a part that nobody completes").await;
    }

    /// Keys with unfinished uploads.
    pub async fn uploads(&self) -> usize {
        let text = self.server.done(Method::GET, &format!("{}?uploads=", self.name), &[], "").await;
        text.matches("<UploadId>").count()
    }

    /// Keys of everything that is listed, newest versions only.
    pub async fn keys(&self) -> Vec<String> {
        let target = format!("{}?list-type=2&max-keys=1000", self.name);
        let text = self.server.done(Method::GET, &target, &[], "").await;
        text.split("<Key>").skip(1).map(|rest| rest.split_once('<').unwrap().0.to_owned()).collect()
    }

    /// Versions and delete markers of everything.
    pub async fn versions(&self) -> usize {
        let target = format!("{}?max-keys=1000&versions=", self.name);
        let text = self.server.done(Method::GET, &target, &[], "").await;
        text.matches("<VersionId>").count()
    }
}

/// Limits for tests: no waiting for other processes, impatient with a server that does not answer.
pub fn limits() -> ObjectOptions {
    ObjectOptions {
        margin: std::time::Duration::ZERO,
        drop_after: std::time::Duration::ZERO,
        retries: 3,
        ..ObjectOptions::default()
    }
}

/// The key of the object that a reference names.
pub fn key_of(blob: &oubliette_core::ports::BlobRef) -> String {
    let (kind, rest) = blob.0.split_once('/').unwrap();
    let name = &rest[..32];
    format!("vault/{kind}/{}/{name}", &name[..2])
}
