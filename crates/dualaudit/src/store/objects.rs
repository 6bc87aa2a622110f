//! Kept objects taken out of their compression.

use dualaudit_record::digest::Digest;
use zstd::bulk::Decompressor;

use super::ObjectDigest;

/// More bytes than an object has, compressed or not: etcd takes 1.5 MiB unless told otherwise, and
/// a record has at most 2 MiB. A few bytes can be made to decompress to any length.
pub(super) const MAX_OBJECT: usize = 16 << 20;

/// Whether an object is what an erasure leaves of one.
pub(super) fn is_empty(object: &ObjectDigest) -> bool {
    *object == Ok(Digest::sha256(b""))
}

/// Decompresses one object after the other into the same memory, [`MAX_OBJECT`] at most.
#[derive(Default)]
pub(super) struct Objects {
    decompressor: Decompressor<'static>,
    object: Vec<u8>,
}

impl Objects {
    /// SHA-256 of an object's bytes.
    pub(super) fn digest(&mut self, compressed: &[u8]) -> ObjectDigest {
        self.bytes(compressed).map(Digest::sha256)
    }

    /// An object's bytes, until the next.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub(super) fn bytes(&mut self, compressed: &[u8]) -> Result<&[u8], String> {
        self.object.clear();
        // As much as is ever written to it: a buffer that is full is an error, not made longer.
        self.object.reserve_exact(MAX_OBJECT);
        match self.decompressor.decompress_to_buffer(compressed, &mut self.object) {
            Ok(_) => Ok(&self.object),
            Err(error) => Err(format!("it does not decompress to at most {MAX_OBJECT} bytes: {error}")),
        }
    }
}

/// The bytes of the object that an entry keeps, if an erasure left them; it was read only where it is not too long.
///
/// # Errors
/// Which cannot be read, and why.
pub(super) fn taken_out(log: &str, index: u64, compressed: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
    let too_long = || format!("it has more than {MAX_OBJECT} bytes before it is decompressed");
    let mut objects = Objects::default();
    let bytes = compressed.ok_or_else(too_long).and_then(|compressed| objects.bytes(compressed));
    let kept = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
    bytes.map(kept).map_err(|why| format!("log {log}, entry {index}, its object: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(compressed: &[u8]) -> ObjectDigest {
        Objects::default().digest(compressed)
    }

    #[test]
    fn objects_have_the_digest_of_their_bytes_one_after_the_other() {
        let mut objects = Objects::default();
        for object in [&b"{\"a\":1}"[..], b"", &[7; MAX_OBJECT], b"{}"] {
            let compressed = zstd::bulk::compress(object, 3).unwrap();
            assert_eq!(objects.digest(&compressed), Ok(Digest::sha256(object)));
        }
    }

    #[test]
    fn what_is_too_large_or_no_object_is_said_and_not_kept() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 26], 1).unwrap();
        assert!(bomb.len() < MAX_OBJECT);
        let too_large = digest(&zstd::bulk::compress(&[7; MAX_OBJECT + 1], 3).unwrap());
        insta::assert_snapshot!(too_large.unwrap_err(), @"it does not decompress to at most 16777216 bytes: Destination buffer is too small");
        let mut cut = zstd::bulk::compress(b"{\"a\":1}", 3).unwrap();
        cut.pop();
        for other in [&bomb[..], &cut, b"{}", &[0; 100]] {
            digest(other).unwrap_err();
        }
    }
}
