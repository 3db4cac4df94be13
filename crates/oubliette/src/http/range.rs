//! The `Range` request header (RFC 9110 §14.2) for a single stretch of bytes.

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};
use oubliette_core::service::ByteRange;

/// The one stretch a request asks for.
///
/// `None` means *send it whole*: no header, another unit, a syntax error, several stretches, or a condition (`If-Range`)
/// that cannot be met because nothing here has a validator. Whether the stretch lies inside the content is for the reader.
pub fn byte_range(headers: &HeaderMap) -> Option<ByteRange> {
    if headers.contains_key(IF_RANGE) {
        return None;
    }
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    parse(line.to_str().ok()?)
}

fn parse(text: &str) -> Option<ByteRange> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => Some(ByteRange::Suffix(number(last)?)),
        (first, "") => Some(ByteRange::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(ByteRange::From(first, Some(last)))
        }
    }
}

/// Digits only; a number too large to hold is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_stretch_is_read_and_everything_else_means_the_whole() {
        let cases = [
            ("bytes=0-1023", Some(ByteRange::From(0, Some(1023)))),
            ("Bytes=5-", Some(ByteRange::From(5, None))),
            ("bytes=-7", Some(ByteRange::Suffix(7))),
            ("bytes=-0", Some(ByteRange::Suffix(0))),
            ("bytes= 1 - 2 ", Some(ByteRange::From(1, Some(2)))),
            ("bytes=99999999999999999999999-", Some(ByteRange::From(u64::MAX, None))),
            ("bytes=5-4", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static(text));
            assert_eq!(byte_range(&headers), expected, "{text}");
        }
        assert_eq!(byte_range(&HeaderMap::new()), None);
    }

    #[test]
    fn a_condition_or_a_repeated_header_means_the_whole() {
        let mut headers = HeaderMap::new();
        headers.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(byte_range(&headers), None);
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.insert(IF_RANGE, HeaderValue::from_static("\"x\""));
        assert_eq!(byte_range(&headers), None);
    }
}
