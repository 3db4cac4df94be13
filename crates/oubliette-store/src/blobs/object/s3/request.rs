//! Signed requests of our own, for what the object store client does not send.
//!
//! They go over the same kind of connection, with the same signature, credentials and timeouts; only small ones: none carries
//! a content. Every one may be repeated, so all are retried.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use super::super::error::Fault;
use super::xml::{self, Node};

/// Longest answer that is read.
const LONGEST_ANSWER: usize = 16 << 20;
/// First and longest wait before a request is sent again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often and how long a request is tried.
#[derive(Clone, Copy, Debug)]
pub(in crate::blobs::object) struct Patience {
    /// Retries after the first try.
    pub retries: usize,
    /// No retry begins later than this.
    pub within: Duration,
}

impl Patience {
    /// How long to wait before try number `tried` + 1; `None` when there is none. Waits double, and differ from caller to
    /// caller.
    pub(in crate::blobs::object) fn wait(&self, tried: usize, since: Instant) -> Option<Duration> {
        if tried > self.retries || since.elapsed() >= self.within {
            return None;
        }
        let doubled = FIRST_WAIT.saturating_mul(1 << tried.min(16)).min(LONGEST_WAIT);
        let mut random = [0];
        // Without randomness all wait the longest.
        let part = aws_lc_rs::rand::fill(&mut random).map_or(256, |()| 128 + u32::from(random[0]) / 2);
        Some(doubled * part / 256)
    }
}

/// What a request asks.
#[derive(Clone, Default)]
pub(super) struct Ask {
    pub method: Method,
    /// Key of the object; empty for the bucket.
    pub key: String,
    pub query: Vec<(&'static str, String)>,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
}

/// A whole answer.
pub(super) struct Answer {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The text of a header; empty without it.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The outermost element of the body, which must have this name.
    pub(super) fn xml(&self, name: &'static str) -> Result<Node, Fault> {
        xml::parse(&self.body).filter(|node| node.name == name).ok_or(Fault::Unreadable(name))
    }
}

/// Sends signed requests to one bucket.
pub(super) struct Sender {
    pub http: HttpClient,
    pub credentials: AwsCredentialProvider,
    /// URL of the bucket, without a slash at the end.
    pub bucket: String,
    pub region: String,
    pub patience: Patience,
}

impl Sender {
    /// Sends, again while it may help; gives the answer when it is a success.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Answer, Fault> {
        let since = Instant::now();
        let mut tried = 0;
        loop {
            let fault = match self.send_once(ask).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            tried += 1;
            match self.patience.wait(tried, since) {
                Some(wait) if fault.is_passing() => tokio::time::sleep(wait).await,
                _ => return Err(fault),
            }
        }
    }

    async fn send_once(&self, ask: &Ask) -> Result<Answer, Fault> {
        let credential = self.credentials.get_credential().await.map_err(Fault::Credentials)?;
        let mut request = HttpRequest::new(ask.body.clone().into());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = self.url(ask).parse().map_err(|_| Fault::Unreadable("URL"))?;
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value).map_err(|_| Fault::Unreadable("header"))?;
            request.headers_mut().insert(name, value);
        }
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(Fault::Credentials)?;
        let response = self.http.execute(request).await.map_err(|error| Fault::Transport(error.into()))?;
        let (parts, body) = response.into_parts();
        let mut stream = body.bytes_stream();
        let mut body = Vec::new();
        while let Some(part) = stream.next().await {
            body.extend_from_slice(&part.map_err(|error| Fault::Transport(error.into()))?);
            if body.len() > LONGEST_ANSWER {
                return Err(Fault::Unreadable("an answer that is too long"));
            }
        }
        let told = parts.headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if ask.method != Method::HEAD && told.is_some_and(|told| told != body.len()) {
            return Err(Fault::Transport("the answer was cut short".into()));
        }
        let body = Bytes::from(body);
        if parts.status.is_success() {
            // Some answers begin with 200 and turn out to be errors.
            return match xml::parse(&body).filter(|node| node.name == "Error") {
                Some(error) => Err(Fault::Answer { status: 500, code: code_of(&error) }),
                None => Ok(Answer { headers: parts.headers, body }),
            };
        }
        let code = xml::parse(&body).map_or_else(String::new, |error| code_of(&error));
        Err(Fault::Answer { status: StatusCode::as_u16(&parts.status), code })
    }

    fn url(&self, ask: &Ask) -> String {
        let mut url = self.bucket.clone();
        if !ask.key.is_empty() {
            url.push('/');
            url.push_str(&escape(&ask.key, "/"));
        } else if self.bucket.matches('/').count() < 3 {
            // A bucket that is a host has an empty path, which must be written for the signature.
            url.push('/');
        }
        for (at, (name, value)) in ask.query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(&escape(value, ""));
        }
        url
    }
}

/// The store's word for an error, if it is one; a stranger's text is not passed on.
fn code_of(error: &Node) -> String {
    let code = error.text_of("Code");
    let plain = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { code.to_owned() } else { String::new() }
}

/// Percent-encodes all but letters, digits, `-._~` and what is in `also`.
fn escape(text: &str, also: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.as_bytes().contains(&byte);
        if plain {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let patience = Patience { retries: 3, within: Duration::from_secs(60) };
        let now = Instant::now();
        let waits: Vec<_> = (1..=4).map_while(|tried| patience.wait(tried, now)).collect();
        assert_eq!(waits.len(), 3);
        for (at, wait) in waits.iter().enumerate() {
            let doubled = FIRST_WAIT * (2 << at);
            assert!(*wait >= doubled / 2 && *wait <= doubled);
        }
        let impatient = Patience { retries: 3, within: Duration::ZERO };
        assert_eq!(impatient.wait(1, now), None);
    }

    #[test]
    fn only_plain_characters_stay() {
        assert_eq!(escape("a/b c+d~", "/"), "a/b%20c%2Bd~");
        assert_eq!(escape("a/b", ""), "a%2Fb");
    }
}
