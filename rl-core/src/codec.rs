//! The only module that serialises values to bytes and back; the columns of a replay memory are plain numbers beside it.
//!
//! A message is `magic (8) | format version (4) | payload length (8) | CRC-32 of the payload (4) | payload`,
//! little-endian; the payload is bincode 1.3 with fixed-width integers. Decoding verifies all of it before it builds
//! a value, and a length inside the payload is not believed: ahead of its elements a list takes room for as many as the
//! payload has bytes, and at most 1 MiB.

use crate::bounded::bounded;
use crate::{Error, Result};
use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

const MAGIC: &[u8; 8] = b"RLSTATE\n";
/// The format version; incremented when a stored layout changes.
pub const FORMAT_VERSION: u32 = 7;
const HEADER: usize = 24;

fn options(limit: u64) -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(limit)
}

/// The CRC-32 of bytes, as it is kept of every file.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Encodes `value` with a header and a checksum.
///
/// ```
/// use rl_core::codec;
/// let bytes = codec::encode(&vec![1.5f32, 2.5])?;
/// assert_eq!(codec::decode::<Vec<f32>>("example", &bytes)?, [1.5, 2.5]);
/// assert!(codec::decode::<Vec<f32>>("example", &bytes[..bytes.len() - 1]).is_err());
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Corrupt`] for values that cannot be encoded.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let payload =
        options(u64::MAX).serialize(value).map_err(|e| Error::corrupt("a value to be saved", e))?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&checksum(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// Decodes bytes written by [`encode`]; `what` names the source in errors.
///
/// # Errors
/// [`Error::Corrupt`] for bytes that are in another format, truncated, damaged, of another type, or written by a
/// newer version of this library.
pub fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let corrupt = |problem: String| Error::corrupt(what, problem);
    let Some((header, payload)) = bytes.split_at_checked(HEADER) else {
        return Err(corrupt(format!("truncated: {} bytes, shorter than a header", bytes.len())));
    };
    let field = |from: usize, len: usize| {
        header.iter().skip(from).take(len).rev().fold(0u64, |acc, &b| acc << 8 | u64::from(b))
    };
    if !header.starts_with(MAGIC) {
        return Err(corrupt("not a file of this library".into()));
    }
    let version = field(8, 4);
    if version != u64::from(FORMAT_VERSION) {
        return Err(corrupt(format!(
            "has format version {version}; this library reads version {FORMAT_VERSION}"
        )));
    }
    let length = field(12, 8);
    if length != payload.len() as u64 {
        return Err(corrupt(format!("truncated: {} of {length} bytes", payload.len())));
    }
    if field(20, 4) != u64::from(checksum(payload)) {
        return Err(corrupt("damaged: the checksum does not match".into()));
    }
    // An element takes a byte at least.
    let decoded = options(length).deserialize_seed(bounded(payload.len()), payload);
    decoded.map_err(|e| corrupt(format!("unexpected content: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Value = (Vec<f32>, Option<String>, u64);

    proptest! {
        #[test]
        fn round_trip_is_exact(v in prop::collection::vec(any::<u32>(), 0..40), s: Option<String>, n: u64) {
            let value: (Vec<u32>, Option<String>, u64) = (v, s, n);
            let back: (Vec<u32>, Option<String>, u64) = decode("t", &encode(&value).unwrap()).unwrap();
            prop_assert_eq!(back, value);
        }

        #[test]
        fn any_flipped_bit_is_noticed(byte in 0usize..200, bit in 0u8..8) {
            let value: Value = (vec![1.0; 30], Some("abc".into()), 7);
            let mut bytes = encode(&value).unwrap();
            let byte = byte % bytes.len();
            bytes[byte] ^= 1 << bit;
            prop_assert!(decode::<Value>("t", &bytes).is_err());
        }

        #[test]
        fn noise_is_an_error_not_a_panic(bytes: Vec<u8>) {
            prop_assert!(decode::<Value>("t", &bytes).is_err());
        }

        #[test]
        fn every_truncation_is_noticed(keep in 0usize..100) {
            let bytes = encode(&(vec![1.0f32; 30], None::<String>, 7u64)).unwrap();
            prop_assert!(decode::<Value>("t", &bytes[..keep]).is_err());
        }
    }

    #[test]
    fn a_lying_length_does_not_allocate() {
        // A correctly framed vector with a claimed length of 2^60 elements.
        let mut bytes = encode(&(1u64 << 60)).unwrap();
        assert!(decode::<Vec<u64>>("t", &bytes).is_err());
        bytes.truncate(10);
        assert!(decode::<Vec<u64>>("t", &bytes).is_err());
    }

    #[test]
    fn newer_and_foreign_files_are_told_apart() {
        let mut bytes = encode(&1u8).unwrap();
        bytes[8] = 9;
        let e = decode::<u8>("state", &bytes).unwrap_err().to_string();
        let expected = format!("has format version 9; this library reads version {FORMAT_VERSION}");
        assert_eq!(e, format!("state: {expected}"));
        bytes[0] = 0;
        let e = decode::<u8>("state", &bytes).unwrap_err().to_string();
        assert_eq!(e, "state: not a file of this library");
    }
}
