//! A log at an address.
//!
//! Asks for files below the address and for nothing else: no redirect is followed, no answer is read further than its kind
//! of file can be long, and none is waited for without end. What comes is believed no more than a file is.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use oubliette_proof::tree::{Tile, TileReader};
use reqwest::{Client, StatusCode, Url, redirect};
use tokio::runtime::{Builder, Runtime};

use super::longest;

/// For a connection to be there.
const CONNECT: Duration = Duration::from_secs(10);
/// For a byte more of an answer.
const SILENCE: Duration = Duration::from_secs(15);
/// For one file, with everything.
const WHOLE: Duration = Duration::from_secs(60);
/// Waits before the second and third attempt, when the server says that it is busy.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// The files below an address.
pub struct Remote {
    runtime: Runtime,
    client: Client,
    base: Url,
}

impl Remote {
    /// Nothing is asked for yet.
    pub fn new(base: Url) -> io::Result<Self> {
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .timeout(WHOLE)
            .user_agent(concat!("oubliette-verify/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // Nobody's certificate is looked at, so that a machine without any will do.
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|error| io::Error::other(words(&error)))?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, client, base })
    }

    /// A file of at most so many bytes.
    pub fn get(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        let url = self.base.join(path).map_err(io::Error::other)?;
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.runtime.block_on(once(&self.client, url.clone(), most)) {
                Err(Failed::Busy(status)) => match pauses.next() {
                    Some(pause) => std::thread::sleep(pause),
                    None => return Err(io::Error::other(format!("the server answers {status}"))),
                },
                Err(Failed::Other(error)) => return Err(error),
                Ok(bytes) => return Ok(bytes),
            }
        }
    }
}

impl TileReader for Remote {
    type Error = io::Error;

    /// The tile as wide as asked; else full.
    fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
        match self.get(&tile.to_string(), longest(tile.kind)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tile.is_partial() => {
                let full = self.get(&tile.full().to_string(), longest(tile.kind));
                full.map_err(|other| if other.kind() == io::ErrorKind::NotFound { error } else { other })
            }
            other => other,
        }
    }
}

enum Failed {
    /// A moment later it may be otherwise.
    Busy(StatusCode),
    Other(io::Error),
}

async fn once(client: &Client, url: Url, most: usize) -> Result<Vec<u8>, Failed> {
    let failed = |error: reqwest::Error| Failed::Other(io::Error::other(words(&error)));
    let mut answer = client.get(url).send().await.map_err(failed)?;
    let other = |words: String| Err(Failed::Other(io::Error::other(words)));
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(Failed::Other(io::Error::new(io::ErrorKind::NotFound, "the server has no such file")));
        }
        status if status.is_redirection() => {
            return other(format!("the server answers {status}; nothing is followed to another address"));
        }
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            return Err(Failed::Busy(status));
        }
        status => return other(format!("the server answers {status}")),
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > most {
            return other(format!("the server's answer is longer than the {most} bytes that such a file can have"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What went wrong, down to its cause. The address is told by who asked.
fn words(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "the server did not answer in time".to_owned(),
        error if error.is_connect() => "the server cannot be reached".to_owned(),
        error if error.is_body() || error.is_decode() => "the answer broke off".to_owned(),
        _ => "asking the server failed".to_owned(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        cause = error.source();
        if cause.is_none() {
            text.push_str(&format!(": {error}"));
        }
    }
    text
}
