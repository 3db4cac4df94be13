//! Shares of a secret: any `needed` of them give it back, and fewer say nothing. Shamir's scheme over GF(256), byte by byte.

use vsss_rs::Gf256;
use zeroize::Zeroizing;

/// A share: the number that it is the polynomials' value at, and the values.
#[derive(Clone)]
pub struct Share {
    /// From 1.
    pub number: u8,
    /// As long as the secret.
    pub values: Zeroizing<Vec<u8>>,
}

/// Share `number` of a secret of whose polynomials the higher coefficients are given: `needed` - 1 times the secret's length,
/// all of them uniform. `None` for numbers and lengths that make no share.
pub fn share(secret: &[u8], number: u8, needed: u8, coefficients: &[u8]) -> Option<Share> {
    let higher = usize::from(needed).checked_sub(1)?;
    if number == 0 || higher == 0 || coefficients.len() != higher * secret.len() {
        return None;
    }
    let at = Gf256(number);
    let value = |(secret, coefficients): (&u8, &[u8])| {
        let higher = coefficients.iter().fold(Gf256(0), |sum, coefficient| (sum + Gf256(*coefficient)) * at);
        (higher + Gf256(*secret)).0
    };
    let values = secret.iter().zip(coefficients.chunks_exact(higher)).map(value).collect();
    Some(Share { number, values: Zeroizing::new(values) })
}

/// The secret, if these are as many shares as it needs. Whether they belong together, what comes out has to say.
pub fn join(shares: &[Share]) -> Option<Zeroizing<Vec<u8>>> {
    let numbered = |share: &Share| Zeroizing::new([&[share.number][..], &share.values].concat());
    let shares: Vec<Zeroizing<Vec<u8>>> = shares.iter().map(numbered).collect();
    let shares = Zeroizing::new(shares.iter().map(|share| share.to_vec()).collect::<Vec<_>>());
    Gf256::combine_bytes(&*shares).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_of_three_and_any_three_of_five_give_the_secret_and_fewer_another() {
        let secret: Vec<u8> = (0..=255).collect();
        for (needed, count) in [(2_u8, 3_u8), (3, 5), (5, 5)] {
            let mut coefficients = vec![0; usize::from(needed - 1) * secret.len()];
            aws_lc_rs::rand::fill(&mut coefficients).unwrap();
            let shares: Vec<Share> =
                (1..=count).map(|number| share(&secret, number, needed, &coefficients).unwrap()).collect();
            for first in 0..=usize::from(count - needed) {
                let some = &shares[first..first + usize::from(needed)];
                assert_eq!(**join(some).unwrap(), secret[..]);
            }
            if needed > 2 {
                assert_ne!(**join(&shares[..usize::from(needed) - 1]).unwrap(), secret[..]);
            }
            assert_ne!(*shares[0].values, secret);
        }
    }

    /// Field and polynomial by hand: x^8 + x^4 + x^3 + x + 1.
    #[test]
    fn a_share_is_the_polynomials_value() {
        fn times(mut a: u8, mut b: u8) -> u8 {
            let mut product = 0;
            while b != 0 {
                product ^= if b & 1 == 1 { a } else { 0 };
                a = (a << 1) ^ if a & 0x80 != 0 { 0x1b } else { 0 };
                b >>= 1;
            }
            product
        }
        for number in 1..=255 {
            let got = share(&[0x5a], number, 3, &[0xc3, 0x17]).unwrap();
            // The first coefficient is the highest.
            assert_eq!(got.values[0], 0x5a ^ times(0x17, number) ^ times(0xc3, times(number, number)), "{number}");
        }
    }

    #[test]
    fn what_makes_no_share_is_refused() {
        assert!(share(b"x", 0, 2, &[1]).is_none());
        assert!(share(b"x", 1, 1, &[]).is_none());
        assert!(share(b"x", 1, 2, &[1, 2]).is_none());
        let one = share(b"x", 1, 2, &[1]).unwrap();
        assert!(join(std::slice::from_ref(&one)).is_none());
        assert!(join(&[one.clone(), one]).is_none(), "the same share twice");
    }
}
