//! Tables of requests that must be refused: in the dialect's shape, with the documented code, and without any effect.

use serde_json::Value;

use super::{TestVault, raw};

/// A request and the code it must get.
pub struct Bad {
    /// What is wrong with it.
    pub name: String,
    /// Its method.
    pub method: &'static str,
    /// Its path below the dialect's root, as it goes over the wire.
    pub path: String,
    /// The media type of its body.
    pub content_type: &'static str,
    /// Its body.
    pub body: Vec<u8>,
    /// The status of its answer.
    pub code: u16,
}

/// What the refusals of a dialect have in common.
pub struct Refusals<'a> {
    /// Who is asked.
    pub vault: &'a TestVault,
    /// What stands in front of every path.
    pub root: &'a str,
    /// Header lines of every request.
    pub headers: String,
    /// The member of the body that says what is wrong.
    pub message: &'a str,
}

impl Refusals<'_> {
    /// Sends every request byte by byte and looks at its answer; `unchanged` is given its name and fails when the request had
    /// an effect.
    pub async fn check(&self, table: impl IntoIterator<Item = Bad>, unchanged: impl AsyncFn(&str)) {
        for Bad { name, method, path, content_type, body, code } in table {
            let (root, headers) = (self.root, &self.headers);
            let head = format!("{method} {root}{path} HTTP/1.1\n{headers}\nContent-Type: {content_type}");
            let answer = raw::send(self.vault.address, &head, &body).await;
            assert_eq!(answer.status, code, "{name}: {}", answer.body);
            assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
            let told: Value = serde_json::from_str(&answer.body).unwrap();
            assert!(told[self.message].as_str().is_some_and(|text| !text.is_empty()), "{name}: {told}");
            assert!(code != 405 || answer.header("allow").is_some(), "{name}");
            unchanged(&name).await;
        }
    }
}
