//! Buffers that direct I/O accepts, without unsafe code: allocate more than needed and use the part that starts at a
//! block boundary.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use zeroize::Zeroize;

/// Alignment of memory, offsets and lengths. 4096 satisfies every block device in use.
pub(crate) const BLOCK: usize = 4096;

/// A buffer that starts at a block boundary. Wiped when dropped: register blocks pass through it.
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zero bytes.
    pub(crate) fn zeroed(len: usize) -> Self {
        let bytes = vec![0_u8; len + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        Self { bytes, start, len }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }

    /// Reads `len` bytes at any offset from a file opened for direct I/O.
    pub(crate) fn read(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let lead = (offset % BLOCK as u64) as usize;
        let mut buffer = Self::zeroed((lead + len).next_multiple_of(BLOCK));
        let from = offset - lead as u64;
        let mut filled = 0;
        // The last block of a file is read short; only what was asked for must be there.
        while filled < lead + len {
            match file.read_at(&mut buffer.as_mut_slice()[filled..], from + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(buffer.as_slice()[lead..lead + len].to_vec())
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
