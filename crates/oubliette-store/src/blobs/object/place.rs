//! References, and the keys of the objects they stand for.
//!
//! Two kinds: `o/<32 hex>+<length>` is an object of its own, `p/<32 hex>/<offset>+<length>` a stretch of a segment. They
//! differ from those of the local store, so that neither takes the other's for its own. Names are drawn at random; nothing
//! of a content goes into them. The random digits stand in front: a bucket spreads its load by how keys begin, and sweeps
//! look at it part by part. The last eight digits name the *run* (one start of the process) that wrote the object.

use std::fmt;

use oubliette_core::ports::{BlobRef, PortError, PortErrorKind};

/// One start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run(pub u32);

/// Name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name(pub u128);

/// What an object is for: the first part of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A content of its own.
    Object,
    /// Small contents packed together.
    Segment,
    /// Written and removed while a bucket is attached.
    Probe,
}

/// A stretch of a segment: the blob's bytes, without the entry's own header in front of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stretch {
    pub segment: Name,
    pub offset: u64,
    pub length: u64,
}

/// Where a blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Object { name: Name, length: u64 },
    Segment(Stretch),
}

impl Name {
    /// A name of this run from random bits.
    pub(super) fn new(run: Run, random: u128) -> Self {
        Self((random & !0xffff_ffff) | u128::from(run.0))
    }

    /// A segment's name: it tells segments of one lane from those of others without being opened.
    pub(super) fn of_segment(run: Run, lane: u64, random: u128) -> Self {
        Self((random >> 64 << 64) | u128::from(lane_mark(lane)) << 32 | u128::from(run.0))
    }

    pub(super) fn run(self) -> Run {
        Run(self.0 as u32)
    }

    /// See [`lane_mark`]; of a segment's name only.
    pub(super) fn lane_mark(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

/// What of a lane's number goes into the names of its segments. Lanes may share a mark: the header decides.
pub(super) fn lane_mark(lane: u64) -> u32 {
    (lane ^ (lane >> 32)) as u32
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Kind {
    /// The part of a key and of a reference that names the kind.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Object => "o",
            Self::Segment => "p",
            Self::Probe => "probe",
        }
    }
}

/// The key of an object. `prefix` is empty or ends with a slash.
pub(super) fn key(prefix: &str, kind: Kind, name: Name) -> String {
    let name = name.to_string();
    format!("{prefix}{}/{}/{name}", kind.letter(), &name[..2])
}

/// What all keys begin with whose names begin with these digits.
pub(super) fn key_prefix(prefix: &str, kind: Kind, digits: &str) -> String {
    match digits.get(..2) {
        Some(folder) => format!("{prefix}{}/{folder}/{digits}", kind.letter()),
        None => format!("{prefix}{}/{digits}", kind.letter()),
    }
}

/// What all references begin with whose names begin with these digits.
pub(super) fn ref_prefix(kind: Kind, digits: &str) -> String {
    format!("{}/{digits}", kind.letter())
}

/// The name in a key that [`key`] made; `None` for every other object of the bucket.
pub(super) fn name_of(prefix: &str, kind: Kind, found: &str) -> Option<Name> {
    let name = Name::parse(found.rsplit_once('/')?.1)?;
    (key(prefix, kind, name) == found).then_some(name)
}

impl Stretch {
    /// What every reference into the segment begins with.
    pub(super) fn prefix_of(segment: Name) -> String {
        format!("p/{segment}/")
    }
}

impl Place {
    /// The text stored with the content.
    pub(super) fn to_ref(self) -> BlobRef {
        BlobRef(match self {
            Self::Object { name, length } => format!("o/{name}+{length}"),
            Self::Segment(at) => format!("p/{}/{}+{}", at.segment, at.offset, at.length),
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
            "o" => {
                let (name, length) = rest.split_once('+')?;
                Some(Self::Object { name: Name::parse(name)?, length: length.parse().ok()? })
            }
            "p" => {
                let (segment, stretch) = rest.split_once('/')?;
                let (offset, length) = stretch.split_once('+')?;
                Some(Self::Segment(Stretch {
                    segment: Name::parse(segment)?,
                    offset: offset.parse().ok()?,
                    length: length.parse().ok()?,
                }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_as_they_were_written() {
        let name = Name::new(Run(0xabcd), u128::MAX / 3);
        let object = Place::Object { name, length: 12 };
        assert_eq!(object.to_ref().0, "o/5555555555555555555555550000abcd+12");
        let segment = Name::of_segment(Run(7), 9, u128::MAX);
        let stretch = Place::Segment(Stretch { segment, offset: 80, length: 1000 });
        assert_eq!(stretch.to_ref().0, "p/ffffffffffffffff0000000900000007/80+1000");
        for place in [object, stretch] {
            assert!(Place::parse(&place.to_ref()).is_ok_and(|parsed| parsed == place));
        }
    }

    #[test]
    fn anything_else_is_no_reference() {
        for text in [
            "",
            "o/",
            "o/5555555555555555555555550000abcd",
            "o/5555555555555555555555550000ABCD+12",
            "o/5555555555555555555555550000abcd+012",
            "o/../../etc/passwd+1",
            "f/5555555555555555555555550000abcd",
            "s/0000000700000009/64+1000",
            "p/ffffffffffffffff0000000900000007/80",
            "p/ffffffffffffffff0000000900000007/+80+1",
            "p/../80+1",
        ] {
            assert!(Place::parse(&BlobRef(text.to_owned())).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_key_gives_its_name_back_and_no_stranger_does() {
        let name = Name::new(Run(3), 0x1234_5678_9abc_def0_1122_3344_5566_7788);
        assert_eq!(name.run(), Run(3));
        let at = key("vault/", Kind::Object, name);
        assert_eq!(at, "vault/o/12/123456789abcdef01122334400000003");
        assert_eq!(name_of("vault/", Kind::Object, &at), Some(name));
        assert!(at.starts_with(&key_prefix("vault/", Kind::Object, "1")));
        assert!(at.starts_with(&key_prefix("vault/", Kind::Object, "12345")));
        for other in [
            "vault/o/12/readme",
            "o/12/123456789abcdef01122334400000003",
            "vault/o/13/123456789abcdef01122334400000003",
        ] {
            assert_eq!(name_of("vault/", Kind::Object, other), None);
        }
    }

    #[test]
    fn segments_of_one_lane_share_their_mark() {
        let names = [1, 2].map(|random| Name::of_segment(Run(1), 0x5_0000_0006, random << 100));
        assert_eq!(names.map(Name::lane_mark), [3, 3]);
        assert_ne!(names[0], names[1]);
    }
}
