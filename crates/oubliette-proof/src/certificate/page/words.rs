//! The words of tokens, numbers and times. A token that is not known here is shown as it is.

use crate::Token;
use crate::entry::Event;
use crate::receipt::SubjectKind;
use crate::time::Seconds;

/// `callRecording` → `call recording`, `legal-hold` → `legal hold`.
pub(super) fn spaced(token: &Token) -> String {
    let mut words = String::new();
    for c in token.as_str().chars() {
        match c {
            '-' | '_' => words.push(' '),
            c if c.is_ascii_uppercase() => {
                if !words.is_empty() && !words.ends_with(' ') {
                    words.push(' ');
                }
                words.push(c.to_ascii_lowercase());
            }
            c => words.push(c),
        }
    }
    words
}

/// What a size class says of each object.
pub(super) fn size(class: u8) -> String {
    match class {
        0 => "nothing".to_owned(),
        1 => "1 byte".to_owned(),
        class => format!("{} or more, less than {}", power(class - 1), power(class)),
    }
}

fn power(exponent: u8) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = usize::from(exponent / 10).min(UNITS.len() - 1);
    let number = 1_u64 << (usize::from(exponent) - 10 * unit).min(63);
    format!("{number} {}", UNITS[unit])
}

/// `2026-03-01 12:00:01 UTC`
pub(super) fn time(time: Seconds) -> String {
    time.to_string().replace('T', " ").replace('Z', " UTC")
}

pub(super) fn subject(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Interaction => "One interaction, wholly: what was known of it and all of its contents",
        SubjectKind::Content => "One content of an interaction that lives on",
        SubjectKind::Order => "Everything that one order erased",
    }
}

pub(super) fn cause(event: Event) -> &'static str {
    match event {
        Event::Deleted => "Its deletion was ordered (vcon_deleted)",
        Event::Expired => "Its time to be kept was over (vcon_expired)",
    }
}

/// A legal basis: its code, and what is known of it.
pub(super) fn basis(code: &Token) -> String {
    let words = match code.as_str() {
        "gdpr:17-1-a" => "GDPR Article 17(1)(a), no longer necessary for its purposes",
        "gdpr:17-1-b" => "GDPR Article 17(1)(b), consent withdrawn",
        "gdpr:17-1-c" => "GDPR Article 17(1)(c), objection",
        "gdpr:17-1-d" => "GDPR Article 17(1)(d), unlawfully processed",
        "gdpr:17-1-e" => "GDPR Article 17(1)(e), a legal obligation to erase",
        "gdpr:17-1-f" => "GDPR Article 17(1)(f), information society services offered to a child",
        _ => return code.to_string(),
    };
    format!("{words} ({code})")
}

/// What a register's class rests on: when an old root is gone, and what would bring it back.
pub(super) fn rests_on(class: &Token) -> &'static str {
    let class = class.as_str();
    if class.starts_with("multi-share") {
        "The root key was split over several stores and one missing share is enough to destroy it. It would come back \
         only if what holds for a single store failed for every one of them."
    } else if class.starts_with("file") {
        "The root key lay in a file and was overwritten in place. It would come back from a copy of the block as it was: \
         a snapshot, a copied disk, the cells of a flash drive."
    } else if class.starts_with("openbao") {
        "The root key lay wrapped under a key of its own in OpenBao, which deleted that key. It would come back from an \
         old state of OpenBao's storage together with the keys that unseal it."
    } else if class.starts_with("pkcs11") {
        "The root key lay wrapped under a key of its own in a hardware token, which destroyed that key. It would come \
         back from a backup or clone of the token with that key in it."
    } else {
        "What this class rests on is said in the operator's documents."
    }
}

/// `1 object`, `4 objects`; thousands stay unseparated, as in the certificate.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_common_units() {
        for (class, words) in [
            (0, "nothing"),
            (1, "1 byte"),
            (2, "2 bytes or more, less than 4 bytes"),
            (10, "512 bytes or more, less than 1 KiB"),
            (23, "4 MiB or more, less than 8 MiB"),
            (64, "8 EiB or more, less than 16 EiB"),
        ] {
            assert_eq!(size(class), words);
        }
        (0..=u8::MAX).for_each(|class| drop(size(class)));
    }

    #[test]
    fn tokens_become_words() {
        for (token, words) in [("callRecording", "call recording"), ("legal-hold", "legal hold"), ("IVR", "i v r")] {
            assert_eq!(spaced(&Token::new(token).unwrap()), words);
        }
    }
}
