//! JSON that says of itself whether it is as it was written.
//!
//! The seal alone would not see a changed blank or an escaped letter, so what was read is written
//! again and compared byte by byte.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::text::clean;
use crate::error::Error;

/// Larger documents are not looked at.
pub(crate) const LARGEST: u64 = 16 << 20;

/// Names no other field, so that a newer format is told from a damaged file.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The bytes of a document.
pub(super) fn bytes<T: Serialize>(document: &T, file: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(document)
        .map_err(|e| Error::damaged(file, format!("it cannot be written: {e}")))?;
    bytes.push(b'\n');
    if bytes.len() as u64 > LARGEST {
        return Err(Error::damaged(file, "it would be larger than 16 MiB"));
    }
    Ok(bytes)
}

/// SHA-256 in hex.
pub(super) fn of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Whether a text is a SHA-256 in hex.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Refuses a document of a newer format, which may have fields that are not known here.
pub(super) fn refuse_newer(file: &str, bytes: &[u8], known: u32) -> Result<(), Error> {
    if bytes.len() as u64 > LARGEST {
        return Err(Error::damaged(file, "it is larger than 16 MiB"));
    }
    match serde_json::from_slice(bytes) {
        Ok(Format { format }) if format > known => Err(Error::TooNew {
            name: file.to_owned(),
            reason: format!("its format is {format}, and {known} is known"),
        }),
        _ => Ok(()),
    }
}

/// Reads a document.
pub(super) fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, Error> {
    // What it says may repeat words of the document.
    serde_json::from_slice(bytes)
        .map_err(|e| Error::damaged(file, clean(&format!("it is no manifest: {e}"))))
}

/// Compares what was read with the bytes and with its seal.
pub(super) fn check<T: Serialize>(
    file: &str,
    read: &[u8],
    (document, seal): (&T, &str),
    unsealed: &T,
) -> Result<(), Error> {
    if bytes(document, file)? != read {
        return Err(Error::damaged(file, "it is not written as it was"));
    }
    if of(&bytes(unsealed, file)?) != seal {
        return Err(Error::damaged(file, "its seal does not fit"));
    }
    Ok(())
}
