//! Checksums of pages whose bytes pass by in portions.

use crc32fast::Hasher;

use super::{Page, PageProblem};

/// Compares pages with their checksums, where they have any, while a column chunk's bytes pass by.
#[derive(Debug, Default)]
pub struct PageChecksums {
    /// Bytes that have passed.
    passed: u64,
    /// The first page whose body has not passed wholly.
    page: usize,
    hasher: Hasher,
}

impl PageChecksums {
    /// The chunk's next bytes. `pages` are those whose headers end within the bytes so far.
    ///
    /// # Errors
    /// `Corrupt` for the first page whose bytes are not those that were written.
    pub fn feed(&mut self, pages: &[Page], portion: &[u8]) -> Result<(), PageProblem> {
        let end = self.passed + portion.len() as u64;
        while let Some(page) = pages.get(self.page) {
            let body_end = page.body_start + u64::from(page.compressed_bytes);
            let from = page.body_start.max(self.passed);
            let to = body_end.min(end);
            if from < to && page.crc.is_some() {
                let within = |at: u64| usize::try_from(at - self.passed).unwrap_or(usize::MAX);
                let bytes = portion.get(within(from)..within(to)).unwrap_or_default();
                self.hasher.update(bytes);
            }
            if body_end > end {
                break;
            }
            let found = std::mem::take(&mut self.hasher).finalize();
            page.compare_crc(found)
                .map_err(|cause| PageProblem::Corrupt {
                    page: self.page,
                    cause,
                })?;
            self.page += 1;
        }
        self.passed = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(body_start: u64, body: &[u8], crc: Option<u32>) -> Page {
        Page {
            crc,
            ..Page::sample(body_start, body, 0)
        }
    }

    #[test]
    fn checksums_are_found_wherever_the_portions_end() {
        let bytes = b"..abcdefgh..12345....";
        let crc = |body: &[u8]| Some(crc32fast::hash(body));
        let good = [
            page(2, b"abcdefgh", crc(b"abcdefgh")),
            page(12, b"12345", crc(b"12345")),
            page(19, b"", crc(b"")),
        ];
        let with = |second: Option<u32>| {
            let mut pages = good.clone();
            pages[1].crc = second;
            pages
        };
        for portion in 1..=bytes.len() {
            let verdict = |pages: &[Page]| {
                let mut checksums = PageChecksums::default();
                let mut passed = 0;
                bytes.chunks(portion).try_for_each(|portion| {
                    passed += portion.len() as u64;
                    let known = pages.partition_point(|page| page.body_start <= passed);
                    checksums.feed(&pages[..known], portion)
                })
            };
            assert_eq!(verdict(&good), Ok(()), "portions of {portion}");
            assert_eq!(verdict(&with(None)), Ok(()), "portions of {portion}");
            let wrong = verdict(&with(Some(1)));
            assert!(
                matches!(wrong, Err(PageProblem::Corrupt { page: 1, .. })),
                "portions of {portion}: {wrong:?}"
            );
        }
    }
}
