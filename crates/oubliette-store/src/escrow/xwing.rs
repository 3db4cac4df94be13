//! X-Wing: X25519 and ML-KEM-768 as one key encapsulation, as draft-connolly-cfrg-xwing-kem describes it. Whoever breaks one
//! of the two has nothing. Every primitive is AWS-LC's.

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::digest::{Context, SHA3_256};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use aws_lc_rs::rand::SystemRandom;
use zeroize::Zeroizing;

use super::sys::{self, ENCAPSULATION_KEY};

/// Length of a secret key: the seed of both halves.
pub const SEED: usize = 32;
/// Length of a public key.
pub const PUBLIC: usize = ENCAPSULATION_KEY + 32;
/// Length of an encapsulated secret.
pub const CIPHERTEXT: usize = ML_KEM_CIPHERTEXT + 32;
/// Length of a shared secret.
pub const SHARED: usize = 32;

const ML_KEM_CIPHERTEXT: usize = 1088;
/// The draft's label.
const LABEL: &[u8; 6] = br"\.//^\";

/// A shared secret: used once, as a key.
pub type Shared = Zeroizing<[u8; SHARED]>;

/// The public key of a secret one.
pub fn public(seed: &[u8; SEED]) -> Result<[u8; PUBLIC], Unspecified> {
    let pair = Pair::expand(seed)?;
    let mut public = [0; PUBLIC];
    public[..ENCAPSULATION_KEY].copy_from_slice(&pair.encapsulation);
    public[ENCAPSULATION_KEY..].copy_from_slice(&pair.x_public);
    Ok(public)
}

/// Draws a secret for the holder of `public`: what to send, and the secret.
pub fn encapsulate(public: &[u8; PUBLIC]) -> Result<([u8; CIPHERTEXT], Shared), Unspecified> {
    let (m_public, x_public) = public.split_at(ENCAPSULATION_KEY);
    let m_key = EncapsulationKey::new(&ML_KEM_768, m_public)?;
    let (m_text, m_shared) = m_key.encapsulate()?;
    let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let mut ciphertext = [0; CIPHERTEXT];
    ciphertext[..ML_KEM_CIPHERTEXT].copy_from_slice(m_text.as_ref());
    ciphertext[ML_KEM_CIPHERTEXT..].copy_from_slice(ephemeral.compute_public_key()?.as_ref());
    let theirs = UnparsedPublicKey::new(&X25519, x_public);
    let x_text = &ciphertext[ML_KEM_CIPHERTEXT..];
    let shared = agreement::agree_ephemeral(ephemeral, theirs, Unspecified, |x_shared| {
        Ok(combine(m_shared.as_ref(), x_shared, x_text, x_public))
    })?;
    Ok((ciphertext, shared))
}

/// The secret that was encapsulated. One that was made for another key, or changed on the way, gives another secret and no
/// error: what it opens has to say so.
pub fn decapsulate(seed: &[u8; SEED], ciphertext: &[u8; CIPHERTEXT]) -> Result<Shared, Unspecified> {
    let pair = Pair::expand(seed)?;
    let (m_text, x_text) = ciphertext.split_at(ML_KEM_CIPHERTEXT);
    let m_key = DecapsulationKey::new(&ML_KEM_768, &pair.decapsulation)?;
    let m_shared = m_key.decapsulate(Ciphertext::from(m_text))?;
    let theirs = UnparsedPublicKey::new(&X25519, x_text);
    agreement::agree(&pair.x_secret, theirs, Unspecified, |x_shared| {
        Ok(combine(m_shared.as_ref(), x_shared, x_text, &pair.x_public))
    })
}

fn combine(m_shared: &[u8], x_shared: &[u8], x_text: &[u8], x_public: &[u8]) -> Shared {
    let mut context = Context::new(&SHA3_256);
    for part in [m_shared, x_shared, x_text, x_public, LABEL] {
        context.update(part);
    }
    let mut shared = Zeroizing::new([0; SHARED]);
    shared.copy_from_slice(context.finish().as_ref());
    shared
}

struct Pair {
    decapsulation: Zeroizing<Vec<u8>>,
    encapsulation: Vec<u8>,
    x_secret: PrivateKey,
    x_public: [u8; 32],
}

impl Pair {
    fn expand(seed: &[u8; SEED]) -> Result<Self, Unspecified> {
        let expanded = sys::shake256::<96>(seed).ok_or(Unspecified)?;
        let mut m_seed = Zeroizing::new([0; 64]);
        m_seed.copy_from_slice(&expanded[..64]);
        let pair = sys::ml_kem_768(&m_seed).ok_or(Unspecified)?;
        let x_secret = PrivateKey::from_private_key(&X25519, &expanded[64..])?;
        let mut x_public = [0; 32];
        x_public.copy_from_slice(x_secret.compute_public_key()?.as_ref());
        Ok(Self { decapsulation: pair.decapsulation, encapsulation: pair.encapsulation, x_secret, x_public })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        seed: String,
        pk: String,
        ct: String,
        ss: String,
    }

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// The vectors of the draft's appendix, as far as they do not need chosen random numbers.
    #[test]
    fn keys_and_secrets_are_those_of_the_draft() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../testdata/xwing.json")).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let seed = bytes(&vector.seed);
            assert_eq!(public(&seed).unwrap(), bytes(&vector.pk));
            assert_eq!(*decapsulate(&seed, &bytes(&vector.ct)).unwrap(), bytes(&vector.ss));
        }
    }

    #[test]
    fn both_sides_have_the_same_secret_and_nobody_else() {
        let (seed, other) = ([7; SEED], [8; SEED]);
        let (ciphertext, shared) = encapsulate(&public(&seed).unwrap()).unwrap();
        assert_eq!(*decapsulate(&seed, &ciphertext).unwrap(), *shared);
        assert_ne!(*decapsulate(&other, &ciphertext).unwrap(), *shared);
        for at in [0, ML_KEM_CIPHERTEXT - 1, ML_KEM_CIPHERTEXT, CIPHERTEXT - 2] {
            let mut changed = ciphertext;
            changed[at] ^= 1;
            assert_ne!(*decapsulate(&seed, &changed).unwrap(), *shared, "byte {at}");
        }
    }
}
