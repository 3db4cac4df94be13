//! Padding: what a stored length gives away.
//!
//! A sealed content's length lies in clear, in every copy of the disk, for ever. It is therefore rounded up to one of 16
//! classes per power of two: at most 1/16 of waste above [`SMALLEST`], and everything below that is one class. The idea is
//! that of Padmé (Nikitin et al. 2019), with a fixed number of significant bits: for our lengths that hides more than the
//! original, whose classes grow finer with the length. The padding is zeros inside the seal, at the end; the exact length
//! is known from the content's sealed description only.

/// The smallest stored length: everything below is padded to it.
pub const SMALLEST: u64 = 512;

/// Rounds a plain length up to its class. Never fails: past 2^63 lengths stay as they are (the seal refuses them).
pub fn padded_length(length: u64) -> u64 {
    if length <= SMALLEST {
        return SMALLEST;
    }
    let step = 1_u64 << (length.ilog2() - 4);
    length.checked_next_multiple_of(step).unwrap_or(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_are_a_sixteenth_apart() {
        assert_eq!(padded_length(0), 512);
        assert_eq!(padded_length(512), 512);
        assert_eq!(padded_length(513), 544);
        assert_eq!(padded_length(1024), 1024);
        assert_eq!(padded_length(1025), 1088);
        assert_eq!(padded_length(5_000_000), 5_242_880);
        assert_eq!(padded_length(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_power_of_two_has_sixteen_classes() {
        let mut classes: Vec<u64> = ((1 << 20) + 1..=1 << 21).step_by(101).map(padded_length).collect();
        classes.dedup();
        assert_eq!(classes.len(), 16);
    }

    proptest! {
        #[test]
        fn padding_costs_at_most_a_sixteenth_and_is_stable(length in 513_u64..1 << 52) {
            let padded = padded_length(length);
            prop_assert!(padded >= length && padded - length <= length / 16);
            prop_assert_eq!(padded_length(padded), padded);
        }
    }
}
