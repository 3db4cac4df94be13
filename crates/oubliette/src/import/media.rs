//! Media types of recordings, told by their ending and checked by their first bytes.

use std::io::Read as _;
use std::path::Path;

use super::Bad;

/// What a recording's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// Media type.
    pub media_type: &'static str,
    /// Whether it holds pictures.
    pub video: bool,
}

/// By the file's ending; `None` for files that are no recordings.
pub fn by_ending(path: &Path) -> Option<Media> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    let (media_type, video) = match ending.as_str() {
        "wav" => ("audio/wav", false),
        "mp3" => ("audio/mpeg", false),
        "ogg" | "opus" | "oga" => ("audio/ogg", false),
        "webm" => ("video/webm", true),
        _ => return None,
    };
    Some(Media { media_type, video })
}

/// Refuses a file whose first bytes are not those of its kind.
pub fn check(path: &Path, media: Media) -> Result<(), Bad> {
    let mut head = Vec::with_capacity(12);
    std::fs::File::open(path)
        .and_then(|file| file.take(12).read_to_end(&mut head))
        .map_err(|error| Bad::new(format!("cannot be read: {error}")))?;
    let fits = match media.media_type {
        "audio/wav" => head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE"),
        "audio/mpeg" => {
            head.starts_with(b"ID3") || matches!(head.as_slice(), [0xff, second, ..] if second & 0xe0 == 0xe0)
        }
        "audio/ogg" => head.starts_with(b"OggS"),
        _ => head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]),
    };
    if fits { Ok(()) } else { Err(Bad::new(format!("its first bytes are not those of {}", media.media_type))) }
}
