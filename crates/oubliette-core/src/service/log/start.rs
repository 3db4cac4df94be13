//! Which log is the vault's, whether it is the one that was pinned, and how a log begins.
//!
//! The order in which a log begins after a loss, each step durable before the next: its key is announced in the vault's
//! secrets; its first entry is appended; the key is in force, and the same seal pins the new head. A crash in between is
//! finished by the next start. A change of the key goes the same way.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use keyforest::Probe;
use keyforest::media::Medium;
use oubliette_proof::entry::{Body, Entry, KeyRotation, LogClosed, LogOpened, Token};
use oubliette_proof::note::{SigningKey, VerifierKey};
use oubliette_proof::tree::{TreeHead, empty_root};
use oubliette_proof::{Hash, Seconds};
use tokio::sync::watch;

use super::files::{Files, Writer};
use super::kept::Kept;
use super::load::load;
use super::signer::Signer;
use super::{Ground, LogError, Looked, TransparencyLog};
use crate::ports::Clock;
use crate::secrets::{LogKey, LogKeyState, Secrets};
use crate::service::recovery::Mismatch;
use crate::service::sealer::Sealer;
use crate::service::shared::Shared;
use crate::service::vault::Inner;
use crate::service::{Vault, VaultError};

/// The first entry of a log is durable.
pub(super) const OPENED: &str = "log.opened";
/// A key is announced and not in force.
pub(super) const ANNOUNCED: &str = "log.key.announced";

/// How a vault's log is opened.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// Its origin; by default `oubliette/` and the vault's instance id.
    pub origin: Option<String>,
    /// Begin another log in place of the one there was, for this reason: an operator's explicit act after a loss.
    pub reopen: Option<Token>,
    /// Keys of the witnesses that are asked to sign its checkpoints.
    pub witnesses: Vec<VerifierKey>,
}

/// What a vault's log begins with.
pub(in crate::service) struct Beginning<'a> {
    pub shared: &'a Arc<Shared>,
    pub sealer: &'a Sealer,
    pub medium: Arc<dyn Medium>,
    pub settings: LogSettings,
    pub announced: Announced,
    /// What there is of it.
    pub looked: Looked,
}

/// What to do about a change of the key that was announced and cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Announced {
    /// Bring it to its end.
    Finish,
    /// Leave it: nothing is appended while the vault stands on an older copy of its database.
    Leave,
}

/// What a seal pins of a log with this head.
pub(super) fn pin_of(head: &TreeHead) -> [u8; 32] {
    let mut pin = [0; 32];
    pin[..8].copy_from_slice(&head.size.to_be_bytes());
    pin[8..].copy_from_slice(&head.root.0[..24]);
    pin
}

/// Nothing was pinned: no seal has been made since there is a log.
const UNPINNED: [u8; 32] = [0; 32];

fn pinned_size(pin: &[u8; 32]) -> u64 {
    pin[..8].iter().fold(0, |size, byte| (size << 8) | u64::from(*byte))
}

/// What is known of a log whose entries are lost: the pinned size, and of its root the 24 bytes that were pinned.
fn pinned_head(pin: &[u8; 32]) -> TreeHead {
    if *pin == UNPINNED {
        return TreeHead { size: 0, root: empty_root() };
    }
    let mut root = [0; 32];
    root[..24].copy_from_slice(&pin[8..]);
    TreeHead { size: pinned_size(pin), root: Hash(root) }
}

/// Opens the vault's log, or begins one. Checks everything before anything is written; gives the secrets as they are now.
pub(in crate::service) async fn start(
    beginning: Beginning<'_>,
    mut secrets: Secrets,
) -> Result<(Arc<TransparencyLog>, Secrets), VaultError> {
    let Beginning { shared, sealer, medium, settings, announced, looked } = beginning;
    let pin = shared.forest.pins().log_head;
    let ground = Ground { medium, probe: Arc::clone(&shared.probe), poisoned: shared.poisoned.clone() };
    let keys = secrets.log_keys_mut();
    let mut unsealed = keys.is_empty();
    if keys.is_empty() {
        if pin != UNPINNED {
            return Err(VaultError::internal(Mismatch::LogWithoutKey));
        }
        let origin = settings.origin.clone().unwrap_or_else(|| default_origin(&shared.instance()));
        keys.push(draw(&origin, LogKeyState::InForce, 0)?);
    }
    let found = looked.0;
    let reopens = settings.reopen.is_some() && !begins(keys);
    if reopens && announced == Announced::Leave {
        // The old log would end although nothing is committed.
        return Err(VaultError::Attached);
    }
    if let (Some(wanted), false) = (&settings.origin, settings.reopen.is_some() || begins(keys)) {
        let origin = newest(keys)?.origin().to_owned();
        let empty = found.as_ref().is_ok_and(|found| found.kept.head().size == 0);
        if *wanted != origin && empty && pin == UNPINNED && keys.len() == 1 {
            // Nothing was ever said under the other name.
            *keys = vec![draw(wanted, LogKeyState::InForce, 0)?];
            unsealed = true;
        } else if *wanted != origin {
            return Err(VaultError::internal(Mismatch::LogOrigin { found: origin, configured: wanted.clone() }));
        }
    }
    let found = if reopens {
        let origin = next_origin(keys, settings.origin.as_deref())?;
        // One that is whole ends in good order.
        if let Some(whole) = found.ok().filter(|found| found.agrees.is_ok() && found.kept.head().size > 0) {
            close(&ground, keys, whole, &origin, reason(&settings)?, &*shared.clock).await?;
        }
        keys.push(draw(&origin, LogKeyState::Announced, 0)?);
        unsealed = true;
        look(&ground, ordinal(keys), UNPINNED).await?
    } else {
        let found = found?;
        found.agrees.clone().map_err(VaultError::internal)?;
        found
    };
    if unsealed {
        // A key signs nothing before it is durable.
        sealer.attach(secrets.encode()).await?;
        shared.probe.reached(ANNOUNCED);
    }
    let keys = secrets.log_keys_mut();
    let fresh = found.kept.head().size == 0;
    let first = if fresh { Some(opening(&settings, &ground, keys, pin).await?) } else { None };
    let log = Arc::new(make(ground, keys, found, settings.witnesses)?);
    if let Some(opened) = first {
        let entry = Entry { time: seconds(&*shared.clock)?, body: Body::LogOpened(opened) };
        append(&log, entry).await?;
        shared.probe.reached(OPENED);
    }
    recognise(&log, keys, announced).await?;
    shared.set_log(Arc::clone(&log));
    let changed = if begins(keys) {
        if let Some(key) = keys.last_mut() {
            key.state = LogKeyState::InForce;
        }
        true
    } else {
        announced == Announced::Finish && finish_rotation(&log, keys, &*shared.clock).await?
    };
    if changed {
        sealer.attach(secrets.encode()).await?;
    }
    Ok((log, secrets))
}

fn draw(origin: &str, state: LogKeyState, since: u64) -> Result<LogKey, VaultError> {
    LogKey::draw(origin, state, since).map_err(VaultError::internal)
}

/// Which of the vault's logs the newest key is of.
fn ordinal(keys: &[LogKey]) -> u32 {
    keys.windows(2).filter(|two| two[0].origin() != two[1].origin()).count() as u32
}

/// Whether the newest key is the first of a log that is not known to have begun.
fn begins(keys: &[LogKey]) -> bool {
    match keys {
        [.., before, key] => key.state == LogKeyState::Announced && before.origin() != key.origin(),
        _ => false,
    }
}

fn newest(keys: &[LogKey]) -> Result<&LogKey, VaultError> {
    keys.last().ok_or(VaultError::Internal(None))
}

/// The origin that a vault's log has unless the configuration names another.
pub(in crate::service) fn default_origin(instance: &uuid::Uuid) -> String {
    format!("oubliette/{instance}")
}

/// A name that none of the logs had.
fn next_origin(keys: &[LogKey], wanted: Option<&str>) -> Result<String, VaultError> {
    let taken = |origin: &str| keys.iter().any(|key| key.origin() == origin);
    if let Some(wanted) = wanted.filter(|wanted| !taken(wanted)) {
        return Ok(wanted.to_owned());
    }
    let (newest, ordinal) = (newest(keys)?.origin(), ordinal(keys));
    let base = newest.strip_suffix(&format!("/{}", ordinal + 1)).unwrap_or(newest);
    let mut number = ordinal + 2;
    while taken(&format!("{base}/{number}")) {
        number += 1;
    }
    Ok(format!("{base}/{number}"))
}

fn reason(settings: &LogSettings) -> Result<Token, VaultError> {
    let reason = settings.reopen.clone().or_else(|| Token::new("reopened"));
    reason.ok_or(VaultError::Internal(None))
}

/// The first entry of a log that has none.
async fn opening(
    settings: &LogSettings,
    ground: &Ground,
    keys: &[LogKey],
    pin: [u8; 32],
) -> Result<LogOpened, VaultError> {
    let origin = newest(keys)?.origin();
    let opened = if begins(keys) {
        let before = &keys[..keys.len() - 1];
        // If the entries of the log before are there after all, its head is known exactly.
        let old = look(ground, ordinal(before), pin).await.ok();
        let exact = old.filter(|old| old.agrees.is_ok()).map(|old| old.kept.head()).filter(|head| head.size > 0);
        let head = exact.unwrap_or_else(|| pinned_head(&pin));
        LogOpened::new(origin, reason(settings)?, Some((newest(before)?.origin(), head)))
    } else {
        let new = Token::new("new").ok_or(VaultError::Internal(None))?;
        LogOpened::new(origin, new, None)
    };
    opened.ok_or(VaultError::Internal(None))
}

/// What there is of a log.
pub(super) struct Found {
    pub(super) kept: Arc<Kept>,
    next_file: u32,
    unindexed: Vec<u32>,
    /// Whether it continues what was pinned of it.
    pub(super) agrees: Result<(), Mismatch>,
}

/// Looks for the log of the newest of these keys.
pub(super) async fn look_by_keys(
    medium: &Arc<dyn Medium>,
    probe: &Arc<dyn Probe>,
    keys: &[LogKey],
    pin: [u8; 32],
) -> Result<Found, VaultError> {
    // What was pinned is of the log before while another one begins.
    let own_pin = if begins(keys) { UNPINNED } else { pin };
    look_in(Arc::clone(medium), Arc::clone(probe), ordinal(keys), own_pin).await
}

async fn look(ground: &Ground, ordinal: u32, pin: [u8; 32]) -> Result<Found, VaultError> {
    look_in(Arc::clone(&ground.medium), Arc::clone(&ground.probe), ordinal, pin).await
}

async fn look_in(
    medium: Arc<dyn Medium>,
    probe: Arc<dyn Probe>,
    ordinal: u32,
    pin: [u8; 32],
) -> Result<Found, VaultError> {
    blocking(move || {
        let loaded = load(&*medium, ordinal, pinned_size(&pin))?;
        let kept = Kept::new(Files { medium, probe, ordinal }, loaded.places)?;
        let agrees = agrees(&kept, &pin)?;
        Ok(Found { kept: Arc::new(kept), next_file: loaded.next_file, unindexed: loaded.unindexed, agrees })
    })
    .await
}

fn agrees(kept: &Kept, pin: &[u8; 32]) -> Result<Result<(), Mismatch>, LogError> {
    let (found, pinned) = (kept.head().size, pinned_size(pin));
    if *pin == UNPINNED {
        return Ok(Ok(()));
    }
    if found < pinned {
        return Ok(Err(Mismatch::LogShort { found, pinned }));
    }
    let root = kept.root_at(pinned)?;
    let same = pin_of(&TreeHead { size: pinned, root }) == *pin;
    Ok(if same { Ok(()) } else { Err(Mismatch::LogForked { pinned }) })
}

/// The log as it was found, signed by the newest key that is in force.
fn make(
    ground: Ground,
    keys: &[LogKey],
    found: Found,
    witnesses: Vec<VerifierKey>,
) -> Result<TransparencyLog, VaultError> {
    let origin = newest(keys)?.origin();
    let begun = keys.iter().rposition(|key| key.origin() == origin && key.state == LogKeyState::InForce);
    let current = begun.unwrap_or(keys.len() - 1);
    let verifiers: Result<Vec<VerifierKey>, _> = keys[..current].iter().map(LogKey::verifier).collect();
    let verifiers = verifiers.map_err(LogError::Note)?;
    let earlier = keys.iter().rev().find(|key| key.origin() != origin);
    let earlier = earlier.map(LogKey::signing).transpose().map_err(LogError::Note)?.flatten();
    let head = found.kept.head();
    let signer = Signer::new(signing(&keys[current])?, verifiers, earlier, head).map_err(LogError::Note)?;
    for number in &found.unindexed {
        if let Some(segment) = found.kept.segment(*number) {
            found.kept.files.index(*number, &segment)?;
        }
    }
    Ok(TransparencyLog {
        kept: found.kept,
        writing: Mutex::new(Writer::new(found.next_file)),
        signer: Mutex::new(signer),
        sizes: watch::Sender::new(head.size),
        poisoned: ground.poisoned,
        held_off: false.into(),
        earlier: OnceLock::new(),
        witnesses,
    })
}

async fn append(log: &Arc<TransparencyLog>, entry: Entry) -> Result<u64, VaultError> {
    let log = Arc::clone(log);
    blocking(move || log.append(&[entry])).await
}

/// Ends a log in good order, with an entry that names the next.
async fn close(
    ground: &Ground,
    keys: &[LogKey],
    found: Found,
    next: &str,
    reason: Token,
    clock: &dyn Clock,
) -> Result<(), VaultError> {
    let closed = LogClosed::new(reason, Some(next)).ok_or(VaultError::Invalid("not an origin"))?;
    let log = Arc::new(make(ground.clone(), keys, found, Vec::new())?);
    append(&log, Entry { time: seconds(clock)?, body: Body::LogClosed(closed) }).await?;
    Ok(())
}

fn signing(key: &LogKey) -> Result<SigningKey, VaultError> {
    let signing = key.signing().map_err(LogError::Note)?;
    signing.ok_or_else(|| VaultError::internal(Mismatch::LogWithoutKey))
}

/// Checks that the first entry says that this is the log of the newest key, and remembers the log before. While the vault stands
/// on an older copy of its database that entry need not be readable: the log continues the one that was pinned, and another one
/// can begin only once the copy is committed.
async fn recognise(log: &Arc<TransparencyLog>, keys: &[LogKey], announced: Announced) -> Result<(), VaultError> {
    let reading = Arc::clone(log);
    let first = match blocking(move || Ok(reading.entry(0))).await? {
        Err(error) if announced == Announced::Leave => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the first entry of the log cannot be read");
            return Ok(());
        }
        first => first?,
    };
    let opened = match Entry::decode(&first).map(|entry| entry.body) {
        Ok(Body::LogOpened(opened)) if opened.origin() == newest(keys)?.origin() => opened,
        _ => return Err(VaultError::internal(Mismatch::LogOfAnother)),
    };
    if let Some((origin, head)) = opened.earlier() {
        let _ = log.earlier.set((origin.to_owned(), head));
    }
    Ok(())
}

impl TransparencyLog {
    /// Appends the change of the key; the new one signs from there on.
    fn rotate(&self, old: &SigningKey, new: SigningKey, time: Seconds) -> Result<u64, LogError> {
        let rotation = KeyRotation::sign(old, &new)?;
        let entry = Entry { time, body: Body::KeyRotation(rotation) };
        self.append_with(&[entry.encode()], |signer, number| {
            signer.replace(new, number + 1);
            Ok(())
        })
    }

    /// The entry from `since` on that brought a key into force.
    fn rotation_to(&self, key: &VerifierKey, since: u64) -> Result<Option<u64>, LogError> {
        for tile in self.tiles_from(since) {
            let (first, entries) = tile?;
            for (entry, number) in entries.iter().zip(first..) {
                if let Ok(Entry { body: Body::KeyRotation(rotation), .. }) = Entry::decode(entry)
                    && rotation.new == *key.public()
                {
                    return Ok(Some(number));
                }
            }
        }
        Ok(None)
    }
}

/// Brings a change of the key that was announced to its end; whether there was one. The caller seals the secrets then.
async fn finish_rotation(
    log: &Arc<TransparencyLog>,
    keys: &mut [LogKey],
    clock: &dyn Clock,
) -> Result<bool, VaultError> {
    let [.., old, new] = keys else { return Ok(false) };
    if new.state != LogKeyState::Announced || old.origin() != new.origin() {
        return Ok(false);
    }
    let (before, after, since, time) = (signing(old)?, signing(new)?, new.since, seconds(clock)?);
    let log = Arc::clone(log);
    let number = blocking(move || match log.rotation_to(after.verifier(), since)? {
        None => log.rotate(&before, after, time),
        Some(number) => {
            let mut signer = log.signer();
            if signer.key() != *after.verifier() {
                signer.replace(after, number + 1);
                signer.sign(log.head())?;
            }
            Ok(number)
        }
    });
    new.since = number.await?;
    new.state = LogKeyState::InForce;
    old.retire();
    Ok(true)
}

/// Gives the log another key. Both agree to it in an entry, and both sign the tree that ends with it.
pub(in crate::service) async fn rotate(inner: &Inner) -> Result<VerifierKey, VaultError> {
    let _one_at_a_time = inner.tenant_lock.lock().await;
    let log = Arc::clone(&inner.log);
    let mut secrets = inner.secrets.read().unwrap_or_else(PoisonError::into_inner).clone();
    // One that was announced and did not come about is used now.
    if newest(secrets.log_keys())?.state != LogKeyState::Announced {
        let key = LogKey::draw(&log.origin(), LogKeyState::Announced, log.head().size);
        secrets.log_keys_mut().push(key.map_err(VaultError::internal)?);
        inner.sealer.attach(secrets.encode()).await?;
        inner.install_secrets(secrets.clone())?;
        inner.shared.probe.reached(ANNOUNCED);
    }
    finish_rotation(&log, secrets.log_keys_mut(), &*inner.clock).await?;
    inner.sealer.attach(secrets.encode()).await?;
    inner.install_secrets(secrets)?;
    Ok(log.key())
}

impl Vault {
    /// The vault's log.
    pub fn log(&self) -> Arc<TransparencyLog> {
        Arc::clone(&self.inner.log)
    }

    /// Gives the log another key. No actor: used on the machine itself.
    pub async fn rotate_log_key(&self) -> Result<VerifierKey, VaultError> {
        self.inner.changeable()?;
        rotate(&self.inner).await
    }
}

impl From<LogError> for VaultError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Absent => Self::NotFound,
            LogError::NotDone(_) | LogError::Ended(_) => Self::Unavailable(None),
            error => Self::internal(error),
        }
    }
}

fn seconds(clock: &dyn Clock) -> Result<Seconds, VaultError> {
    let seconds = u64::try_from(clock.now().as_second()).ok().and_then(Seconds::new);
    seconds.ok_or(VaultError::Internal(None))
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, VaultError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(VaultError::internal)??)
}
