//! Fetches recordings that were declared with an address instead of an upload.
//!
//! Only http and https, only from hosts the configuration names, no redirect to another host, bounded in size and time. The
//! address may hold a password: it is read from the sealed metadata when its turn comes, and neither it nor anything of
//! it is logged or told. A fetch that fails for good says why in words of ours.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::TryStreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use jiff::{SignedDuration, Timestamp};
use oubliette_core::model::{Actor, ContentKind, InteractionMeta, Scope, State, TenantId};
use oubliette_core::service::{BodyStream, IngestMode, ListQuery, NewContent, VaultError};
use reqwest::{Client, Response, Url, redirect};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::http::App;
use crate::http::media::{last_component, media_type_of};

/// Jobs that may wait in memory; what does not fit is found again by a scan.
const QUEUE: usize = 10_000;
/// Fetches at the same time.
const PARALLEL: usize = 4;
/// Waits before the second and third attempt.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// One fetch may take this long in all.
const WHOLE: Duration = Duration::from_secs(3_600);
/// And this long without a byte.
const SILENCE: Duration = Duration::from_secs(60);
/// Redirects followed, all on the same host.
const REDIRECTS: usize = 5;
/// After a start, unfinished fetches declared within this time are taken up again.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24 * 7);
/// How often it is looked whether jobs did not fit into the queue.
const RESCAN: Duration = Duration::from_secs(30);

/// Takes up interactions whose recording is to be fetched. Cheap to clone.
#[derive(Clone)]
pub struct FetchQueue(Arc<Queue>);

struct Queue {
    sender: mpsc::Sender<Job>,
    receiver: Mutex<Option<mpsc::Receiver<Job>>>,
    /// What waits or is being fetched: a scan finds that, too.
    held: Mutex<HashSet<(TenantId, String)>>,
    overflowed: AtomicBool,
}

#[derive(Clone)]
struct Job {
    actor: Actor,
    id: String,
}

impl Job {
    fn name(&self) -> (TenantId, String) {
        (self.actor.tenant, self.id.clone())
    }
}

impl Default for FetchQueue {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (receiver, held) = (Mutex::new(Some(receiver)), Mutex::default());
        let queue = Queue { sender, receiver, held, overflowed: AtomicBool::new(false) };
        Self(Arc::new(queue))
    }
}

impl FetchQueue {
    /// Queues an interaction in state `AwaitingDownload`. One that is queued or being fetched is not queued again: the second
    /// fetch would replace what the first has stored.
    pub fn push(&self, actor: &Actor, id: &str) {
        let job = Job { actor: worker(actor), id: id.to_owned() };
        let name = job.name();
        if !self.held().insert(name.clone()) {
            return;
        }
        if self.0.sender.try_send(job).is_err() {
            self.held().remove(&name);
            self.0.overflowed.store(true, Ordering::Relaxed);
        }
    }

    fn held(&self) -> MutexGuard<'_, HashSet<(TenantId, String)>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same tenant with what a fetch needs, whatever the declaring credential may do.
fn worker(actor: &Actor) -> Actor {
    Actor { scopes: [Scope::InteractionRead, Scope::InteractionWrite].into_iter().collect(), ..actor.clone() }
}

/// Works off the queue until `stop`; unfinished fetches are taken up again after the next start. Must run at most once.
pub async fn run(app: App, stop: CancellationToken) {
    if app.vault.attached() {
        // Nothing is taken in. The committed vault takes them up.
        return;
    }
    let receiver = app.fetches.0.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut receiver) = receiver else { return };
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(error = %error.without_url(), "recordings cannot be fetched: no HTTP client");
            return;
        }
    };
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut running = JoinSet::new();
    let mut rescan = tokio::time::interval(RESCAN);
    // The first look comes at once: it takes up what the last run left.
    app.fetches.0.overflowed.store(!app.settings.download_hosts.is_empty(), Ordering::Relaxed);
    loop {
        let job = tokio::select! {
            () = stop.cancelled() => break,
            _ = rescan.tick() => {
                if app.fetches.0.overflowed.swap(false, Ordering::Relaxed) {
                    running.spawn(find_unfinished(app.clone()));
                }
                while running.try_join_next().is_some() {}
                continue;
            }
            job = receiver.recv() => job,
        };
        let Some(job) = job else { break };
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot,
        };
        let (app, client) = (app.clone(), client.clone());
        running.spawn(async move {
            let _slot = slot;
            fetch(&app, &client, &job).await;
            app.fetches.held().remove(&job.name());
        });
    }
    running.shutdown().await;
}

fn client() -> Result<Client, reqwest::Error> {
    let same_host = redirect::Policy::custom(|attempt| {
        let (Some(first), next) = (attempt.previous().first(), attempt.url()) else { return attempt.stop() };
        let same = first.host_str() == next.host_str()
            && (first.scheme() == next.scheme() && first.port_or_known_default() == next.port_or_known_default()
                || (first.scheme(), next.scheme()) == ("http", "https")
                    && first.port().is_none()
                    && next.port().is_none());
        if same && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
    });
    Client::builder()
        .redirect(same_host)
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE)
        .user_agent(concat!("oubliette/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Queues the fetches an earlier run did not finish, of every tenant.
async fn find_unfinished(app: App) {
    let tenants = match app.vault.tenants().await {
        Ok(tenants) => tenants,
        Err(error) => return tracing::warn!(%error, "unfinished fetches could not be looked for"),
    };
    for (tenant, _) in tenants {
        let actor = worker(&Actor { tenant, credential: Uuid::nil(), scopes: Default::default() });
        let now = app.vault.now();
        let mut query = ListQuery { from: now - LOOK_BACK, to: now, after: None, limit: 1_000 };
        loop {
            let waiting = |interaction: &oubliette_core::service::Interaction, _: &[_]| {
                matches!(interaction.state, State::AwaitingDownload | State::Downloading)
            };
            let page = match app.vault.list(&actor, &query, &waiting).await {
                Ok((page, _)) => page,
                Err(error) => break tracing::warn!(%error, "unfinished fetches could not be looked for"),
            };
            page.items.iter().for_each(|interaction| app.fetches.push(&actor, &interaction.id.to_string()));
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
    }
}

/// Why a fetch did not work.
enum Failure {
    /// It may work another time.
    Passing(String),
    /// It will not work.
    Final(String),
    /// The interaction was erased, or the vault is stopping: nothing is to be said.
    Silent,
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::TooLarge => Self::Final("the recording is larger than this vault allows".to_owned()),
            VaultError::Interrupted => Self::Passing("the download broke off".to_owned()),
            VaultError::Busy | VaultError::Unavailable(_) | VaultError::NotReady | VaultError::Internal(_) => {
                Self::Passing("the recording could not be stored".to_owned())
            }
            VaultError::NotFound
            | VaultError::Gone
            | VaultError::Denied(_)
            | VaultError::Conflict(_)
            | VaultError::Invalid(_)
            | VaultError::Range { .. }
            | VaultError::StillDue
            | VaultError::Attached
            | VaultError::Uncertified
            | VaultError::NoReceipt => Self::Silent,
        }
    }
}

async fn fetch(app: &App, client: &Client, job: &Job) {
    let mut pauses = PAUSES.iter();
    let failure = loop {
        match (tokio::time::timeout(WHOLE, attempt(app, client, job)).await, pauses.next()) {
            (Ok(Ok(())) | Ok(Err(Failure::Silent)), _) => return,
            (Ok(Err(Failure::Final(text))) | Ok(Err(Failure::Passing(text))), None) => break text,
            (Ok(Err(Failure::Final(text))), Some(_)) => break text,
            (Ok(Err(Failure::Passing(_))), Some(pause)) => tokio::time::sleep(*pause).await,
            (Err(_), _) => break "the download took too long".to_owned(),
        }
    };
    let note = |meta: &mut InteractionMeta| {
        meta.error = Some(failure.clone());
        meta.fetch_from = meta.fetch_from.as_deref().map(without_credentials);
    };
    match app.vault.amend(&job.actor, &job.id, Some(State::DownloadFailed), &note).await {
        Ok(_) | Err(VaultError::Gone | VaultError::NotFound) => {}
        Err(error) => tracing::warn!(%error, "a failed fetch could not be noted"),
    }
}

async fn attempt(app: &App, client: &Client, job: &Job) -> Result<(), Failure> {
    let vault = &app.vault;
    let interaction = vault.interaction(&job.actor, &job.id).await?;
    if !matches!(interaction.state, State::AwaitingDownload | State::Downloading) {
        return Err(Failure::Silent);
    }
    let address = interaction.meta.fetch_from.as_deref().unwrap_or_default();
    let url = allowed(address, &app.settings.download_hosts).map_err(|text| Failure::Final(text.to_owned()))?;
    let file_name = url.path_segments().and_then(|mut parts| parts.next_back()).and_then(last_component);
    vault.amend(&job.actor, &job.id, Some(State::Downloading), &|_| ()).await?;

    let response = client.get(url).send().await;
    let response = response.map_err(|_| Failure::Passing("the download source could not be reached".to_owned()))?;
    let status = response.status();
    if status.as_u16() != 200 {
        let text = format!("the download source answered with status {}", status.as_u16());
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        return Err(if passing { Failure::Passing(text) } else { Failure::Final(text) });
    }
    let length = header(&response, CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| length > vault.settings().max_content_bytes) {
        return Err(VaultError::TooLarge.into());
    }
    let mut content = NewContent::fixed(ContentKind::CallRecording, "");
    content.media_type = media_type_of(header(&response, CONTENT_TYPE), file_name.as_deref());
    content.file_name = file_name;
    content.length_hint = length;
    // The error of the client names the address; the vault only needs to know that it broke off.
    let body: BodyStream = Box::pin(response.bytes_stream().map_err(|_| std::io::Error::other("broken off")));
    vault.put_content(&job.actor, &job.id, content, body).await?;

    let direct = vault.settings().ingest == IngestMode::Direct;
    let now = vault.now();
    let state = if direct { State::Processed } else { State::Pending };
    vault.amend(&job.actor, &job.id, Some(state), &|meta| finished(meta, now, direct)).await?;
    Ok(())
}

fn finished(meta: &mut InteractionMeta, now: Timestamp, processed: bool) {
    meta.times.downloaded_at = Some(now);
    if processed {
        meta.times.processed_at = Some(now);
    }
    meta.error = None;
    meta.fetch_from = meta.fetch_from.as_deref().map(without_credentials);
}

fn header(response: &Response, name: http::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// The address if it may be fetched from. A configured host without a port means the scheme's own port.
fn allowed(address: &str, hosts: &[String]) -> Result<Url, &'static str> {
    let url = Url::parse(address).map_err(|_| "the download address is not valid")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("downloads by this protocol are not supported");
    }
    let host = url.host_str().unwrap_or_default();
    let permits = |entry: &String| match url.port() {
        None => entry.eq_ignore_ascii_case(host) || entry.eq_ignore_ascii_case(&with_port(host, &url)),
        Some(_) => entry.eq_ignore_ascii_case(&with_port(host, &url)),
    };
    if hosts.iter().any(permits) { Ok(url) } else { Err("downloads from this host are not allowed") }
}

fn with_port(host: &str, url: &Url) -> String {
    format!("{host}:{}", url.port_or_known_default().unwrap_or_default())
}

/// The address without user name and password, for showing and for keeping once it was used.
pub fn without_credentials(address: &str) -> String {
    match Url::parse(address) {
        Ok(mut url) if !url.cannot_be_a_base() => {
            // These two fail only for addresses that cannot hold credentials.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_hosts_and_http_are_fetched_from() {
        let hosts = ["files.example".to_owned(), "Local.example:8443".to_owned(), "[::1]:80".to_owned()];
        for good in [
            "https://files.example/a.wav",
            "http://FILES.example:80/a.wav",
            "https://user:word@files.example/a.wav",
            "https://local.example:8443/",
            "http://[::1]/x",
        ] {
            assert!(allowed(good, &hosts).is_ok(), "{good}");
        }
        for bad in [
            "https://files.example:444/a.wav",
            "https://files.example.evil/a.wav",
            "https://files.example@evil.example/a.wav",
            "https://local.example/",
            "sftp://user:word@files.example/~/a/;type=d",
            "file:///etc/passwd",
            "not an address",
        ] {
            let text = allowed(bad, &hosts).err().unwrap_or_else(|| panic!("{bad} was allowed"));
            assert!(!text.contains("word") && !text.contains("example"), "{text}");
        }
    }

    #[test]
    fn credentials_are_cut_out_of_an_address() {
        assert_eq!(without_credentials("sftp://u:p@h:22/~/path/;type=d"), "sftp://h:22/~/path/;type=d");
        assert_eq!(without_credentials("https://u@h/a?b=c"), "https://h/a?b=c");
        assert_eq!(without_credentials("https://h/a.wav"), "https://h/a.wav");
        assert_eq!(without_credentials("mailto:ann@example"), "");
        assert_eq!(without_credentials("u:p@h/x"), "");
    }
}
