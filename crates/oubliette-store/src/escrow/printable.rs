//! Bytes that people copy from paper: groups of five characters of Crockford's base 32, which has no letters that look like
//! digits, with a checksum.

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::{Zeroize as _, Zeroizing};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SUM: usize = 4;
const GROUP: usize = 5;

/// The text of `bytes`.
pub fn print(bytes: &[u8]) -> Zeroizing<String> {
    let whole = Zeroizing::new([bytes, &sum(bytes)].concat());
    let characters = (whole.len() * 8).div_ceil(5);
    let mut text = Zeroizing::new(String::with_capacity(characters + characters / GROUP));
    for place in 0..characters {
        if place > 0 && place % GROUP == 0 {
            text.push('-');
        }
        let bit = place * 5;
        let at = |byte: usize| u16::from(whole.get(byte).copied().unwrap_or(0));
        let two = at(bit / 8) << 8 | at(bit / 8 + 1);
        text.push(char::from(ALPHABET[usize::from(two >> (11 - bit % 8) & 31)]));
    }
    text
}

/// The bytes of a text. Spaces, line ends, hyphens and case do not matter. `None` for anything that [`print`] did not write.
pub fn read(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut bits, mut held) = (0_u32, 0_u32);
    for character in text.chars().filter(|character| !character.is_whitespace() && *character != '-') {
        let character = match character.to_ascii_uppercase() {
            'I' | 'L' => b'1',
            'O' => b'0',
            other => u8::try_from(other).ok()?,
        };
        let value = ALPHABET.iter().position(|letter| *letter == character)?;
        held = held << 5 | value as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    let whole = bits < 5 && held == 0 && bytes.len() > SUM;
    held.zeroize();
    let end = bytes.len().checked_sub(SUM)?;
    if !whole || sum(&bytes[..end]) != bytes[end..] {
        return None;
    }
    bytes.truncate(end);
    Some(bytes)
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    let digest = digest(&SHA256, bytes);
    let mut sum = [0; SUM];
    sum.copy_from_slice(&digest.as_ref()[..SUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_however_it_is_copied() {
        for len in 1..70_u8 {
            let bytes: Vec<u8> = (0..len).map(|byte| byte.wrapping_mul(151)).collect();
            let text = print(&bytes);
            assert_eq!(**read(&text).unwrap(), bytes);
            let copied = text.to_lowercase().replace('-', "\n ").replace('0', "o").replace('1', "l");
            assert_eq!(**read(&copied).unwrap(), bytes);
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_noticed() {
        let text = print(&[0x5a; 33]);
        for (place, character) in text.char_indices().filter(|(_, character)| *character != '-') {
            let other = if character == 'Z' { 'Y' } else { 'Z' };
            let mut slipped = text.to_string();
            slipped.replace_range(place..=place, &other.to_string());
            assert!(read(&slipped).is_none(), "place {place}");
            slipped.remove(place);
            assert!(read(&slipped).is_none(), "without place {place}");
        }
        for nonsense in ["", "-", "0", "u", "é", "00000-000"] {
            assert!(read(nonsense).is_none(), "{nonsense:?}");
        }
    }

    #[test]
    fn the_text_never_changes() {
        assert_eq!(*print(&[0, 1, 2, 253, 254, 255]), "000G5-ZFYZW-ZJT5A-J");
    }
}
