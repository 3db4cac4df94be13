//! What S3 can do and the object store client does not ask for: versions, locks, bulk deletes with an outcome a key,
//! unfinished uploads.

mod request;
pub(super) mod xml;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use object_store::aws::AwsCredentialProvider;
use object_store::client::HttpClient;
use quick_xml::escape::escape;
use reqwest::Method;
use reqwest::header::{HeaderName, IF_NONE_MATCH};

pub(super) use self::request::Patience;
use self::request::{Answer, Ask, Sender};
use self::xml::Node;
use super::bucket::{Deleted, Found, Page, Target};
use super::error::{Fault, is_passing_code};
use super::probe::{Retention, Versioning};

/// Keys that one request deletes.
pub(super) const BULK: usize = 1_000;
/// Keys that one page of a listing has.
pub(super) const PAGE: usize = 1_000;

/// One bucket.
pub(super) struct S3(Sender);

/// What a HEAD of an object says.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The store may not let it be deleted before then.
    pub retain_until: Option<Timestamp>,
    /// Somebody put a hold on it, without an end.
    pub held: bool,
    /// The store's own time.
    pub date: Option<Timestamp>,
}

/// An upload that was begun and neither finished nor given up.
pub(super) struct Upload {
    pub key: String,
    pub id: String,
    pub begun: Timestamp,
}

impl S3 {
    pub(super) fn new(
        http: HttpClient,
        credentials: AwsCredentialProvider,
        bucket: String,
        region: String,
        patience: Patience,
    ) -> Self {
        Self(Sender { http, credentials, bucket, region, patience })
    }

    async fn get(&self, query: Vec<(&'static str, String)>) -> Result<Answer, Fault> {
        self.0.send(&Ask { method: Method::GET, query, ..Ask::default() }).await
    }

    /// A page of the newest objects whose keys begin with `prefix`.
    pub(super) async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Fault> {
        let mut query = vec![("list-type", "2".to_owned()), ("max-keys", PAGE.to_string())];
        query.push(("prefix", prefix.to_owned()));
        if let Some(token) = after {
            query.push(("continuation-token", token.to_owned()));
        }
        let root = self.get(query).await?.xml("ListBucketResult")?;
        let found = root.all("Contents").map(|node| found(node, false)).collect::<Result<_, _>>()?;
        let next = root.says("IsTruncated").then(|| root.some_text("NextContinuationToken")).flatten();
        Ok(Page { found, next })
    }

    /// A page of all versions and delete markers of keys that begin with `prefix`.
    pub(super) async fn list_versions(&self, prefix: &str, after: Option<&str>) -> Result<Page, Fault> {
        let mut query =
            vec![("max-keys", PAGE.to_string()), ("prefix", prefix.to_owned()), ("versions", String::new())];
        if let Some((key, version)) = after.and_then(|after| after.split_once('\n')) {
            query.insert(0, ("key-marker", key.to_owned()));
            if !version.is_empty() {
                query.push(("version-id-marker", version.to_owned()));
            }
        }
        let root = self.get(query).await?.xml("ListVersionsResult")?;
        let versions = root.all("Version").map(|node| found(node, false));
        let markers = root.all("DeleteMarker").map(|node| found(node, true));
        let found = versions.chain(markers).collect::<Result<_, _>>()?;
        let next = root
            .says("IsTruncated")
            .then(|| format!("{}\n{}", root.text_of("NextKeyMarker"), root.text_of("NextVersionIdMarker")));
        Ok(Page { found, next })
    }

    /// Deletes up to [`BULK`] in one request; one outcome each, in order.
    pub(super) async fn delete_bulk(&self, targets: &[Target]) -> Result<Vec<Deleted>, Fault> {
        let mut body = String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for target in targets {
            body.push_str(&format!("<Object><Key>{}</Key>", escape(target.key.as_str())));
            if let Some(version) = &target.version {
                body.push_str(&format!("<VersionId>{}</VersionId>", escape(version.as_str())));
            }
            body.push_str("</Object>");
        }
        body.push_str("</Delete>");
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        let ask = Ask {
            method: Method::POST,
            query: vec![("delete", String::new())],
            headers: vec![
                (HeaderName::from_static("content-type"), "application/xml".to_owned()),
                (HeaderName::from_static("x-amz-checksum-sha256"), STANDARD.encode(sum)),
            ],
            body: Bytes::from(body),
            ..Ask::default()
        };
        let root = self.0.send(&ask).await?.xml("DeleteResult")?;
        // What the answer does not mention was not heard of.
        let mut outcomes = vec![Deleted::Again("the answer does not mention the key"); targets.len()];
        let mut settle = |node: &Node, outcome: Deleted| {
            let (key, version) = (node.text_of("Key"), node.some_text("VersionId"));
            let at = targets.iter().zip(&outcomes).position(|(target, so_far)| {
                matches!(so_far, Deleted::Again(_))
                    && target.key == key
                    && (target.version.is_none() || version.is_none() || target.version == version)
            });
            if let Some(at) = at {
                outcomes[at] = outcome;
            }
        };
        for node in root.all("Deleted") {
            // A key deleted without naming a version, and answered with a marker: the bucket keeps versions.
            let hidden = node.says("DeleteMarker") && node.some_text("VersionId").is_none();
            settle(node, if hidden { Deleted::Hidden } else { Deleted::Gone });
        }
        for node in root.all("Error") {
            settle(node, outcome_of(node.text_of("Code")));
        }
        Ok(outcomes)
    }

    /// Deletes one object or version.
    pub(super) async fn delete_one(&self, target: &Target) -> Result<Deleted, Fault> {
        let query = target.version.iter().map(|version| ("versionId", version.clone())).collect();
        let ask = Ask { method: Method::DELETE, key: target.key.clone(), query, ..Ask::default() };
        match self.0.send(&ask).await {
            Ok(answer) => {
                let hidden = target.version.is_none() && answer.header("x-amz-delete-marker") == "true";
                Ok(if hidden { Deleted::Hidden } else { Deleted::Gone })
            }
            Err(fault) if fault.is_absent() => Ok(Deleted::Gone),
            Err(Fault::Answer { code, .. }) => Ok(outcome_of(&code)),
            Err(fault) => Err(fault),
        }
    }

    /// What a HEAD says of an object or version; `None` when it is not there.
    pub(super) async fn head(&self, target: &Target) -> Result<Option<Head>, Fault> {
        let query = target.version.iter().map(|version| ("versionId", version.clone())).collect();
        let ask = Ask { method: Method::HEAD, key: target.key.clone(), query, ..Ask::default() };
        let answer = match self.0.send(&ask).await {
            // 405: it is a delete marker.
            Err(Fault::Answer { status: 404 | 405, .. }) => return Ok(None),
            answer => answer?,
        };
        Ok(Some(Head {
            retain_until: answer.header("x-amz-object-lock-retain-until-date").parse().ok(),
            held: answer.header("x-amz-object-lock-legal-hold") == "ON",
            date: DateTimeParser::new().parse_timestamp(answer.header("date")).ok(),
        }))
    }

    /// Writes a small object only if there is none; whether it was written.
    pub(super) async fn put_new(&self, key: &str, body: &'static [u8]) -> Result<bool, Fault> {
        let ask = Ask {
            method: Method::PUT,
            key: key.to_owned(),
            headers: vec![(IF_NONE_MATCH, "*".to_owned())],
            body: Bytes::from_static(body),
            ..Ask::default()
        };
        match self.0.send(&ask).await {
            Ok(_) => Ok(true),
            Err(Fault::Answer { status: 409 | 412, .. }) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// What the bucket says of versions; `None` when it does not know or may not be asked.
    pub(super) async fn versioning(&self) -> Result<Option<Versioning>, Fault> {
        match self.get(vec![("versioning", String::new())]).await {
            Ok(answer) => Ok(Some(match answer.xml("VersioningConfiguration")?.text_of("Status") {
                "Enabled" => Versioning::Enabled,
                "Suspended" => Versioning::Suspended,
                _ => Versioning::Never,
            })),
            Err(fault) if fault.is_unsupported() || fault.is_forbidden() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// What the bucket says of locked objects; `None` when it does not know, may not be asked, or has none.
    pub(super) async fn lock(&self) -> Result<Option<Retention>, Fault> {
        let answer = match self.get(vec![("object-lock", String::new())]).await {
            Err(fault) if fault.is_unsupported() || fault.is_forbidden() => return Ok(None),
            answer => answer?,
        };
        let root = answer.xml("ObjectLockConfiguration")?;
        if root.text_of("ObjectLockEnabled") != "Enabled" {
            return Ok(None);
        }
        let rule = root.all("Rule").flat_map(|rule| rule.all("DefaultRetention")).next();
        Ok(Some(rule.map_or(Retention::NotByDefault, |rule| {
            let number = |name| rule.text_of(name).parse::<u32>().unwrap_or(0);
            let days = number("Days").saturating_add(number("Years").saturating_mul(366));
            if rule.text_of("Mode") == "COMPLIANCE" {
                Retention::Compliance { days }
            } else {
                Retention::Governance { days }
            }
        })))
    }

    /// A page of unfinished uploads of keys that begin with `prefix`, and where the next begins.
    pub(super) async fn uploads(
        &self,
        prefix: &str,
        after: Option<(String, String)>,
    ) -> Result<(Vec<Upload>, Option<(String, String)>), Fault> {
        let mut query =
            vec![("max-uploads", PAGE.to_string()), ("prefix", prefix.to_owned()), ("uploads", String::new())];
        if let Some((key, id)) = after {
            query.insert(0, ("key-marker", key));
            query.push(("upload-id-marker", id));
        }
        let root = self.get(query).await?.xml("ListMultipartUploadsResult")?;
        let upload = |node: &Node| {
            let begun = node.text_of("Initiated").parse().ok()?;
            Some(Upload { key: node.some_text("Key")?, id: node.some_text("UploadId")?, begun })
        };
        let found = root.all("Upload").filter_map(upload).collect();
        let next = root
            .says("IsTruncated")
            .then(|| Some((root.some_text("NextKeyMarker")?, root.some_text("NextUploadIdMarker")?)))
            .flatten();
        Ok((found, next))
    }

    /// Gives up an upload and what was uploaded of it.
    pub(super) async fn abort(&self, upload: &Upload) -> Result<(), Fault> {
        let query = vec![("uploadId", upload.id.clone())];
        let ask = Ask { method: Method::DELETE, key: upload.key.clone(), query, ..Ask::default() };
        match self.0.send(&ask).await {
            Err(fault) if !fault.is_absent() => Err(fault),
            _ => Ok(()),
        }
    }
}

fn found(node: &Node, marker: bool) -> Result<Found, Fault> {
    let modified = node.text_of("LastModified").parse().map_err(|_| Fault::Unreadable("a time in a listing"))?;
    Ok(Found {
        key: node.some_text("Key").ok_or(Fault::Unreadable("a key in a listing"))?,
        version: node.some_text("VersionId"),
        size: node.text_of("Size").parse().unwrap_or(0),
        modified,
        // A listing without versions lists only the newest.
        latest: node.text_of("IsLatest") != "false",
        marker,
    })
}

/// What the store's word means for a delete.
fn outcome_of(code: &str) -> Deleted {
    match code {
        "NoSuchKey" | "NoSuchVersion" => Deleted::Gone,
        // The same word for a lock and for missing rights: a HEAD tells which.
        "AccessDenied" | "InvalidRequest" | "ObjectLocked" | "MethodNotAllowed" => Deleted::Refused,
        code if is_passing_code(code) => Deleted::Again("the object store is busy"),
        _ => Deleted::Again("the object store could not delete it"),
    }
}
