//! Numbers in few bytes: seven bits a byte, lowest first, the highest bit says that more follow.

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front; `None` when there is none, or one that is not spelt as [`put`] does.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return (*byte != 0 || shift == 0).then_some(number);
        }
    }
    None
}

/// Takes bytes off the front.
pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// A length that cannot be above what is left, so that nothing is reserved in vain.
pub(super) fn take_count(bytes: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(take(bytes)?).ok()?;
    (count <= bytes.len()).then_some(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive_and_have_one_spelling(numbers: Vec<u64>, other: Vec<u8>) {
            let mut out = Vec::new();
            numbers.iter().for_each(|number| put(&mut out, *number));
            let mut rest = out.as_slice();
            for number in &numbers {
                prop_assert_eq!(take(&mut rest), Some(*number));
            }
            prop_assert!(rest.is_empty());
            let mut rest = other.as_slice();
            if let Some(number) = take(&mut rest) {
                let mut again = Vec::new();
                put(&mut again, number);
                prop_assert_eq!(&other[..other.len() - rest.len()], &again[..]);
            }
        }
    }
}
