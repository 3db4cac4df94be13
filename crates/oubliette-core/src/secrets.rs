//! Secrets of the vault that live in the key state's root page and nowhere else: id secrets of the tenants, the key that
//! authenticates access tokens and cursors, and the keys that sign the log. Beside them what no older copy of the database
//! may take back: which credentials were revoked.
//!
//! ```text
//! version 1    01 | master 32 | count u32 | count x (tenant u32 | secret 32)
//! version 2    02 | as version 1
//!              | count u32 | count x (state u8 | since u64 | public key 32 | seed 32 | origin length u8 | origin)
//!              | count u32 | count x credential 16
//! ```
//! Numbers are big-endian. States of a log's key: 1 announced, 2 in force, 3 retired (its seed is zeros).

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use oubliette_proof::note::{KeyKind, NoteError, SigningKey, VerifierKey};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::model::TenantId;

const VERSION: u8 = 2;
const VERSION_WITHOUT_LOG: u8 = 1;

/// The secrets did not parse, or no randomness could be had.
#[derive(Clone, Copy, Debug, Error)]
#[error("the vault's secrets cannot be used")]
pub struct SecretsError;

/// Whether a key signs the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKeyState {
    /// Drawn, but maybe not in force yet: the entry that says so is looked for from `since` on.
    Announced,
    /// It signs.
    InForce,
    /// Another took its place; its seed is gone.
    Retired,
}

impl LogKeyState {
    const ALL: [(u8, Self); 3] = [(1, Self::Announced), (2, Self::InForce), (3, Self::Retired)];
}

/// A key of the log. No `Debug`.
#[derive(Clone)]
pub struct LogKey {
    origin: String,
    /// Whether it signs.
    pub state: LogKeyState,
    /// The entry from which on it signs: 0 for a log's first key. For an announced one: the first entry that may say so.
    pub since: u64,
    public: [u8; 32],
    seed: Zeroizing<[u8; 32]>,
}

impl LogKey {
    /// A fresh key for a log.
    pub fn draw(origin: &str, state: LogKeyState, since: u64) -> Result<Self, SecretsError> {
        let seed = draw()?;
        let key = SigningKey::from_seed(origin, KeyKind::Note, seed.clone()).map_err(|_| SecretsError)?;
        Ok(Self { origin: origin.to_owned(), state, since, public: *key.verifier().public(), seed })
    }

    /// The log that it signs, and the key's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its public half.
    pub fn verifier(&self) -> Result<VerifierKey, NoteError> {
        VerifierKey::new(&self.origin, KeyKind::Note, self.public)
    }

    /// The key itself; `None` when it is retired.
    pub fn signing(&self) -> Result<Option<SigningKey>, NoteError> {
        match self.state {
            LogKeyState::Retired => Ok(None),
            _ => SigningKey::from_seed(&self.origin, KeyKind::Note, self.seed.clone()).map(Some),
        }
    }

    /// Forgets the seed: it never signs again.
    pub fn retire(&mut self) {
        self.state = LogKeyState::Retired;
        self.seed = Zeroizing::new([0; 32]);
    }
}

/// The vault's secrets. No `Debug`.
#[derive(Clone)]
pub struct Secrets {
    master: Zeroizing<[u8; 32]>,
    tenants: BTreeMap<TenantId, Zeroizing<[u8; 32]>>,
    log: Vec<LogKey>,
    revoked: BTreeSet<Uuid>,
}

impl Secrets {
    /// Fresh secrets without tenants and log.
    pub fn draw() -> Result<Self, SecretsError> {
        Ok(Self { master: draw()?, tenants: BTreeMap::new(), log: Vec::new(), revoked: BTreeSet::new() })
    }

    /// Adds the next tenant.
    pub fn add_tenant(&mut self) -> Result<TenantId, SecretsError> {
        let next = TenantId(self.tenants.keys().next_back().map_or(1, |last| last.0 + 1));
        self.tenants.insert(next, draw()?);
        Ok(next)
    }

    /// All tenants with their id secrets.
    pub fn tenants(&self) -> impl Iterator<Item = (TenantId, &[u8; 32])> {
        self.tenants.iter().map(|(tenant, secret)| (*tenant, &**secret))
    }

    /// All keys of the log, and of those before it, oldest first.
    pub fn log_keys(&self) -> &[LogKey] {
        &self.log
    }

    /// As [`Secrets::log_keys`], to be changed. Nothing counts before the secrets are sealed.
    pub fn log_keys_mut(&mut self) -> &mut Vec<LogKey> {
        &mut self.log
    }

    /// Credentials that were revoked. A copy of the database from before does not know.
    pub fn revoked(&self) -> &BTreeSet<Uuid> {
        &self.revoked
    }

    /// Notes that a credential was revoked; `false` when that is known.
    pub fn revoke(&mut self, credential: Uuid) -> bool {
        self.revoked.insert(credential)
    }

    /// A key for one purpose, derived from the master secret.
    pub fn key(&self, purpose: &'static str) -> Result<Zeroizing<[u8; 32]>, SecretsError> {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                32
            }
        }
        let mut key = Zeroizing::new([0; 32]);
        Salt::new(HKDF_SHA256, b"oubliette/secrets/1")
            .extract(&*self.master)
            .expand(&[purpose.as_bytes()], Length)
            .and_then(|okm| okm.fill(&mut *key))
            .map_err(|_| SecretsError)?;
        Ok(key)
    }

    /// The bytes to seal, in the newest version.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for everything, so that nothing is left behind by growing.
        let room = 64 + self.tenants.len() * 36 + self.log.len() * 330 + self.revoked.len() * 16;
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        out.push(VERSION);
        out.extend_from_slice(&*self.master);
        out.extend_from_slice(&(self.tenants.len() as u32).to_be_bytes());
        for (tenant, secret) in &self.tenants {
            out.extend_from_slice(&tenant.0.to_be_bytes());
            out.extend_from_slice(&**secret);
        }
        out.extend_from_slice(&(self.log.len() as u32).to_be_bytes());
        for key in &self.log {
            let state = LogKeyState::ALL.iter().find(|(_, state)| *state == key.state).map_or(0, |(byte, _)| *byte);
            out.push(state);
            out.extend_from_slice(&key.since.to_be_bytes());
            out.extend_from_slice(&key.public);
            out.extend_from_slice(&*key.seed);
            // A key's name has at most 255 bytes.
            out.push(key.origin.len() as u8);
            out.extend_from_slice(key.origin.as_bytes());
        }
        out.extend_from_slice(&(self.revoked.len() as u32).to_be_bytes());
        self.revoked.iter().for_each(|credential| out.extend_from_slice(credential.as_bytes()));
        out
    }

    /// Reads what [`Secrets::encode`] wrote, now or in version 1.
    pub fn decode(bytes: &[u8]) -> Result<Self, SecretsError> {
        let mut from = Take(bytes);
        let [version] = from.array()?;
        let mut secrets = Self {
            master: Zeroizing::new(from.array()?),
            tenants: BTreeMap::new(),
            log: Vec::new(),
            revoked: BTreeSet::new(),
        };
        for _ in 0..from.count()? {
            let tenant = TenantId(u32::from_be_bytes(from.array()?));
            secrets.tenants.insert(tenant, Zeroizing::new(from.array()?));
        }
        match version {
            VERSION_WITHOUT_LOG => {}
            VERSION => {
                for _ in 0..from.count()? {
                    secrets.log.push(from.log_key()?);
                }
                for _ in 0..from.count()? {
                    secrets.revoked.insert(Uuid::from_bytes(from.array()?));
                }
            }
            _ => return Err(SecretsError),
        }
        if from.0.is_empty() { Ok(secrets) } else { Err(SecretsError) }
    }
}

/// What is left to read.
struct Take<'a>(&'a [u8]);

impl Take<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SecretsError> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(SecretsError)?;
        self.0 = rest;
        Ok(*array)
    }

    fn count(&mut self) -> Result<u32, SecretsError> {
        self.array().map(u32::from_be_bytes)
    }

    fn log_key(&mut self) -> Result<LogKey, SecretsError> {
        let [state] = self.array()?;
        let state = LogKeyState::ALL.iter().find(|(byte, _)| *byte == state).ok_or(SecretsError)?.1;
        let (since, public, seed) = (u64::from_be_bytes(self.array()?), self.array()?, Zeroizing::new(self.array()?));
        let [length] = self.array()?;
        let (origin, rest) = self.0.split_at_checked(usize::from(length)).ok_or(SecretsError)?;
        self.0 = rest;
        let origin = str::from_utf8(origin).map_err(|_| SecretsError)?.to_owned();
        Ok(LogKey { origin, state, since, public, seed })
    }
}

fn draw() -> Result<Zeroizing<[u8; 32]>, SecretsError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).map_err(|_| SecretsError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Secrets {
        let mut secrets = Secrets::draw().unwrap();
        assert_eq!(secrets.add_tenant().unwrap(), TenantId(1));
        assert_eq!(secrets.add_tenant().unwrap(), TenantId(2));
        secrets.log_keys_mut().push(LogKey::draw("vault.example/log", LogKeyState::InForce, 0).unwrap());
        secrets.log_keys_mut().push(LogKey::draw("vault.example/log", LogKeyState::Announced, 9).unwrap());
        assert!(secrets.revoke(Uuid::from_u128(7)) && !secrets.revoke(Uuid::from_u128(7)));
        secrets
    }

    #[test]
    fn secrets_survive_their_encoding_and_refuse_any_other_length() {
        let secrets = filled();
        let bytes = secrets.encode();
        let again = Secrets::decode(&bytes).unwrap();
        assert_eq!(&*again.encode(), &*bytes);
        assert!(again.key("a").unwrap() == secrets.key("a").unwrap());
        assert!(again.key("a").unwrap() != again.key("b").unwrap());
        assert_eq!(again.revoked(), secrets.revoked());
        assert_eq!(again.log_keys()[1].since, 9);
        for length in 0..bytes.len() {
            assert!(Secrets::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn secrets_without_a_log_are_still_read() {
        let bytes: Vec<u8> = [vec![1], vec![7; 32], vec![0, 0, 0, 1, 0, 0, 0, 3], vec![9; 32]].concat();
        let secrets = Secrets::decode(&bytes).unwrap();
        let tenants: Vec<_> = secrets.tenants().map(|(tenant, secret)| (tenant, *secret)).collect();
        assert_eq!(tenants, [(TenantId(3), [9; 32])]);
        assert!(secrets.log_keys().is_empty() && secrets.revoked().is_empty());
        let newer = secrets.encode();
        assert_eq!(newer[0], 2);
        assert_eq!(newer[1..73], bytes[1..]);
        assert!(Secrets::decode(&[&bytes[..], &[0; 8]].concat()).is_err(), "version 1 ends there");
    }

    #[test]
    fn a_retired_key_is_known_and_signs_nothing() {
        let mut key = LogKey::draw("vault.example/log", LogKeyState::InForce, 0).unwrap();
        let verifier = key.verifier().unwrap();
        assert_eq!(*key.signing().unwrap().unwrap().verifier(), verifier);
        key.retire();
        assert!(key.signing().unwrap().is_none() && *key.seed == [0; 32]);
        assert_eq!(key.verifier().unwrap(), verifier);
    }
}
