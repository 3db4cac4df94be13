//! `application/x-www-form-urlencoded`, as it stands in queries and in bodies of token requests.

use percent_encoding::percent_decode;

/// Names and values in order of appearance. What is no UTF-8 is replaced, not refused.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// The first value under this name, compared without ASCII case.
pub fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_found_without_case() {
        let pairs = pairs("a=1&b=x+y%2Bz&&c&d=%ff&A=2&=v&e==");
        assert_eq!(value(&pairs, "a"), Some("1"));
        assert_eq!(value(&pairs, "B"), Some("x y+z"));
        assert_eq!(value(&pairs, "c"), Some(""));
        assert_eq!(value(&pairs, "d"), Some("\u{fffd}"));
        assert_eq!(value(&pairs, "e"), Some("="));
        assert_eq!(value(&pairs, "f"), None);
    }
}
