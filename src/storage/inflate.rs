//! Pages whose compressed bytes hold more than their header says.
//!
//! Some codecs are decoded until their input ends, whatever size the page header gives: a few
//! kilobytes can become gigabytes. A page that could become too large in this way is inflated
//! here first, into nothing, and no further than its declared size.

use std::io::{self, Read};

use super::pages::Codec;

/// A decoder and the most bytes that one byte can become under it.
fn decoder<'a>(codec: Codec, bytes: &'a [u8]) -> Option<(Box<dyn Read + 'a>, u64)> {
    const BUFFER_BYTES: usize = 1 << 16;
    match codec {
        Codec::Gzip => Some((Box::new(flate2::read::MultiGzDecoder::new(bytes)), 1032)),
        Codec::Brotli => Some((
            Box::new(brotli::Decompressor::new(bytes, BUFFER_BYTES)),
            u64::MAX,
        )),
        Codec::Lz4 => Some((Box::new(lz4_flex::frame::FrameDecoder::new(bytes)), 255)),
        // The others are told how much they may write.
        _ => None,
    }
}

/// Whether a page of so many compressed bytes needs a look by [`exceeds`]: whether it could become more than
/// `bytes_max` bytes.
pub(super) fn is_suspect(codec: Codec, compressed: u64, bytes_max: u64) -> bool {
    decoder(codec, &[])
        .is_some_and(|(_, factor_max)| compressed.saturating_mul(factor_max) > bytes_max)
}

/// Whether compressed bytes become more than `declared` bytes. Bytes that cannot be decoded are
/// the decoder's to report.
pub(super) fn exceeds(codec: Codec, bytes: &[u8], declared: u64) -> bool {
    let Some((decoder, _)) = decoder(codec, bytes) else {
        return false;
    };
    let mut decoder = decoder.take(declared.saturating_add(1));
    io::copy(&mut decoder, &mut io::sink()).is_ok_and(|found| found > declared)
}

/// The size that compressed bytes declare themselves, of a codec that has it in front. The host's
/// decoder fills what is missing with zeros.
pub(super) fn declared(codec: Codec, bytes: &[u8]) -> Option<u64> {
    if codec != Codec::Snappy {
        return None;
    }
    let mut sum = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        sum |= u64::from(byte & 127) << (7 * index);
        if byte & 128 == 0 {
            return Some(sum);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_bomb_is_found_without_being_inflated() {
        let zeros = vec![0; 1 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, 4096, 9, 22)
            .write_all(&zeros)
            .unwrap();

        for (codec, bytes) in [(Codec::Gzip, gzip), (Codec::Brotli, brotli)] {
            assert!(bytes.len() < 4096);
            assert!(is_suspect(codec, bytes.len() as u64, 1 << 20));
            assert!(!exceeds(codec, &bytes, 1 << 20));
            assert!(exceeds(codec, &bytes, 100));
        }
        assert!(!is_suspect(Codec::Snappy, u64::MAX, 1));
        assert_eq!(declared(Codec::Snappy, &[0xac, 2, 0]), Some(300));
        assert_eq!(declared(Codec::Snappy, &[0xac]), None);
        assert_eq!(declared(Codec::Lz4Raw, &[5]), None);
    }
}
