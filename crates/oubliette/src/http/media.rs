//! Media types and file names of recordings, as clients tell them or do not.

use percent_encoding::percent_decode_str;

/// Endings of file names and what they say.
const BY_ENDING: [(&str, &str); 12] = [
    ("wav", "audio/wav"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("aac", "audio/aac"),
    ("wma", "audio/x-ms-wma"),
    ("webm", "video/webm"),
    ("mp4", "video/mp4"),
    ("json", "application/json"),
    ("txt", "text/plain"),
];

/// What is stored when nothing says what the bytes are.
const UNKNOWN: &str = "application/octet-stream";

/// The media type to store: what was declared if that says something, else what the file name's ending says. The many
/// names of WAV become one.
pub fn media_type_of(declared: Option<&str>, file_name: Option<&str>) -> String {
    let declared = declared.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match declared.as_deref() {
        Some("audio/x-wav" | "audio/wave" | "audio/vnd.wave" | "audio/x-pn-wav") => "audio/wav".to_owned(),
        Some(said) if is_media_type(said) && said != UNKNOWN && said != "binary/octet-stream" => said.to_owned(),
        _ => file_name.and_then(by_ending).unwrap_or(UNKNOWN).to_owned(),
    }
}

fn by_ending(file_name: &str) -> Option<&'static str> {
    let (_, ending) = file_name.rsplit_once('.')?;
    BY_ENDING.into_iter().find(|known| known.0.eq_ignore_ascii_case(ending)).map(|known| known.1)
}

fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        (1..=127).contains(&part.len()) && part.bytes().all(allowed)
    };
    text.split_once('/').is_some_and(|(kind, name)| token(kind) && token(name))
}

/// The last component of a path of either kind, percent-decoded, without control characters, at most 255 characters long.
/// `None` when nothing is left.
pub fn last_component(name: &str) -> Option<String> {
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    let last = decoded.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control()).take(255).collect();
    let clean = clean.trim();
    (!clean.is_empty() && clean != "." && clean != "..").then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_that_says_nothing_gives_way_to_the_file_name() {
        let cases = [
            (Some("audio/x-wav"), Some("a.mp3"), "audio/wav"),
            (Some("Audio/WAV; codec=1"), None, "audio/wav"),
            (Some("null"), Some("sample.WAV"), "audio/wav"),
            (Some("application/octet-stream"), Some("a.b.mp3"), "audio/mpeg"),
            (None, Some("talk.webm"), "video/webm"),
            (None, Some("no ending"), "application/octet-stream"),
            (Some("bad type/x"), None, "application/octet-stream"),
            (Some("image/svg+xml"), Some("a.wav"), "image/svg+xml"),
            (None, None, "application/octet-stream"),
        ];
        for (declared, name, expected) in cases {
            assert_eq!(media_type_of(declared, name), expected, "{declared:?} {name:?}");
        }
    }

    #[test]
    fn only_the_last_component_of_a_file_name_is_kept() {
        let cases = [
            ("sample.wav", Some("sample.wav")),
            ("/home/ann/My%20calls/a%2Fb.wav", Some("b.wav")),
            (r"C:\calls\x.wav", Some("x.wav")),
            ("%2e%2e", None),
            ("dir/", None),
            ("50%.wav", Some("50%.wav")),
            ("a\u{0}\nb.wav", Some("ab.wav")),
            ("", None),
        ];
        for (given, expected) in cases {
            assert_eq!(last_component(given).as_deref(), expected, "{given}");
        }
        assert_eq!(last_component(&"x".repeat(1000)).map(|name| name.len()), Some(255));
    }
}
