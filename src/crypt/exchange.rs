//! A Diffie-Hellman exchange in 64 bits, as skynet's login servers do it.

/// The largest prime of 64 bits.
const P: u64 = 0xffff_ffff_ffff_ffc5;
/// What 2^64 is modulo [`P`].
const FOLD: u128 = (1 << 64) - P as u128;
const GENERATOR: u64 = 5;

fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    // Each fold takes the upper half down by 2^64 = FOLD; two leave at most a little over 2^64, hence less than 2 P.
    let once = (product >> 64) * FOLD + u128::from(product as u64);
    let twice = (once >> 64) * FOLD + u128::from(once as u64);
    (if twice >= u128::from(P) { twice - u128::from(P) } else { twice }) as u64
}

fn power(base: u64, mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1, base % P);
    while exponent != 0 {
        if exponent & 1 == 1 {
            result = multiply(result, square);
        }
        square = multiply(square, square);
        exponent >>= 1;
    }
    result
}

/// What the holder of a secret tells the other side.
pub(crate) fn public(secret: u64) -> u64 {
    power(GENERATOR, secret)
}

/// What both sides know then.
pub(crate) fn shared(public: u64, secret: u64) -> u64 {
    power(public, secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_measured_vectors_hold() {
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        assert_eq!(public(number(b"12345678")).to_le_bytes(), 0xa18e_89af_9722_2f0e_u64.to_be_bytes());
        assert_eq!(
            shared(number(b"12345678"), number(b"abcdefgh")).to_le_bytes(),
            0xc28f_6c29_ade9_0908_u64.to_be_bytes()
        );
    }

    proptest! {
        #[test]
        fn both_sides_come_to_the_same_number(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(shared(public(a), b), shared(public(b), a));
        }

        #[test]
        fn products_are_those_of_long_division(a in any::<u64>(), b in any::<u64>()) {
            let (a, b) = (a % P, b % P);
            let long = u128::from(a) * u128::from(b) % u128::from(P);
            prop_assert_eq!(u128::from(multiply(a, b)), long);
        }
    }
}
