//! Names of objects: everything that is known of an extent, so that a listing is enough to open a place.
//!
//! ```text
//! PREFIX/FILE/GENERATION-SERIAL-KIND-OFFSET-LENGTH-RANDOM      numbers as 16 hexadecimal digits
//! ```
//!
//! Where extents overlap, the one with the higher generation and serial counts. The random part makes every name new: a
//! late write or removal by an earlier process never touches what a later one wrote.

use super::no_random;

/// What an object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The file exists.
    Made,
    /// The file is cut at the offset.
    Cut,
    /// Bytes of the file.
    Extent,
}

/// An object's name below its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) generation: u64,
    pub(super) serial: u64,
    pub(super) kind: Kind,
    pub(super) offset: u64,
    pub(super) len: u64,
    random: u64,
}

impl Name {
    pub(super) fn new(generation: u64, serial: u64, kind: Kind, offset: u64, len: u64) -> std::io::Result<Self> {
        use aws_lc_rs::rand::{SecureRandom, SystemRandom};
        let mut random = [0; 8];
        SystemRandom::new().fill(&mut random).map_err(|_| no_random())?;
        Ok(Self { generation, serial, kind, offset, len, random: u64::from_le_bytes(random) })
    }

    pub(super) fn encode(&self) -> String {
        let kind = match self.kind {
            Kind::Made => 'm',
            Kind::Cut => 'c',
            Kind::Extent => 'e',
        };
        let Self { generation, serial, offset, len, random, .. } = self;
        format!("{generation:016x}-{serial:016x}-{kind}-{offset:016x}-{len:016x}-{random:016x}")
    }

    /// `None` for anything that is not written exactly so.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [generation, serial, kind, offset, len, random] = parts.as_slice() else { return None };
        let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
        let kind = match *kind {
            "m" => Kind::Made,
            "c" => Kind::Cut,
            "e" => Kind::Extent,
            _ => return None,
        };
        let name = Self {
            generation: number(generation)?,
            serial: number(serial)?,
            kind,
            offset: number(offset)?,
            len: number(len)?,
            random: number(random)?,
        };
        (name.encode() == text && name.offset.checked_add(name.len).is_some()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_everything_and_nothing_else_is_one() {
        let name = Name::new(3, 0x1_0000, Kind::Extent, 16, 4096).unwrap();
        let text = name.encode();
        assert_eq!(Name::decode(&text), Some(name));
        assert_eq!(Name::decode(&text.to_uppercase()), None);
        assert_eq!(Name::decode(&format!("{text}-")), None);
        assert_eq!(Name::decode(&text.replacen("-e-", "-x-", 1)), None);
        assert_eq!(Name::decode(""), None);
    }
}
