//! The vault's side: another Oubliette as a place for key pages.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use keyforest::media::Medium;
use oubliette_store::media::Place;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::StatusCode;
use uuid::Uuid;

use super::{FILES, MOST, SESSION};
use crate::config::NodeFiles;
use crate::nodes::NodeTls;

/// Most bytes of an answer that says little.
const SHORT: usize = 4096;
/// Most bytes of a list of files.
const LIST: usize = 16 << 20;
/// Longest name of a file.
const NAME: usize = 128;

/// A mirror at another Oubliette, for as long as one session lasts.
pub struct Remote {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    base: String,
    session: String,
    files: Mutex<BTreeMap<String, File>>,
}

#[derive(Default)]
struct File {
    len: u64,
    /// Written and not sent yet.
    pieces: Vec<(u64, Bytes)>,
}

impl Remote {
    /// Begins a session; one that this vault had there before is over. `limit`: for one request.
    ///
    /// # Errors
    /// It cannot be reached, or refuses.
    pub fn open(host: &str, instance: Uuid, files: &NodeFiles, limit: Duration) -> io::Result<Self> {
        let tls = NodeTls::read_for("mirrors", files).map_err(|error| io::Error::other(error.to_string()))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls.client).clone())
            .no_proxy()
            .connect_timeout(limit)
            .timeout(limit)
            .build()
            .map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let base = format!("https://{host}/mirror/v1/{instance}");
        let mut remote = Self { runtime, client, base, session: String::new(), files: Mutex::default() };
        let session = remote.ask("open", &[], Bytes::new())?;
        remote.session = text(&session)?;
        let files = files_of(&text(&remote.ask_for("list", &[], Bytes::new(), LIST)?)?)?;
        *remote.lock() = files;
        Ok(remote)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, operation: &str, query: &[(&str, &str)], body: Bytes) -> io::Result<Bytes> {
        self.ask_for(operation, query, body, SHORT)
    }

    /// As [`Remote::ask`], for an answer of at most so many bytes.
    fn ask_for(&self, operation: &str, query: &[(&str, &str)], body: Bytes, most: usize) -> io::Result<Bytes> {
        let query: Vec<String> = query
            .iter()
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        let request = self
            .client
            .post(format!("{}/{operation}?{}", self.base, query.join("&")))
            .header(SESSION, &self.session)
            .body(body);
        self.runtime.block_on(async {
            // The address is the configuration's; what may be told is what went wrong.
            let answer = request.send().await.map_err(|error| io::Error::other(error.without_url()))?;
            match answer.status() {
                StatusCode::OK => whole(answer, most).await,
                StatusCode::NOT_FOUND => Err(io::ErrorKind::NotFound.into()),
                StatusCode::CONFLICT => Err(io::ErrorKind::AlreadyExists.into()),
                StatusCode::RANGE_NOT_SATISFIABLE => Err(io::ErrorKind::UnexpectedEof.into()),
                StatusCode::INSUFFICIENT_STORAGE => Err(io::ErrorKind::StorageFull.into()),
                StatusCode::GONE => Err(io::Error::other("its session is over: it was restarted, or opened anew")),
                StatusCode::FORBIDDEN => Err(io::Error::other("it keeps this vault's place for another certificate")),
                other => Err(io::Error::other(format!("it answered {other}"))),
            }
        })
    }

    /// Sends what is waiting of a file; the last piece with `flush`, if it is asked for.
    fn send(&self, name: &str, flush: bool) -> io::Result<()> {
        let pieces = joined(std::mem::take(&mut self.lock().get_mut(name).ok_or(io::ErrorKind::NotFound)?.pieces));
        let last = pieces.len().wrapping_sub(1);
        let none = pieces.is_empty();
        for (number, (at, bytes)) in pieces.into_iter().enumerate() {
            let (at, len) = (at.to_string(), if flush && number == last { "flush" } else { "0" });
            self.ask("write", &[("name", name), ("at", &at), ("len", len)], bytes)?;
        }
        if none && flush {
            self.ask("flush", &[("name", name)], Bytes::new())?;
        }
        Ok(())
    }
}

/// An answer's body, as long as it is no longer than was asked for: the other side is not trusted with this one's memory.
async fn whole(mut answer: reqwest::Response, most: usize) -> io::Result<Bytes> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| io::Error::other(error.without_url()))? {
        if piece.len() > most - body.len() {
            return Err(io::Error::other("it answered more than it was asked for"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}

/// Reads a list of files.
fn files_of(listed: &str) -> io::Result<BTreeMap<String, File>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut files = BTreeMap::new();
    for line in listed.lines() {
        let (len, name) = line.split_once(' ').ok_or_else(nonsense)?;
        let len = len.parse().map_err(|_| nonsense())?;
        if name.is_empty() || name.len() > NAME || !name.chars().all(plain) {
            return Err(nonsense());
        }
        if files.len() >= FILES {
            return Err(io::Error::other("it lists more files than a host keeps"));
        }
        if files.insert(name.to_owned(), File { len, pieces: Vec::new() }).is_some() {
            return Err(nonsense());
        }
    }
    Ok(files)
}

/// Joins pieces that follow each other, up to the largest body; larger ones are cut.
fn joined(pieces: Vec<(u64, Bytes)>) -> Vec<(u64, Bytes)> {
    let mut out: Vec<(u64, Vec<u8>)> = Vec::new();
    for (at, piece) in pieces {
        for (number, part) in piece.chunks(MOST).enumerate() {
            let at = at + (number * MOST) as u64;
            match out.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u64 == at && bytes.len() + part.len() <= MOST => {
                    bytes.extend_from_slice(part);
                }
                _ => out.push((at, part.to_vec())),
            }
        }
    }
    out.into_iter().map(|(at, bytes)| (at, bytes.into())).collect()
}

fn text(bytes: &Bytes) -> io::Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| nonsense())
}

fn nonsense() -> io::Error {
    io::Error::other("its answer is not understood")
}

impl Medium for Remote {
    /// `reserve` is the other's affair.
    fn create(&self, name: &str, _reserve: u64) -> io::Result<()> {
        self.ask("create", &[("name", name)], Bytes::new())?;
        self.lock().insert(name.to_owned(), File::default());
        Ok(())
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let ahead = {
            let mut files = self.lock();
            let file = files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
            file.pieces.push((offset, Bytes::copy_from_slice(bytes)));
            file.len = file.len.max(offset + bytes.len() as u64);
            file.pieces.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= MOST
        };
        if ahead { self.send(name, false) } else { Ok(()) }
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.send(name, true)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.send(name, false)?;
        self.read_back(name, offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        // Grows with what comes: the length may be one that the other side listed.
        let mut out = Vec::new();
        while out.len() < len {
            let some = (len - out.len()).min(MOST);
            let at = offset.checked_add(out.len() as u64).ok_or_else(nonsense)?;
            let (at, wanted) = (at.to_string(), some.to_string());
            let part = self.ask_for("read", &[("name", name), ("at", &at), ("len", &wanted)], Bytes::new(), some)?;
            if part.len() != some {
                return Err(nonsense());
            }
            out.extend_from_slice(&part);
        }
        Ok(out)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.send(name, false)?;
        self.ask("truncate", &[("name", name), ("len", &len.to_string())], Bytes::new())?;
        if let Some(file) = self.lock().get_mut(name) {
            file.len = len;
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.lock().iter().map(|(name, file)| (name.clone(), file.len)).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.ask("remove", &[("name", name)], Bytes::new())?;
        self.lock().remove(name);
        Ok(())
    }
}

impl Place for Remote {}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(len: usize) -> reqwest::Response {
        http::Response::new(vec![7_u8; len]).into()
    }

    #[tokio::test]
    async fn an_answer_longer_than_was_asked_for_is_not_taken_in() {
        assert_eq!(whole(answer(9), 9).await.unwrap().len(), 9);
        assert!(whole(answer(10), 9).await.is_err());
        assert!(whole(answer(1 << 20), 0).await.is_err());
    }

    #[test]
    fn a_list_of_too_many_files_or_of_none_that_a_host_keeps_is_not_understood() {
        let files = files_of("5 pack-00000001.kfp\n18446744073709551615 notes").unwrap();
        assert_eq!(files.values().map(|file| file.len).collect::<Vec<_>>(), [u64::MAX, 5]);
        for refused in ["5", "x notes", "-1 notes", "5 ", "5 a/b", "5 a b", "5 notes\n6 notes"] {
            assert!(files_of(refused).is_err(), "{refused}");
        }
        assert!(files_of(&format!("5 {}", "n".repeat(NAME + 1))).is_err());
        let many = |count: usize| (0..count).map(|number| format!("1 {number}\n")).collect::<String>();
        assert_eq!(files_of(&many(FILES)).unwrap().len(), FILES);
        assert!(files_of(&many(FILES + 1)).is_err());
    }
}
