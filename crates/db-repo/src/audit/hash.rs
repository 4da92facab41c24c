//! What is hashed, byte by byte.

use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// Bytes of the hash of all lines, at the beginning of a seal's marks.
const TOTAL: usize = 32;

/// Bytes of a line's mark: its id and the beginning of its hash.
const MARK: usize = 16;

/// Tells this use of SHA-256 and this form apart from any other.
const SEAL: &[u8] = b"bitcraps audit seal 1\n";

/// A line as the engine holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredLine {
    pub(crate) id: i64,
    /// The number that the engine stores.
    pub(crate) at: i64,
    /// The other columns, in the order of the table.
    pub(crate) texts: [Option<Vec<u8>>; 9],
}

/// A seal as the engine holds it, with the number that it stores for the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredSeal {
    pub(crate) id: i64,
    pub(crate) first_id: i64,
    pub(crate) last_id: i64,
    pub(crate) row_count: i64,
    pub(crate) marks: Vec<u8>,
    pub(crate) previous_hash: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    /// Unix microseconds.
    pub(crate) sealed_at: i64,
}

/// The hash of a line without its id, so that a line in another's place is known again. Each
/// column has its length in front: no two lines are the same bytes.
pub(crate) fn line_hash(line: &StoredLine, buffer: &mut Vec<u8>) -> Hash {
    buffer.clear();
    buffer.extend(line.at.to_be_bytes());
    for text in &line.texts {
        match text {
            None => buffer.push(0),
            Some(text) => {
                buffer.push(1);
                buffer.extend((text.len() as u64).to_be_bytes());
                buffer.extend(text);
            }
        }
    }
    Sha256::digest(buffer.as_slice()).into()
}

/// A line's id and the beginning of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) id: i64,
    pub(crate) short: [u8; 8],
}

impl Mark {
    pub(crate) fn of(id: i64, hash: &Hash) -> Self {
        Self {
            id,
            short: std::array::from_fn(|at| hash[at]),
        }
    }
}

/// Gathers the lines of a seal.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    total: Sha256,
    marks: Vec<u8>,
}

impl Lines {
    pub(crate) fn add(&mut self, id: i64, hash: &Hash) {
        self.total.update(id.to_be_bytes());
        self.total.update(hash);
        let mark = Mark::of(id, hash);
        self.marks.extend(id.to_be_bytes());
        self.marks.extend(mark.short);
    }

    /// What the seal keeps of them.
    pub(crate) fn marks(self) -> Vec<u8> {
        let total: Hash = self.total.finalize().into();
        let mut marks = total.to_vec();
        marks.extend(self.marks);
        marks
    }
}

/// The marks of a seal, if they have the form of marks.
pub(crate) fn marks(seal: &StoredSeal) -> Option<impl Iterator<Item = Mark> + '_> {
    let (marks, rest) = seal.marks.get(TOTAL..)?.as_chunks::<MARK>();
    let mark = |bytes: &[u8; MARK]| Mark {
        id: i64::from_be_bytes(std::array::from_fn(|at| bytes[at])),
        short: std::array::from_fn(|at| bytes[at + 8]),
    };
    rest.is_empty().then(|| marks.iter().map(mark))
}

/// The hash of a seal: over all of it, and by way of its marks over all of its lines.
pub(crate) fn seal_hash(seal: &StoredSeal) -> Hash {
    let mut hash = Sha256::new();
    hash.update(SEAL);
    hash.update((seal.previous_hash.len() as u64).to_be_bytes());
    hash.update(&seal.previous_hash);
    for number in [
        seal.id,
        seal.first_id,
        seal.last_id,
        seal.row_count,
        seal.sealed_at,
    ] {
        hash.update(number.to_be_bytes());
    }
    hash.update((seal.marks.len() as u64).to_be_bytes());
    hash.update(&seal.marks);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> StoredLine {
        StoredLine {
            id: 1,
            at: 5,
            texts: Default::default(),
        }
    }

    #[test]
    fn what_stands_in_one_column_is_not_the_same_in_another() {
        let mut buffer = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for at in 0..9 {
            for text in [&b""[..], b"a", b"a\0", b"ab"] {
                let mut line = line();
                line.texts[at] = Some(text.to_vec());
                assert!(seen.insert(line_hash(&line, &mut buffer)));
            }
        }
        let mut two = line();
        two.texts[0] = Some(b"a".to_vec());
        two.texts[1] = Some(b"b".to_vec());
        assert!(seen.insert(line_hash(&two, &mut buffer)));
        assert!(seen.insert(line_hash(&line(), &mut buffer)));
        two.at += 1;
        assert!(seen.insert(line_hash(&two, &mut buffer)));
        // Its place is no part of it.
        two.id += 1;
        assert!(!seen.insert(line_hash(&two, &mut buffer)));
    }
}
