//! Secrets of the vault that live in the key state's root page and nowhere else: id secrets of the tenants and the key that
//! authenticates access tokens and cursors.

use std::collections::BTreeMap;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::model::TenantId;

const VERSION: u8 = 1;

/// The secrets did not parse, or no randomness could be had.
#[derive(Clone, Copy, Debug, Error)]
#[error("the vault's secrets cannot be used")]
pub struct SecretsError;

/// The vault's secrets. No `Debug`.
#[derive(Clone)]
pub struct Secrets {
    master: Zeroizing<[u8; 32]>,
    tenants: BTreeMap<TenantId, Zeroizing<[u8; 32]>>,
}

impl Secrets {
    /// Fresh secrets without tenants.
    pub fn draw() -> Result<Self, SecretsError> {
        Ok(Self { master: draw()?, tenants: BTreeMap::new() })
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

    /// Version (1) ‖ master (32) ‖ count (u32) ‖ count × (tenant u32 ‖ secret 32).
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(37 + self.tenants.len() * 36));
        out.push(VERSION);
        out.extend_from_slice(&*self.master);
        out.extend_from_slice(&(self.tenants.len() as u32).to_be_bytes());
        for (tenant, secret) in &self.tenants {
            out.extend_from_slice(&tenant.0.to_be_bytes());
            out.extend_from_slice(&**secret);
        }
        out
    }

    /// Reads what [`Secrets::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, SecretsError> {
        let (version, rest) = bytes.split_first().ok_or(SecretsError)?;
        let (master, rest) = rest.split_first_chunk::<32>().ok_or(SecretsError)?;
        let (count, mut rest) = rest.split_first_chunk::<4>().ok_or(SecretsError)?;
        if *version != VERSION {
            return Err(SecretsError);
        }
        let mut tenants = BTreeMap::new();
        for _ in 0..u32::from_be_bytes(*count) {
            let (tenant, after) = rest.split_first_chunk::<4>().ok_or(SecretsError)?;
            let (secret, after) = after.split_first_chunk::<32>().ok_or(SecretsError)?;
            tenants.insert(TenantId(u32::from_be_bytes(*tenant)), Zeroizing::new(*secret));
            rest = after;
        }
        if !rest.is_empty() {
            return Err(SecretsError);
        }
        Ok(Self { master: Zeroizing::new(*master), tenants })
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

    #[test]
    fn secrets_survive_their_encoding_and_refuse_any_other_length() {
        let mut secrets = Secrets::draw().unwrap();
        assert_eq!(secrets.add_tenant().unwrap(), TenantId(1));
        assert_eq!(secrets.add_tenant().unwrap(), TenantId(2));
        let bytes = secrets.encode();
        let again = Secrets::decode(&bytes).unwrap();
        assert_eq!(&*again.encode(), &*bytes);
        assert!(again.key("a").unwrap() == secrets.key("a").unwrap());
        assert!(again.key("a").unwrap() != again.key("b").unwrap());
        for length in 0..bytes.len() {
            assert!(Secrets::decode(&bytes[..length]).is_err());
        }
    }
}
