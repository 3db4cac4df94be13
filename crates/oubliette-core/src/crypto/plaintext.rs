//! A buffer of plain bytes that is wiped when it goes.

use bytes::Bytes;

/// Plain bytes owned by us. Neither `Debug` nor `Clone`; its memory, spare room included, is overwritten with zeros on drop.
#[derive(Default)]
pub struct Plaintext(Vec<u8>);

impl Plaintext {
    /// `length` zeros, to be opened into.
    pub fn zeroed(length: usize) -> Self {
        Self(vec![0; length])
    }

    /// An empty buffer. Never holds more than `capacity` bytes, so it never moves and leaves no copy behind.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Appends bytes. The caller stays within the capacity.
    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        debug_assert!(self.0.len() + bytes.len() <= self.0.capacity(), "a plaintext buffer would have moved");
        self.0.extend_from_slice(bytes);
    }

    /// Takes the bytes out, unwiped: for a buffer whose content has been sealed in place.
    pub(super) fn into_sealed(mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.0))
    }

    /// Hands the bytes on; the memory is wiped when the last `Bytes` over it is dropped.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Plaintext {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Plaintext {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        let capacity = self.0.capacity();
        self.0.clear();
        self.0.resize(capacity, 0);
        keep_writes(&self.0);
    }
}

/// Overwrites bytes with zeros.
pub(super) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    keep_writes(bytes);
}

/// Keeps the compiler from dropping writes to memory that is about to be freed. Wiping byte by byte with volatile writes, as
/// the zeroize crate does, would cost more than the decryption itself.
fn keep_writes(bytes: &[u8]) {
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_leaves_only_zeros() {
        let mut bytes = b"secret words".to_vec();
        wipe(&mut bytes);
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn bytes_handed_on_are_the_bytes_held() {
        let mut plain = Plaintext::with_capacity(8);
        plain.extend_from_slice(b"words");
        assert_eq!(plain.into_bytes(), &b"words"[..]);
    }
}
