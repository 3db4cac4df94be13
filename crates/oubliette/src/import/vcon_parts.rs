//! Pieces of a vCon: inline and external contents, times, lists of positions.

use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::Bad;
use super::files::inside;
use super::load::Source;

/// Base64url, padded or not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A member that is a text with something in it.
pub(super) fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// A member that is a time; refused when it is none.
pub(super) fn time(object: &Map<String, Value>, key: &str) -> Result<Option<Timestamp>, Bad> {
    text(object, key).map(|text| text.parse().map_err(|_| Bad::new(format!("{key} is no RFC 3339 time")))).transpose()
}

/// Media type, under its name of today or of before.
pub(super) fn media_type(object: &Map<String, Value>) -> Option<String> {
    let written = text(object, "mediatype").or_else(|| text(object, "mimetype"))?;
    // What the vendors' readers know these as.
    Some(match written.to_ascii_lowercase().as_str() {
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "audio/wav".to_owned(),
        "audio/x-mp3" | "audio/mp3" => "audio/mpeg".to_owned(),
        _ => written.to_owned(),
    })
}

/// Positions: one number or a list of them; anything else is passed over.
pub(super) fn index_list(value: Option<&Value>) -> Vec<usize> {
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(number).collect(),
        Some(value) => number(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The content of a dialog, analysis or attachment: inline, or a file beside the container; `None` when it has none.
pub(super) fn body(object: &Map<String, Value>, root: &Path, folder: &Path) -> Result<Option<Source>, Bad> {
    match object.get("body") {
        None | Some(Value::Null) => {}
        Some(Value::String(empty)) if empty.is_empty() => {}
        Some(body) => return inline(object, body).map(|bytes| Some(Source::Bytes(bytes))),
    }
    match text(object, "url") {
        Some(url) => external(object, url, root, folder).map(Some),
        None => Ok(None),
    }
}

fn inline(object: &Map<String, Value>, body: &Value) -> Result<Bytes, Bad> {
    let bytes = match (text(object, "encoding"), body) {
        (Some("base64url"), Value::String(text)) => {
            BASE64URL.decode(text.trim()).map_err(|_| Bad::new("its body is not base64url"))?
        }
        // Older files leave the encoding out.
        (Some("none") | None, Value::String(text)) => text.clone().into_bytes(),
        (Some("json") | None, value) => serde_json::to_vec(value).map_err(|error| Bad::new(error.to_string()))?,
        (Some("base64url" | "none"), _) => return Err(Bad::new("its body is no text, as its encoding says")),
        (Some(other), _) => return Err(Bad::new(format!("unknown encoding `{other}`"))),
    };
    Ok(Bytes::from(bytes))
}

/// The file of that name beside the container. An address elsewhere is not fetched: the file must be brought along, and
/// only its hash makes it the right one.
fn external(object: &Map<String, Value>, url: &str, root: &Path, folder: &Path) -> Result<Source, Bad> {
    let local = match url.split_once("://") {
        None => url,
        Some(("file", path)) => path,
        Some(_) => url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default(),
    };
    let decoded = percent_decode_str(local).decode_utf8().map_err(|_| Bad::new("its url is not UTF-8"))?;
    let name = decoded.trim_start_matches('/');
    let path = if decoded.starts_with('/') && Path::new(&*decoded).starts_with(root) {
        inside(root, root, &decoded)
    } else {
        inside(root, folder, name)
    };
    let path = path.map_err(|bad| Bad::new(format!("its content lies elsewhere and nothing is fetched: {bad}")))?;
    let stated: Vec<&str> = match object.get("content_hash") {
        Some(Value::String(hash)) => vec![hash],
        Some(Value::Array(hashes)) => hashes.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let sha512: Vec<_> = stated.iter().filter_map(|hash| hash.strip_prefix("sha512-")).collect();
    if sha512.is_empty() {
        return if url.contains("://") && !url.starts_with("file://") {
            Err(Bad::new("an address without a content_hash (sha512): the file beside it could be any"))
        } else {
            Ok(Source::File(path))
        };
    }
    let found = hash(&path)?;
    let fits = sha512.iter().any(|hash| BASE64URL.decode(hash).is_ok_and(|hash| hash == found));
    if fits { Ok(Source::File(path)) } else { Err(Bad::new(format!("{name} does not have the stated content_hash"))) }
}

fn hash(path: &Path) -> Result<Vec<u8>, Bad> {
    use std::io::Read as _;
    let unread = |error: std::io::Error| Bad::new(format!("cannot be read: {error}"));
    let mut file = std::fs::File::open(path).map_err(unread)?;
    let mut context = digest::Context::new(&digest::SHA512);
    let mut piece = vec![0; 128 << 10];
    loop {
        let length = file.read(&mut piece).map_err(unread)?;
        if length == 0 {
            return Ok(context.finish().as_ref().to_vec());
        }
        context.update(&piece[..length]);
    }
}
