//! References and the paths they stand for.
//!
//! Two kinds: `f/<32 hex>` is a file of its own, `s/<16 hex>/<offset>+<length>` a stretch of a segment. Names are drawn at
//! random or counted; nothing of a content goes into them. The first eight digits name the *run* (one start of the process)
//! that made the file, so that a sweep can tell the leftovers of earlier runs from what is just being written, without
//! trusting a clock.

use std::fmt;
use std::path::{Path, PathBuf};

use oubliette_core::ports::{BlobRef, PortError, PortErrorKind};

/// One start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run(pub u32);

/// Name of a blob's own file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileName(pub u128);

/// Name of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SegmentName(pub u64);

/// A stretch of a segment: the blob's bytes, without the entry's own header in front of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stretch {
    pub segment: SegmentName,
    pub offset: u64,
    pub length: u64,
}

/// Where a blob lies.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    File(FileName),
    Segment(Stretch),
}

impl FileName {
    /// A name of this run from random bits.
    pub(super) fn new(run: Run, random: u128) -> Self {
        Self((u128::from(run.0) << 96) | (random >> 32))
    }

    pub(super) fn run(self) -> Run {
        Run((self.0 >> 96) as u32)
    }

    /// Which of the 256 folders it lies in: its last two digits, which are random.
    pub(super) fn folder(self) -> u8 {
        self.0 as u8
    }

    pub(super) fn path(self, root: &Path) -> PathBuf {
        folder_path(root, self.folder()).join(self.to_string())
    }

    pub(super) fn temporary_path(self, root: &Path) -> PathBuf {
        root.join("tmp").join(self.to_string())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        hex(text, 32).map(Self)
    }
}

impl SegmentName {
    /// The `number`th segment of a run.
    pub(super) fn new(run: Run, number: u32) -> Self {
        Self((u64::from(run.0) << 32) | u64::from(number))
    }

    pub(super) fn run(self) -> Run {
        Run((self.0 >> 32) as u32)
    }

    pub(super) fn path(self, root: &Path) -> PathBuf {
        root.join("s").join(self.to_string())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        hex(text, 16).and_then(|number| u64::try_from(number).ok()).map(Self)
    }

    /// What every reference into the segment begins with.
    pub(super) fn prefix(self) -> String {
        format!("s/{self}/")
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One of the 256 folders of files, two levels of sixteen.
pub(super) fn folder_path(root: &Path, folder: u8) -> PathBuf {
    root.join("f").join(format!("{:x}", folder >> 4)).join(format!("{:x}", folder & 15))
}

impl Place {
    /// The text stored with the content.
    pub(super) fn to_ref(self) -> BlobRef {
        BlobRef(match self {
            Self::File(name) => format!("f/{name}"),
            Self::Segment(at) => format!("s/{}/{}+{}", at.segment, at.offset, at.length),
        })
    }

    /// Reads exactly what [`Place::to_ref`] writes; anything else (another backend's reference, a path trick) is refused.
    pub(super) fn parse(blob: &BlobRef) -> Result<Self, PortError> {
        Self::parse_text(&blob.0)
            .filter(|place| place.to_ref() == *blob)
            .ok_or_else(|| PortError::bare(PortErrorKind::Refused, "read a blob reference"))
    }

    fn parse_text(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/')?;
        match kind {
            "f" => FileName::parse(rest).map(Self::File),
            "s" => {
                let (segment, stretch) = rest.split_once('/')?;
                let (offset, length) = stretch.split_once('+')?;
                Some(Self::Segment(Stretch {
                    segment: SegmentName::parse(segment)?,
                    offset: offset.parse().ok()?,
                    length: length.parse().ok()?,
                }))
            }
            _ => None,
        }
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_as_they_were_written() {
        let file = Place::File(FileName::new(Run(0xabcd), u128::MAX / 3));
        let stretch = Stretch { segment: SegmentName::new(Run(7), 9), offset: 64, length: 1000 };
        assert_eq!(Place::Segment(stretch).to_ref().0, "s/0000000700000009/64+1000");
        for place in [file, Place::Segment(stretch)] {
            assert!(Place::parse(&place.to_ref()).is_ok_and(|parsed| parsed == place));
        }
    }

    #[test]
    fn anything_else_is_no_reference() {
        for text in [
            "",
            "f/",
            "f/../../etc/passwd",
            "f/0123",
            "f/ABCDEF00000000000000000000000000",
            "f/+1234567890123456789012345678901",
            "s/0000000700000009/64",
            "s/0000000700000009/064+1",
            "s/0000000700000009/+64+1",
            "s/0000000700000009/64+-1",
            "s/../0+1",
            "m/1",
        ] {
            assert!(Place::parse(&BlobRef(text.to_owned())).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_name_tells_its_run_and_spreads_over_all_folders() {
        let name = FileName::new(Run(3), 0x1234_5678_9abc_def0_1122_3344_5566_7788);
        assert_eq!(name.run(), Run(3));
        assert_eq!(name.to_string(), "00000003123456789abcdef011223344");
        assert!(name.path(Path::new("/b")).ends_with("f/4/4/00000003123456789abcdef011223344"));
        assert_eq!(SegmentName::new(Run(3), 5).run(), Run(3));
    }
}
