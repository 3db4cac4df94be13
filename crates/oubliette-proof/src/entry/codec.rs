//! Reading and writing of the entries' parts.

use std::fmt;

use crate::hash::Hash;
use crate::time::Seconds;

/// A short word: 1 to 64 letters, digits and `.` `_` `:` `/` `-` of ASCII. For names that an operator or a configuration
/// gives; never for anything about a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

impl Token {
    /// Checks a word.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        ((1..=64).contains(&text.len()) && text.chars().all(fits)).then_some(Self(text))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text).ok_or("not a token: 1 to 64 letters, digits and . _ : / - of ASCII")
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text may be a log's origin here: what may be a key's name.
pub(super) fn is_origin(text: &str) -> bool {
    crate::note::VerifierKey::new(text, crate::note::KeyKind::Note, [0; 32]).is_ok()
}

pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(256))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn time(&mut self, time: Seconds) {
        self.u64(time.get());
    }

    pub(super) fn hash(&mut self, hash: &Hash) {
        self.bytes(&hash.0);
    }

    /// A token or an origin: never longer than 255 bytes.
    pub(super) fn text(&mut self, text: &str) {
        self.u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes(&text.as_bytes()[..text.len().min(255)]);
    }

    /// Items beyond the 255th are not written; constructors see to it that there are none.
    pub(super) fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        let count = u8::try_from(items.len()).unwrap_or(u8::MAX);
        self.u8(count);
        items.iter().take(usize::from(count)).for_each(|item| write(self, item));
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn time(&mut self) -> Option<Seconds> {
        Seconds::new(self.u64()?)
    }

    pub(super) fn hash(&mut self) -> Option<Hash> {
        self.array().map(Hash)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.u8()?;
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }

    pub(super) fn token(&mut self) -> Option<Token> {
        Token::new(self.text()?)
    }

    pub(super) fn origin(&mut self) -> Option<String> {
        self.text().filter(|text| is_origin(text)).map(str::to_owned)
    }

    pub(super) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u8()?;
        (0..count).map(|_| read(self)).collect()
    }
}
