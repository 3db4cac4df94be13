//! Where a file's blocks lie on the device (`FS_IOC_FIEMAP`).

use std::fs::File;
use std::io;

/// One run of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the file.
    pub logical: u64,
    /// Offset on the device.
    pub physical: u64,
    /// Bytes.
    pub length: u64,
    flags: u32,
}

impl Extent {
    /// The blocks belong to another file, too, or to a snapshot: overwriting moves them.
    pub fn is_shared(self) -> bool {
        self.flags & 0x2000 != 0
    }

    /// The offset on the device is not a place that is overwritten: not yet allocated, compressed, packed or inline.
    pub fn is_elsewhere(self) -> bool {
        self.flags & (0x2 | 0x4 | 0x8 | 0x100 | 0x200 | 0x400) != 0
    }
}

/// Extents asked for at once. The register is two blocks long.
const MOST: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

#[repr(C)]
struct Request {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    extents: [RawExtent; MOST],
}

/// `_IOWR('f', 11, struct fiemap)`; the size in the number is that of the head alone.
const FS_IOC_FIEMAP: rustix::ioctl::Opcode = 0xC020_660B;
const FIEMAP_FLAG_SYNC: u32 = 1;

/// The extents of a small file.
pub fn extents(file: &File) -> io::Result<Vec<Extent>> {
    let mut request = Request {
        start: 0,
        length: u64::MAX,
        flags: FIEMAP_FLAG_SYNC,
        mapped: 0,
        count: MOST as u32,
        reserved: 0,
        extents: [RawExtent::default(); MOST],
    };
    ask(file, &mut request)?;
    let mapped = request.extents.iter().take(request.mapped as usize);
    Ok(mapped
        .map(|raw| Extent { logical: raw.logical, physical: raw.physical, length: raw.length, flags: raw.flags })
        .collect())
}

#[expect(unsafe_code, reason = "no safe wrapper of this ioctl is among our dependencies")]
fn ask(file: &File, request: &mut Request) -> io::Result<()> {
    // SAFETY: the opcode takes a `struct fiemap` followed by `count` extents, which is exactly what `Request` lays out;
    // the kernel writes no more than `count` of them, and all bit patterns are valid for its integer fields.
    unsafe {
        let call = rustix::ioctl::Updater::<FS_IOC_FIEMAP, Request>::new(request);
        rustix::ioctl::ioctl(file, call)?;
    }
    Ok(())
}
