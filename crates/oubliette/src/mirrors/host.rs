//! The other side: keeps mirrors of other vaults, each in a folder of its own.
//!
//! A folder belongs to the key of the client certificate that began it (its SHA-256 lies beside the files): whoever the
//! authority signed for may begin one, as long as there is room, and nobody reaches another's. One session at a time; a failed
//! flush ends it, so that nothing of its open files is believed any more.
//!
//! A disk that hangs holds up a few threads for each client and no more: the vault that is served beside goes on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use keyforest::media::Medium as _;
use oubliette_store::media::Folder;
use rustls::server::ParsedCertificate;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{FILES, MOST, SESSION};
use crate::config::HostPlace;
use crate::nodes::NodeTls;

/// Connections served at once; further ones wait.
const CONNECTIONS: usize = 64;
/// A handshake, a request's head, a body.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests of one client that are carried out at once.
const TURNS: usize = 2;
/// How long a request waits for its turn, and for the disk.
const DISK: Duration = Duration::from_secs(20);
/// Beside a vault's files: whose they are.
const OWNER: &str = "owner";

/// Listens until it is dropped.
pub struct Host {
    _stop: DropGuard,
}

/// Begins to keep mirrors.
///
/// # Errors
/// The address cannot be listened on, or the certificates cannot be read.
pub async fn start(place: &HostPlace) -> Result<Host> {
    let tls = NodeTls::read_for("mirror_host", &place.files)?;
    let listener = TcpListener::bind(place.listen).await;
    let listener = listener.with_context(|| format!("mirror_host.listen: {} cannot be listened on", place.listen))?;
    let kept = Arc::new(Kept {
        root: place.folder.clone(),
        most: place.max_bytes,
        most_vaults: place.max_vaults,
        vaults: Mutex::default(),
        turns: Mutex::default(),
    });
    let (acceptor, stop) = (TlsAcceptor::from(tls.server), CancellationToken::new());
    let (stopped, room) = (stop.clone(), Arc::new(Semaphore::new(CONNECTIONS)));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let stream = tokio::select! {
                next = listener.accept() => next,
                () = stopped.cancelled() => return,
            };
            let Ok((stream, _)) = stream else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (acceptor, kept, stopped) = (acceptor.clone(), Arc::clone(&kept), stopped.clone());
            tokio::spawn(async move {
                let _permit = permit;
                tokio::select! {
                    () = connection(stream, &acceptor, kept) => {}
                    () = stopped.cancelled() => {}
                }
            });
        }
    });
    Ok(Host { _stop: stop.drop_guard() })
}

async fn connection(stream: TcpStream, acceptor: &TlsAcceptor, kept: Arc<Kept>) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let key = certificate.and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
    let Some(key) = key else { return };
    let owner: Owner = hex::encode(digest(&SHA256, key.subject_public_key_info().as_ref())).into();
    let service = service_fn(move |request| {
        let (kept, owner) = (Arc::clone(&kept), Arc::clone(&owner));
        async move { Ok::<_, Infallible>(answer(request, kept, owner).await) }
    });
    let mut builder = http1::Builder::new();
    let serving = builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    if let Err(error) = serving.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection of a mirrored vault ended early");
    }
}

/// Hash of a client's public key.
type Owner = Arc<str>;

async fn answer(request: Request<Incoming>, kept: Arc<Kept>, owner: Owner) -> Response<Full<Bytes>> {
    let asked = Asked::of(&request);
    let (Some(asked), "POST") = (asked, request.method().as_str()) else {
        return told(StatusCode::BAD_REQUEST, Bytes::new());
    };
    let body = timeout(PATIENCE, Limited::new(request.into_body(), MOST).collect()).await;
    let Ok(Ok(body)) = body else { return told(StatusCode::BAD_REQUEST, Bytes::new()) };
    let body = body.to_bytes();
    let Ok(Ok(turn)) = timeout(DISK, kept.turns(&owner).acquire_owned()).await else {
        return told(StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
    };
    let done = tokio::task::spawn_blocking(move || {
        // Kept for as long as the disk keeps the thread, whoever still waits for the answer.
        let _turn = turn;
        kept.carry_out(&asked, &owner, &body)
    });
    match timeout(DISK, done).await {
        Ok(Ok(Ok(bytes))) => told(StatusCode::OK, bytes),
        Ok(Ok(Err(refusal))) => told(refusal, Bytes::new()),
        Ok(Err(_)) => told(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
        Err(_) => told(StatusCode::SERVICE_UNAVAILABLE, Bytes::new()),
    }
}

fn told(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

/// A request, read.
struct Asked {
    instance: Uuid,
    operation: String,
    session: Option<Uuid>,
    name: String,
    at: u64,
    /// A number, or `flush`.
    len: String,
}

impl Asked {
    fn of(request: &Request<Incoming>) -> Option<Self> {
        let rest = request.uri().path().strip_prefix("/mirror/v1/")?;
        let (instance, operation) = rest.split_once('/')?;
        let session = request.headers().get(SESSION).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut asked = Self {
            instance: instance.parse().ok()?,
            operation: operation.to_owned(),
            session,
            name: String::new(),
            at: 0,
            len: String::new(),
        };
        for pair in request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=')?;
            let value = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
            match key {
                "name" => asked.name = value.into_owned(),
                "at" => asked.at = value.parse().ok()?,
                "len" => asked.len = value.into_owned(),
                _ => return None,
            }
        }
        // Nothing hidden, no way out of the folder, and not the file that says whose it is.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let good = asked.name.len() <= 128
            && !asked.name.starts_with('.')
            && asked.name != OWNER
            && asked.name.chars().all(plain);
        good.then_some(asked)
    }
}

/// All vaults that are mirrored here.
struct Kept {
    root: PathBuf,
    most: u64,
    most_vaults: usize,
    vaults: Mutex<HashMap<Uuid, Arc<Mutex<Vault>>>>,
    /// By client: as many as there are keys that the authority signed for.
    turns: Mutex<HashMap<Owner, Arc<Semaphore>>>,
}

/// One of them.
#[derive(Default)]
struct Vault {
    session: Option<Uuid>,
    folder: Option<Folder>,
    lengths: HashMap<String, u64>,
}

impl Kept {
    fn vault(&self, instance: Uuid) -> Arc<Mutex<Vault>> {
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(vaults.entry(instance).or_default())
    }

    fn turns(&self, owner: &Owner) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(Arc::clone(owner)).or_insert_with(|| Arc::new(Semaphore::new(TURNS))))
    }

    /// Whether another vault may be mirrored here.
    fn has_room(&self, path: &Path) -> io::Result<bool> {
        if path.exists() {
            return Ok(true);
        }
        match std::fs::read_dir(&self.root) {
            Ok(vaults) => Ok(vaults.count() < self.most_vaults),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.most_vaults > 0),
            Err(error) => Err(error),
        }
    }

    fn carry_out(&self, asked: &Asked, owner: &str, body: &Bytes) -> Result<Bytes, StatusCode> {
        let path = self.root.join(asked.instance.to_string());
        let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
        if asked.operation == "open" && !self.has_room(&path).map_err(failed)? {
            tracing::warn!("another vault wants to be mirrored here: mirror_host.max_vaults are");
            return Err(StatusCode::INSUFFICIENT_STORAGE);
        }
        if !belongs(&path, owner, asked.operation == "open").map_err(failed)? {
            return Err(StatusCode::FORBIDDEN);
        }
        let vault = self.vault(asked.instance);
        let mut vault: MutexGuard<'_, Vault> = vault.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.operation == "open" {
            return vault.open(&path).map_err(|error| {
                tracing::warn!(%error, "a mirrored vault's folder could not be opened");
                StatusCode::INTERNAL_SERVER_ERROR
            });
        }
        if asked.session.is_none() || asked.session != vault.session {
            return Err(StatusCode::GONE);
        }
        vault.work(asked, body, self.most).map_err(|error| {
            let status = match error.kind() {
                io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
                io::ErrorKind::AlreadyExists => StatusCode::CONFLICT,
                io::ErrorKind::UnexpectedEof => StatusCode::RANGE_NOT_SATISFIABLE,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
                io::ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            if status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(%error, "a mirrored vault's files failed: its session ends");
                *vault = Vault::default();
            }
            status
        })
    }
}

/// Whether the folder is this client's; `begins` makes it so if nobody's.
fn belongs(path: &Path, owner: &str, begins: bool) -> io::Result<bool> {
    let file = path.join(OWNER);
    match std::fs::read_to_string(&file) {
        Ok(found) => Ok(found.trim() == owner),
        Err(error) if error.kind() == io::ErrorKind::NotFound && begins => {
            drop(Folder::open(path)?);
            let fresh = path.join(".owner");
            std::fs::write(&fresh, owner)?;
            std::fs::File::open(&fresh)?.sync_all()?;
            std::fs::rename(&fresh, &file)?;
            std::fs::File::open(path)?.sync_all()?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Vault {
    fn open(&mut self, path: &Path) -> io::Result<Bytes> {
        // Let go first: it is locked.
        *self = Self::default();
        let folder = Folder::open_alone(path)?;
        self.lengths = folder.list()?.into_iter().filter(|(name, _)| name != OWNER && !name.starts_with('.')).collect();
        self.folder = Some(folder);
        let session = Uuid::new_v4();
        self.session = Some(session);
        Ok(session.to_string().into())
    }

    fn work(&mut self, asked: &Asked, body: &Bytes, most: u64) -> io::Result<Bytes> {
        let Self { folder: Some(folder), lengths, .. } = self else { return Err(io::Error::other("not open")) };
        let (name, none) = (asked.name.as_str(), Bytes::new());
        let number = || asked.len.parse::<u64>().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        match asked.operation.as_str() {
            "list" => {
                let lines: Vec<String> = lengths.iter().map(|(name, len)| format!("{len} {name}")).collect();
                return Ok(lines.join("\n").into());
            }
            _ if name.is_empty() => return Err(io::ErrorKind::InvalidInput.into()),
            "create" => {
                if lengths.len() >= FILES {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                folder.create(name, 0)?;
                lengths.insert(name.to_owned(), 0);
            }
            "write" => {
                let len = *lengths.get(name).ok_or(io::ErrorKind::NotFound)?;
                let end = asked.at.checked_add(body.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
                let all: u64 = lengths.values().sum();
                if end > len && all.saturating_add(end - len) > most {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                folder.write_at(name, asked.at, body)?;
                lengths.insert(name.to_owned(), len.max(end));
                if asked.len == "flush" {
                    folder.flush(name)?;
                }
            }
            "flush" => folder.flush(name)?,
            "truncate" => {
                let len = number()?;
                if lengths.get(name).is_none_or(|known| *known < len) {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                folder.truncate(name, len)?;
                lengths.insert(name.to_owned(), len);
            }
            "read" => {
                let len = usize::try_from(number()?).ok().filter(|len| *len <= MOST);
                return folder.read_back(name, asked.at, len.ok_or(io::ErrorKind::InvalidInput)?).map(Bytes::from);
            }
            "remove" => {
                folder.remove(name)?;
                lengths.remove(name);
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(none)
    }
}
