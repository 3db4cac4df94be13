//! What X-Wing needs of AWS-LC and aws-lc-rs has no safe call for: SHAKE256, and an ML-KEM key pair from its seed.

use std::ptr;

use aws_lc_sys as lc;
use zeroize::Zeroizing;

/// Length of an encoded ML-KEM-768 decapsulation key.
const DECAPSULATION_KEY: usize = 2400;
/// Length of an encoded ML-KEM-768 encapsulation key.
pub(super) const ENCAPSULATION_KEY: usize = 1184;

/// A key pair of ML-KEM-768, both halves in the encoding of FIPS 203.
pub(super) struct MlKemPair {
    pub(super) decapsulation: Zeroizing<Vec<u8>>,
    pub(super) encapsulation: Vec<u8>,
}

/// The first `N` bytes of SHAKE256. `None` only when the library fails.
#[expect(unsafe_code, reason = "aws-lc-rs has no SHAKE256")]
pub(super) fn shake256<const N: usize>(input: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    let mut out = Zeroizing::new([0; N]);
    // SAFETY: the context is made here, checked, and freed once on every way out; `input` and `out` are live and as long as
    // said; the digest is a static of the library.
    unsafe {
        let context = lc::EVP_MD_CTX_new();
        if context.is_null() {
            return None;
        }
        let done = lc::EVP_DigestInit_ex(context, lc::EVP_shake256(), ptr::null_mut()) == 1
            && lc::EVP_DigestUpdate(context, input.as_ptr().cast(), input.len()) == 1
            && lc::EVP_DigestFinalXOF(context, out.as_mut_ptr(), N) == 1;
        lc::EVP_MD_CTX_free(context);
        done.then_some(out)
    }
}

/// What precedes the seed in a private key of ML-KEM-768 (PKCS #8, the choice `seed`).
const PKCS8: [u8; 22] = [
    0x30, 0x54, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, 0x02, 0x04,
    0x42, 0x80, 0x40,
];

/// ML-KEM-768's `KeyGen_internal(d, z)` with `seed` = d ‖ z. `None` only when the library fails.
#[expect(unsafe_code, reason = "aws-lc-rs generates ML-KEM keys but does not make them from a seed")]
pub(super) fn ml_kem_768(seed: &[u8; 64]) -> Option<MlKemPair> {
    let encoded = Zeroizing::new([&PKCS8[..], seed].concat());
    let mut decapsulation = Zeroizing::new(vec![0; DECAPSULATION_KEY]);
    let mut encapsulation = vec![0; ENCAPSULATION_KEY];
    let (mut secret_len, mut public_len) = (decapsulation.len(), encapsulation.len());
    // SAFETY: the key is made here, checked, and freed once on every way out; all buffers are live and as long as said, and
    // the library refuses lengths that are too short for it.
    unsafe {
        let mut input = lc::CBS { data: ptr::null(), len: 0 };
        lc::CBS_init(&raw mut input, encoded.as_ptr(), encoded.len());
        let key = lc::EVP_parse_private_key(&raw mut input);
        if key.is_null() {
            return None;
        }
        let done = lc::EVP_PKEY_get_raw_private_key(key, decapsulation.as_mut_ptr(), &raw mut secret_len) == 1
            && lc::EVP_PKEY_get_raw_public_key(key, encapsulation.as_mut_ptr(), &raw mut public_len) == 1;
        lc::EVP_PKEY_free(key);
        let whole = secret_len == DECAPSULATION_KEY && public_len == ENCAPSULATION_KEY;
        (done && whole).then_some(MlKemPair { decapsulation, encapsulation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shake256_is_the_one_of_fips_202() {
        // The first bytes of SHAKE256 of nothing, from the standard's examples.
        assert_eq!(hex::encode(*shake256::<16>(b"").unwrap()), "46b9dd2b0ba88d13233b3feb743eeb24");
    }
}
