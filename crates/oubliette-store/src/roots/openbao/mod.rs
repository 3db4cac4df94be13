//! The transit engine of an OpenBao as a store of keys: one key for every root, deleted for good.
//!
//! What stands in its way is looked at: a key must not be exportable or open to backups, and must allow its deletion,
//! before anything is wrapped with it; a deletion counts when the server has said so **and** no longer finds the key. A
//! *soft deleted* key does not count as gone: the server would find it.

mod options;
mod wire;

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

pub use options::{Login, OpenBaoOptions};

use super::check::{Finding, RegisterAssessment, lowers, note};
use super::keyed::Keys;
use wire::{Call, Reply, Wire};

/// The class named in status and certificates.
const CLASS: &str = "openbao";

/// Why an OpenBao cannot be used.
#[derive(Debug, Error)]
pub enum OpenBaoError {
    /// The options make no sense.
    #[error("OpenBao: {reason}")]
    Options {
        /// What is wrong.
        reason: &'static str,
    },
    /// This server may answer from an old state.
    #[error(
        "OpenBao: this node is a standby and does not say how far its state is, so it might show a key that was destroyed: \
         give the address of the active node, set disable_standby_reads, or use OpenBao 2.7 or newer"
    )]
    MayBeStale,
    /// The system or the server.
    #[error("OpenBao: {operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// The keys of one transit engine.
pub struct OpenBao {
    wire: Wire,
    mount: String,
    encrypted: bool,
}

impl OpenBao {
    /// Reaches the server and logs in.
    pub fn connect(options: &OpenBaoOptions) -> Result<Self, OpenBaoError> {
        let encrypted = options.base()?.scheme() == "https";
        let bao = Self { wire: Wire::start(options)?, mount: options.mount.clone(), encrypted };
        bao.leader().map_err(|source| OpenBaoError::Io { operation: "reaching the server", source })?;
        Ok(bao)
    }

    /// What an operator should know of this server and of what our token may do there.
    pub fn assess(&self) -> io::Result<RegisterAssessment> {
        let mut findings: Vec<Finding> = vec![note(
            "openbao-storage",
            "whoever has the OpenBao server's old storage and its unseal keys can undo deletions: keep them apart",
        )];
        if !self.encrypted {
            findings.push(note("plain-http", "the way to OpenBao is plain HTTP on this machine"));
        }
        let probe = "oubliette-x";
        let dangers = [
            (format!("{}/export/encryption-key/{probe}", self.mount), "export keys"),
            (format!("{}/backup/{probe}", self.mount), "back keys up"),
            (format!("{}/keys/{probe}/soft-delete", self.mount), "delete keys softly"),
            (format!("sys/policies/acl/{probe}"), "change policies"),
        ];
        let paths: Vec<&str> = dangers.iter().map(|(path, _)| path.as_str()).collect();
        let body = json!({ "paths": paths });
        match self.post("sys/capabilities-self".to_owned(), &body, "looking at the token's rights") {
            Ok(answer) => {
                for (path, what) in &dangers {
                    let rights = answer["data"][path].as_array().or_else(|| answer[path].as_array());
                    let denied = rights.is_some_and(|rights| rights.iter().all(|right| right == "deny"));
                    if !denied {
                        let text = format!("the token may {what}: use the policy of docs/operating/root-stores.md");
                        findings.push(lowers("token-rights", &text));
                    }
                }
            }
            Err(error) => {
                findings.push(lowers("token-rights-unseen", &format!("what the token may do cannot be seen: {error}")))
            }
        }
        Ok(RegisterAssessment::of(CLASS.to_owned(), findings))
    }

    fn leader(&self) -> io::Result<Value> {
        expect(&self.call(Method::GET, "sys/leader".to_owned(), None)?, "asking for the active node")
    }

    /// Whether an answer may have come from a node that lags behind: there even a deletion is answered with *not found*.
    /// Servers that count their writes guard against that when they are told the count; of the others only the active node
    /// will do.
    fn refuse_stale_node(&self, reply: &Reply) -> io::Result<()> {
        if reply.indexed {
            return Ok(());
        }
        let leader = self.leader()?;
        let standby = leader["ha_enabled"] == true && leader["is_self"] == false;
        if standby { Err(io::Error::other(OpenBaoError::MayBeStale)) } else { Ok(()) }
    }

    fn call(&self, method: Method, path: String, body: Option<&Value>) -> io::Result<Reply> {
        let body = body.map(|body| Zeroizing::new(body.to_string().into_bytes()));
        self.wire.call(Call { method, path, body })
    }

    fn post(&self, path: String, body: &Value, doing: &'static str) -> io::Result<Value> {
        expect(&self.call(Method::POST, path, Some(body))?, doing)
    }

    fn key_path(&self, name: &str) -> String {
        format!("{}/keys/{name}", self.mount)
    }

    /// Whether there is such a key, soft deleted or not.
    fn find(&self, name: &str) -> io::Result<Option<Value>> {
        let reply = self.call(Method::GET, self.key_path(name), None)?;
        if is_nothing(&reply) {
            self.refuse_stale_node(&reply)?;
            return Ok(None);
        }
        expect(&reply, "looking for a key").map(Some)
    }

    fn allow_deletion(&self, name: &str) -> io::Result<Value> {
        let path = format!("{}/config", self.key_path(name));
        self.post(path, &json!({ "deletion_allowed": true }), "allowing a key's deletion")
    }
}

impl Keys for OpenBao {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn mint(&self, name: &str) -> io::Result<()> {
        let kind =
            json!({ "type": "aes256-gcm96", "derived": false, "exportable": false, "allow_plaintext_backup": false });
        let made = self.call(Method::POST, self.key_path(name), Some(&kind))?;
        expect(&made, "making a key")?;
        self.refuse_stale_node(&made)?;
        let mut key = self.allow_deletion(name)?;
        if key["data"].is_null() {
            // Older servers say nothing here.
            key = self.find(name)?.unwrap_or_default();
        }
        let key = &key["data"];
        let good = key["type"] == "aes256-gcm96"
            && key["exportable"] == false
            && key["allow_plaintext_backup"] == false
            && key["deletion_allowed"] == true
            && key["derived"] == false
            && key["imported_key"] != true
            && key["soft_deleted"] != true;
        if good { Ok(()) } else { Err(io::Error::other("OpenBao made a key that is not as it must be")) }
    }

    fn wrap(&self, name: &str, context: &[u8], plain: &[u8]) -> io::Result<Vec<u8>> {
        let encoded = Zeroizing::new(BASE64.encode(plain));
        let body = json!({ "plaintext": encoded.as_str(), "associated_data": BASE64.encode(context) });
        let answer = self.post(format!("{}/encrypt/{name}", self.mount), &body, "wrapping");
        wipe(body);
        match answer?["data"]["ciphertext"].as_str() {
            Some(wrapped) => Ok(wrapped.as_bytes().to_vec()),
            None => Err(io::Error::other("OpenBao gave no wrapped text")),
        }
    }

    fn unwrap(&self, name: &str, context: &[u8], wrapped: &[u8]) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let wrapped = std::str::from_utf8(wrapped).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let body = json!({ "ciphertext": wrapped, "associated_data": BASE64.encode(context) });
        let reply = self.call(Method::POST, format!("{}/decrypt/{name}", self.mount), Some(&body))?;
        // The same status for a missing key and a text that does not open: which of them, is asked for.
        if matches!(reply.status, 400 | 404) && self.find(name)?.is_none() {
            return Ok(None);
        }
        let mut answer = expect(&reply, "unwrapping")?;
        let plain = match answer["data"]["plaintext"].take() {
            Value::String(plain) => Zeroizing::new(plain),
            _ => return Err(io::Error::other("OpenBao gave no unwrapped text")),
        };
        let plain = BASE64.decode(plain.as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Some(Zeroizing::new(plain)))
    }

    fn destroy(&self, name: &str) -> io::Result<()> {
        let delete = || self.call(Method::DELETE, self.key_path(name), None);
        let mut reply = delete()?;
        if reply.status == 400 && self.find(name)?.is_some() {
            // A crash came between making it and allowing its deletion.
            self.allow_deletion(name)?;
            reply = delete()?;
        }
        // 400: there was nothing to delete, which the search below has to agree with.
        if reply.status != 400 {
            expect(&reply, "deleting a key")?;
        }
        match self.find(name)? {
            None => Ok(()),
            Some(_) => Err(io::Error::other("OpenBao still has the key that was deleted")),
        }
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let reply = self.call(Method::GET, format!("{}/keys?list=true", self.mount), None)?;
        self.refuse_stale_node(&reply)?;
        if is_nothing(&reply) {
            return Ok(Vec::new());
        }
        let answer = expect(&reply, "listing keys")?;
        let names = answer["data"]["keys"].as_array().ok_or_else(|| io::Error::other("OpenBao gave no list"))?;
        let names = names.iter().filter_map(Value::as_str).filter(|name| name.starts_with(prefix));
        Ok(names.map(str::to_owned).collect())
    }
}

/// *Not found* as the transit engine says it; an engine that is not mounted says more.
fn is_nothing(reply: &Reply) -> bool {
    let body = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
    reply.status == 404 && body["errors"].as_array().is_some_and(Vec::is_empty)
}

/// The answer of a request that was done, or an error with the server's own words.
fn expect(reply: &Reply, doing: &'static str) -> io::Result<Value> {
    if reply.status == 204 {
        return Ok(Value::Null);
    }
    let body = serde_json::from_slice::<Value>(&reply.body);
    if reply.status == 200 {
        return body.map_err(|_| io::Error::other("OpenBao's answer is no JSON"));
    }
    let body = body.unwrap_or_default();
    let words: String =
        body["errors"][0].as_str().unwrap_or("no reason given").chars().filter(|c| !c.is_control()).take(200).collect();
    let kind = match reply.status {
        403 => io::ErrorKind::PermissionDenied,
        404 => io::ErrorKind::NotFound,
        429 | 500..=599 => io::ErrorKind::HostUnreachable,
        _ => io::ErrorKind::InvalidData,
    };
    Err(io::Error::new(kind, format!("{doing}: OpenBao answered {}: {words}", reply.status)))
}

fn wipe(mut body: Value) {
    if let Value::String(plain) = body["plaintext"].take() {
        drop(Zeroizing::new(plain));
    }
}
