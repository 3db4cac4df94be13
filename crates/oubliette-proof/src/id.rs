//! Public ids and salts.

use std::fmt;

/// A public id: 16 bytes, shown and read as a hyphenated UUID in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemId(pub [u8; 16]);

impl ItemId {
    /// Reads the one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = hex::decode(text.replace('-', "")).ok()?;
        let id = Self(bytes.try_into().ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let hyphen = if [4, 6, 8, 10].contains(&place) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ItemId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a UUID in lower case")
    }
}

impl From<ItemId> for String {
    fn from(id: ItemId) -> Self {
        id.to_string()
    }
}

/// What keeps a commitment from being guessed: 32 random bytes, never used twice. Whoever keeps receipts keeps salts; a salt
/// is no secret once its receipt was given out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);
