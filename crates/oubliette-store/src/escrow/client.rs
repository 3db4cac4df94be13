//! The way to an agent over the network: HTTPS, both sides with a certificate of one authority of their own.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Client, Identity, Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::depot::{Keep, Kept, Opened, Stamp};
use super::envelope::Label;
use super::link::{AgentLink, LinkError};
use super::wire::{
    EnvelopesTold, HoldsTold, KeepAsk, KeptTold, MOST_BODY, PutAsk, RefusalTold, SessionAsk, SessionTold, StatusTold,
};
use super::{Envelope, Root};

/// How agents are reached.
#[derive(Clone, Debug)]
pub struct AgentFiles {
    /// PEM file with the authority that signed for agents and vault.
    pub ca: PathBuf,
    /// PEM file with the vault's certificate.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// The longest a request may take.
    pub timeout: Duration,
}

/// An agent's address.
///
/// Its calls block, on a thread that belongs to no runtime.
pub struct HttpsAgent {
    client: Client,
    base: Url,
    runtime: Runtime,
}

impl HttpsAgent {
    /// Reads the files. Asks nothing yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with what is wrong with the address or the files.
    pub fn new(url: &str, files: &AgentFiles) -> io::Result<Self> {
        let wrong = |text: &'static str| io::Error::new(io::ErrorKind::InvalidInput, text);
        let base = Url::parse(url).ok().filter(|base| base.scheme() == "https" && base.path() == "/");
        let base = base.ok_or_else(|| wrong("an agent's address is https://HOST:PORT"))?;
        let identity = Zeroizing::new([std::fs::read(&files.certificate)?, std::fs::read(&files.key)?].concat());
        let identity = Identity::from_pem(&identity).map_err(|_| wrong("certificate and key cannot be read as PEM"))?;
        let authority = Certificate::from_pem_bundle(&std::fs::read(&files.ca)?).ok();
        let authority = authority.filter(|found| !found.is_empty());
        let authority = authority.ok_or_else(|| wrong("the CA file holds no certificate"))?;
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true)
            .http1_only()
            .connect_timeout(files.timeout.min(Duration::from_secs(3)))
            .timeout(files.timeout)
            .tls_certs_only(authority)
            .identity(identity)
            .build()
            .map_err(|_| wrong("certificate and key do not belong together"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, base, runtime })
    }

    /// What the agent says of itself.
    pub fn status(&self) -> Result<StatusTold, LinkError> {
        self.call::<(), _>(Method::GET, "v1/status", None)
    }

    /// Its envelopes, if its operator has allowed it.
    pub fn envelopes(&self) -> Result<Vec<Envelope>, LinkError> {
        let told: EnvelopesTold = self.call::<(), _>(Method::GET, "v1/envelopes", None)?;
        told.read().ok_or_else(malformed)
    }

    fn call<A: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        ask: Option<&A>,
    ) -> Result<T, LinkError> {
        let url = self.base.join(path).map_err(|_| malformed())?;
        let mut request = self.client.request(method, url);
        if let Some(ask) = ask {
            let body = Zeroizing::new(serde_json::to_vec(ask).map_err(|_| malformed())?);
            request = request.header(CONTENT_TYPE, "application/json").body(bytes::Bytes::from_owner(body));
        }
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(away)?;
            let status = response.status().as_u16();
            let mut body = Zeroizing::new(Vec::with_capacity(MOST_BODY));
            while let Some(chunk) = response.chunk().await.map_err(away)? {
                if body.len() + chunk.len() > MOST_BODY {
                    return Err(malformed());
                }
                body.extend_from_slice(&chunk);
            }
            if status == 200 {
                return serde_json::from_slice(&body).map_err(|_| malformed());
            }
            let told = serde_json::from_slice::<RefusalTold>(&body).ok();
            if let Some(refused) = told.as_ref().and_then(RefusalTold::read) {
                return Err(refused.into());
            }
            let detail = told.map_or_else(String::new, |told| told.detail);
            let detail: String = detail.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(LinkError::Away(io::Error::other(format!("it answered {status}: {detail}"))))
        })
    }
}

impl AgentLink for HttpsAgent {
    fn session(&self, instance: [u8; 16], fence: u64) -> Result<Opened, LinkError> {
        let ask = SessionAsk { instance: Uuid::from_bytes(instance), fence };
        let told: SessionTold = self.call(Method::POST, "v1/session", Some(&ask))?;
        told.read().ok_or_else(malformed)
    }

    fn put(&self, stamp: Stamp, envelope: &Envelope, in_force: Option<Root>) -> Result<Vec<Label>, LinkError> {
        let ask = PutAsk::of(stamp, envelope, in_force);
        let told: HoldsTold = self.call(Method::POST, "v1/put", Some(&ask))?;
        told.read().ok_or_else(malformed)
    }

    fn keep(&self, stamp: Stamp, keep: &Keep) -> Result<Kept, LinkError> {
        let told: KeptTold = self.call(Method::POST, "v1/keep", Some(&KeepAsk::of(stamp, keep)))?;
        told.read().ok_or_else(malformed)
    }
}

fn malformed() -> LinkError {
    LinkError::Away(io::Error::new(io::ErrorKind::InvalidData, "its answer is not understood"))
}

/// Without the address: an error is written into logs.
fn away(error: reqwest::Error) -> LinkError {
    let kind = if error.is_timeout() {
        io::ErrorKind::TimedOut
    } else if error.is_connect() {
        io::ErrorKind::ConnectionRefused
    } else {
        io::ErrorKind::ConnectionAborted
    };
    LinkError::Away(io::Error::new(kind, error.without_url()))
}
