//! The forms a marker may take on a disk.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

/// Forms of fewer bits turn up by chance too often.
const FEWEST_BITS: usize = 32;
/// Shorter markers are in every file.
const FEWEST_BYTES: usize = 4;
/// Digits from which on a marker is looked for as a number.
const FEWEST_DIGITS: usize = 7;

/// What to look for. Personal: no `Debug`.
#[derive(Clone)]
pub enum Marker {
    /// A text: in upper, lower and mixed case; as a number too, however it is grouped, when it reads like a phone number.
    Text(String),
    /// Bytes, as they are (a piece of a recording).
    Bytes(Vec<u8>),
}

impl Marker {
    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Its digits when it reads like a phone number.
    pub(super) fn digits(&self) -> Option<String> {
        match self {
            Self::Text(text) => digits_of(text),
            Self::Bytes(_) => None,
        }
    }
}

/// In which form a marker was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The bytes as given, or the text in UTF-8.
    Plain,
    /// The digits of a number with separators between them, also in UTF-16.
    SeparatedDigits,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
    /// Two digits a byte, the first in the high half.
    PackedDigits,
    /// Two digits a byte, the first in the low half (as in telephone signalling).
    PackedDigitsSwapped,
    /// The digits as a binary number, high byte first (also as SQLite stores integers).
    IntegerBe,
    /// The digits as a binary number, low byte first.
    IntegerLe,
    /// Hexadecimal.
    Hex,
    /// Base64, standard or URL alphabet, at any alignment.
    Base64,
    /// Percent-encoded, as in URLs and forms.
    Percent,
    /// With `\u` escapes, as in JSON.
    JsonEscaped,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::SeparatedDigits => "digits with separators",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::PackedDigits => "packed digits",
            Self::PackedDigitsSwapped => "packed digits, swapped",
            Self::IntegerBe => "integer, big-endian",
            Self::IntegerLe => "integer, little-endian",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Percent => "percent-encoded",
            Self::JsonEscaped => "json-escaped",
        })
    }
}

/// Whether ASCII letters match in either case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Case {
    Exact,
    Folded,
}

/// Half a byte beside a form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Nibble {
    mask: u8,
    value: u8,
}

impl Nibble {
    fn fits(this: Option<Self>, byte: Option<u8>) -> bool {
        this.is_none_or(|nibble| byte.is_some_and(|byte| byte & nibble.mask == nibble.value))
    }
}

/// One sequence of bytes to look for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub bytes: Vec<u8>,
    pub encoding: Encoding,
    pub marker: usize,
    pub case: Case,
    before: Option<Nibble>,
    after: Option<Nibble>,
}

impl Form {
    /// Whether the bytes on both sides agree.
    pub(super) fn fits(&self, before: Option<u8>, after: Option<u8>) -> bool {
        Nibble::fits(self.before, before) && Nibble::fits(self.after, after)
    }

    fn bits(&self) -> usize {
        let per_byte = match self.encoding {
            Encoding::Hex => 4,
            Encoding::Base64 => 6,
            _ => 8,
        };
        self.bytes.len() * per_byte + 4 * (usize::from(self.before.is_some()) + usize::from(self.after.is_some()))
    }
}

/// Adds every form of a marker that is long enough; none when the marker itself is too short.
pub(super) fn add(number: usize, marker: &Marker, forms: &mut Vec<Form>) {
    if marker.len() < FEWEST_BYTES {
        return;
    }
    let mut all = Collector { marker: number, forms: Vec::new() };
    match marker {
        Marker::Bytes(bytes) => all.bytes(bytes),
        Marker::Text(text) => {
            let digits = digits_of(text);
            let mut variants = vec![text.clone(), text.to_lowercase(), text.to_uppercase()];
            variants.extend(digits.clone());
            variants.dedup();
            variants.iter().for_each(|variant| all.text(variant));
            if let Some(digits) = digits {
                all.number(&digits);
            }
        }
    }
    let mut seen = HashSet::new();
    forms.extend(all.forms.into_iter().filter(|form| form.bits() >= FEWEST_BITS && seen.insert(form.clone())));
}

/// The digits of what reads like a phone number.
fn digits_of(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let others = text.chars().all(|c| c.is_ascii_digit() || c.is_whitespace() || "+-./()".contains(c));
    (others && digits.len() >= FEWEST_DIGITS).then_some(digits)
}

struct Collector {
    marker: usize,
    forms: Vec<Form>,
}

impl Collector {
    fn push(&mut self, encoding: Encoding, case: Case, bytes: Vec<u8>) {
        self.push_between(encoding, case, bytes, None, None);
    }

    fn push_between(
        &mut self,
        encoding: Encoding,
        case: Case,
        bytes: Vec<u8>,
        before: Option<Nibble>,
        after: Option<Nibble>,
    ) {
        let bytes = if case == Case::Folded { bytes.to_ascii_lowercase() } else { bytes };
        self.forms.push(Form { bytes, encoding, marker: self.marker, case, before, after });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.push(Encoding::Plain, Case::Exact, bytes.to_vec());
        self.dressed(bytes);
    }

    fn text(&mut self, text: &str) {
        self.push(Encoding::Plain, Case::Folded, text.as_bytes().to_vec());
        let units = || text.encode_utf16();
        self.push(Encoding::Utf16Le, Case::Folded, units().flat_map(u16::to_le_bytes).collect());
        self.push(Encoding::Utf16Be, Case::Folded, units().flat_map(u16::to_be_bytes).collect());
        self.dressed(text.as_bytes());

        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        for (keep, space) in [(true, "%20"), (true, "+"), (false, "%20")] {
            let percent = text.bytes().fold(String::new(), |mut out, byte| {
                match byte {
                    b' ' => out.push_str(space),
                    _ if keep && unreserved(byte) => out.push(char::from(byte)),
                    _ => drop(write!(out, "%{byte:02X}")),
                }
                out
            });
            if percent != text {
                self.push(Encoding::Percent, Case::Folded, percent.into_bytes());
            }
        }
        if !text.is_ascii() {
            let json = units().fold(String::new(), |mut out, unit| {
                match u8::try_from(unit) {
                    Ok(byte) if byte.is_ascii() => out.push(char::from(byte)),
                    _ => drop(write!(out, "\\u{unit:04x}")),
                }
                out
            });
            self.push(Encoding::JsonEscaped, Case::Folded, json.into_bytes());
        }
    }

    /// Hexadecimal and base64.
    fn dressed(&mut self, bytes: &[u8]) {
        self.push(Encoding::Hex, Case::Folded, hex::encode(bytes).into_bytes());
        for alphabet in [&STANDARD, &URL_SAFE] {
            for alignment in 0..3 {
                self.push(Encoding::Base64, Case::Exact, base64_within(alphabet, alignment, bytes));
            }
        }
    }

    /// Packed digits at both alignments in both orders, and binary integers.
    fn number(&mut self, digits: &str) {
        let digits: Vec<u8> = digits.trim_start_matches('0').bytes().map(|digit| digit - b'0').collect();
        if digits.len() < FEWEST_DIGITS {
            return;
        }
        for (encoding, first_shift) in [(Encoding::PackedDigits, 4), (Encoding::PackedDigitsSwapped, 0)] {
            let second_shift = 4 - first_shift;
            let first = |digit: u8| Nibble { mask: 15 << first_shift, value: digit << first_shift };
            let second = |digit: u8| Nibble { mask: 15 << second_shift, value: digit << second_shift };
            for shifted in [false, true] {
                // Shifted: the first digit is the second half of the byte before.
                let (before, rest) =
                    if shifted { (Some(second(digits[0])), &digits[1..]) } else { (None, &digits[..]) };
                let pairs = rest.chunks_exact(2);
                let after = pairs.remainder().first().map(|digit| first(*digit));
                let bytes = pairs.map(|pair| pair[0] << first_shift | pair[1] << second_shift).collect();
                self.push_between(encoding, Case::Exact, bytes, before, after);
            }
        }
        let value = digits.iter().try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(*digit)));
        if let Some(value) = value {
            let significant = (value.leading_zeros() / 8) as usize;
            let mut bytes = value.to_be_bytes()[significant..].to_vec();
            self.push(Encoding::IntegerBe, Case::Exact, bytes.clone());
            bytes.reverse();
            self.push(Encoding::IntegerLe, Case::Exact, bytes);
        }
    }
}

/// The base64 characters that `bytes` alone decide when they begin `alignment` bytes into a group of three.
fn base64_within(alphabet: &Alphabet, alignment: usize, bytes: &[u8]) -> Vec<u8> {
    let shifted = [&[0; 3][..alignment], bytes].concat();
    let text = GeneralPurpose::new(alphabet, NO_PAD).encode(&shifted).into_bytes();
    let first = (alignment * 8).div_ceil(6);
    let end = (shifted.len() * 8 / 6).max(first);
    text[first..end].to_vec()
}
