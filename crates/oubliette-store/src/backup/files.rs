//! The list of files of a copy, and which of them a content needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use oubliette_core::ports::BlobRef;

use super::place::Sum;
use super::{BackupError, MOST_BYTES, Manifest, Place, place_failed};

/// Length and SHA-256 by path below `blobs/`.
pub(super) type Files = BTreeMap<String, (u64, Sum)>;

/// Where a content lies, in the local store's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lies {
    /// A file of its own, by its path below the blob folder.
    File(String),
    /// A stretch of a segment.
    Segment { name: String, from: u64, to: u64 },
}

impl Lies {
    /// Reads a reference of the local store; `None` for any other.
    pub(super) fn of(blob: &BlobRef) -> Option<Self> {
        let digits = |text: &str, count: usize| {
            text.len() == count && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        match blob.0.split('/').collect::<Vec<_>>().as_slice() {
            ["f", name] if digits(name, 32) => {
                Some(Self::File(format!("f/{}/{}/{name}", &name[30..31], &name[31..32])))
            }
            ["s", name, stretch] if digits(name, 16) => {
                let (offset, length) = stretch.split_once('+')?;
                let from: u64 = offset.parse().ok()?;
                let to = from.checked_add(length.parse().ok()?)?;
                Some(Self::Segment { name: (*name).to_owned(), from, to })
            }
            _ => None,
        }
    }
}

/// The piece of a segment that a path names: segment, begin, end.
pub(super) fn piece(path: &str) -> Option<(&str, u64, u64)> {
    let (name, range) = path.strip_prefix("s/")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from < to).then_some((name, from, to))
}

/// The path of a piece.
pub(super) fn piece_path(name: &str, from: u64, to: u64) -> String {
    format!("s/{name}/{from}-{to}")
}

/// The list as it is written; refused when it is longer than `most` bytes: nobody could read it.
pub(super) fn text(files: &Files, most: u64) -> Result<String, BackupError> {
    let mut out = String::new();
    for (path, (length, sum)) in files {
        let _ = writeln!(out, "{path} {length} {}", hex::encode(sum));
    }
    if out.len() as u64 > most { Err(BackupError::TooMany(files.len())) } else { Ok(out) }
}

/// The list of a copy, checked against its manifest.
pub(super) fn read(place: &Place, manifest: &Manifest) -> Result<Files, BackupError> {
    let name = Manifest::path(&manifest.id, "files");
    if !manifest.files.is(place.sum(&name).map_err(place_failed("reading a list of files"))?) {
        return Err(BackupError::Damaged(format!("{name} is not what was written")));
    }
    let bytes = place.whole(&name, MOST_BYTES).map_err(place_failed("reading a list of files"))?;
    let wrong = || BackupError::Damaged(format!("{name} is no list of files"));
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let mut files = Files::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(path), Some(length), Some(digits), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong());
        };
        // Nothing that leads elsewhere.
        if !(path.starts_with("f/") || piece(path).is_some()) || path.split('/').any(|part| part.starts_with('.')) {
            return Err(wrong());
        }
        let mut sum = [0; 32];
        hex::decode_to_slice(digits, &mut sum).map_err(|_| wrong())?;
        files.insert(path.to_owned(), (length.parse().map_err(|_| wrong())?, sum));
    }
    Ok(files)
}

/// The pieces that begin at a segment's front and follow each other: their paths, and where they end.
pub(super) fn front<'a>(paths: impl Iterator<Item = &'a str>, segment: &str) -> (Vec<String>, u64) {
    let mut pieces: Vec<(u64, u64)> =
        paths.filter_map(piece).filter(|(name, ..)| *name == segment).map(|(_, from, to)| (from, to)).collect();
    pieces.sort_unstable();
    let (mut chain, mut end) = (Vec::new(), 0);
    for (from, to) in pieces {
        if from == end {
            chain.push(piece_path(segment, from, to));
            end = to;
        }
    }
    (chain, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_lies_where_the_local_store_says() {
        let lies = |text: &str| Lies::of(&BlobRef(text.to_owned()));
        let name = "0123456789abcdef0123456789abcd5e";
        assert_eq!(lies(&format!("f/{name}")), Some(Lies::File(format!("f/5/e/{name}"))));
        let stretch = Lies::Segment { name: "0000000700000009".to_owned(), from: 64, to: 1064 };
        assert_eq!(lies("s/0000000700000009/64+1000"), Some(stretch));
        for foreign in ["", "f/..", "f/../../x", "o/large/1", "s/0000000700000009/64", "s/../64+1"] {
            assert_eq!(lies(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_list_that_could_not_be_read_again_is_not_written() {
        let files: Files = (0..3).map(|number| (format!("f/0/0/{number:032x}"), (7, [0; 32]))).collect();
        let length = text(&files, 1 << 20).unwrap().len() as u64;
        assert!(text(&files, length).is_ok());
        assert!(matches!(text(&files, length - 1), Err(BackupError::TooMany(3))));
    }

    #[test]
    fn pieces_are_joined_from_the_front_only() {
        let paths = ["s/a/0-10", "s/a/10-25", "s/b/0-7", "s/a/30-40", "s/a/x-1", "f/5/e/0-10"];
        assert_eq!(front(paths.into_iter(), "a"), (vec!["s/a/0-10".to_owned(), "s/a/10-25".to_owned()], 25));
        assert_eq!(front(paths.into_iter(), "c"), (Vec::new(), 0));
    }
}
