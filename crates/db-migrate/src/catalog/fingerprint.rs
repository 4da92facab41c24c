//! The fingerprint of a set of objects, which can be kept up to date object by object.
//!
//! It is the hash of the number of objects and of the sum of their hashes modulo 2^256. A sum
//! does not depend on the order and lets one object be exchanged without touching the others,
//! which is what makes a run of hundreds of migrations cheap. It protects against accidents;
//! someone who can compute collisions can also write to the table that holds the fingerprint.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
pub(super) type Digest = [u8; 32];

/// Names the definition, so that a later one cannot be mistaken for this one.
const DOMAIN: &[u8] = b"db-migrate catalog 1";

/// The running sum over the hashes of a set of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sum {
    count: u64,
    /// 256 bits, least significant limb first.
    limbs: [u64; 4],
}

impl Sum {
    /// Counts an object in.
    pub(super) fn add(&mut self, digest: &Digest) {
        self.count = self.count.wrapping_add(1);
        let mut carry = false;
        for (limb, value) in self.limbs.iter_mut().zip(limbs(digest)) {
            let (partial, first) = limb.overflowing_add(value);
            let (total, second) = partial.overflowing_add(u64::from(carry));
            *limb = total;
            carry = first || second;
        }
    }

    /// Takes an object out that was counted in.
    pub(super) fn remove(&mut self, digest: &Digest) {
        self.count = self.count.wrapping_sub(1);
        let mut borrow = false;
        for (limb, value) in self.limbs.iter_mut().zip(limbs(digest)) {
            let (partial, first) = limb.overflowing_sub(value);
            let (total, second) = partial.overflowing_sub(u64::from(borrow));
            *limb = total;
            borrow = first || second;
        }
    }

    /// The fingerprint as 64 hexadecimal digits.
    pub(super) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(self.count.to_le_bytes());
        for limb in self.limbs {
            hash.update(limb.to_le_bytes());
        }
        let digest: Digest = hash.finalize().into();
        let mut hex = String::with_capacity(64);
        for byte in digest {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

fn limbs(digest: &Digest) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(digest.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        *limb = u64::from_le_bytes(word);
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_forgets_order_and_what_was_taken_out() {
        let (a, b, c) = ([0xff; 32], [0x80; 32], [1; 32]);
        let mut one = Sum::default();
        one.add(&a);
        one.add(&b);
        let mut two = Sum::default();
        for digest in [&b, &c, &a] {
            two.add(digest);
        }
        assert_ne!(one.fingerprint(), two.fingerprint());
        two.remove(&c);
        assert_eq!(one.fingerprint(), two.fingerprint());
    }

    #[test]
    fn the_same_object_twice_is_not_the_same_as_once_or_never() {
        let mut sum = Sum::default();
        let mut seen = vec![sum.fingerprint()];
        for _ in 0..3 {
            sum.add(&[0x80; 32]);
            assert!(!seen.contains(&sum.fingerprint()));
            seen.push(sum.fingerprint());
        }
    }
}
