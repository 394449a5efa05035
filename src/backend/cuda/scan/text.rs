//! The dictionaries of string columns: what their entries are called in the batches' dictionary.

use crate::backend::cuda::dictionary::Dictionary;
use crate::error::Result;
use crate::storage::{Page, PageEncoding, PageKind, PageProblem};

use super::fetch::{Fetched, FetchedColumn};

/// True if every value of the column is an index into a dictionary that the host has seen.
pub(super) fn all_in_dictionaries(column: &FetchedColumn) -> bool {
    let indexed = |page: &Page| {
        page.kind == PageKind::Dictionary
            || matches!(
                page.encoding,
                PageEncoding::PlainDictionary | PageEncoding::RleDictionary
            )
    };
    let of_chunk = |chunk: &Fetched| {
        chunk.pages.iter().all(indexed) && (chunk.pages.is_empty() || chunk.dictionary.is_some())
    };
    column.chunks.iter().all(of_chunk)
}

/// The code of each entry of a chunk's dictionary.
///
/// # Errors
/// `Corrupt` if the dictionary is not what its header says, or not UTF-8.
pub(super) fn codes(dictionary: &Dictionary, chunk: &Fetched) -> Result<Vec<u32>> {
    let Some(page) = chunk.pages.first() else {
        return Ok(Vec::new());
    };
    let body = chunk.dictionary_body()?;
    match entries(&body, page.value_count) {
        Ok(entries) => dictionary.encode(entries.iter().map(|entry| Some(entry.as_bytes()))),
        Err(cause) => {
            let problem = PageProblem::Corrupt { page: 0, cause };
            Err(chunk.stored.chunk()?.refuse(&problem))
        }
    }
}

/// The strings of a PLAIN page, each behind its length in 4 bytes.
fn entries(body: &[u8], count: u32) -> Result<Vec<&str>, String> {
    // An entry takes at least 4 bytes, so that a count that lies allocates no more than the page.
    let mut found = Vec::with_capacity((count as usize).min(body.len() / 4));
    let mut left = body;
    for _ in 0..count {
        let Some((length, rest)) = left.split_first_chunk::<4>() else {
            return Err(format!("its dictionary ends after {} entries", found.len()));
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((entry, rest)) = rest.split_at_checked(length) else {
            return Err(format!(
                "entry {} of its dictionary is cut off",
                found.len()
            ));
        };
        let entry = std::str::from_utf8(entry);
        found.push(entry.map_err(|_| "a string is not UTF-8".to_string())?);
        left = rest;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_strings_behind_lengths() {
        let body = [1, 0, 0, 0, b'a', 0, 0, 0, 0, 2, 0, 0, 0, 0xc3, 0xa9];
        assert_eq!(entries(&body, 3), Ok(vec!["a", "", "é"]));
        assert_eq!(entries(&body, 2), Ok(vec!["a", ""]));
        assert!(entries(&body, 4).is_err(), "an entry is missing");
        assert!(entries(&body[..14], 3).is_err(), "the last one is cut off");
        assert!(entries(&[1, 0, 0, 0, 0xff], 1).is_err(), "not UTF-8");
        assert!(entries(&[], u32::MAX).is_err(), "a count that lies");
    }
}
