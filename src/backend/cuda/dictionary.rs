//! Strings and bytes on the device are codes of one dictionary, which lives on the host, where they
//! are not views.
//!
//! All columns of all batches that are alive at one time share it, so that equal strings have
//! equal codes wherever they came from; a string and bytes that are equal have one code, too. It goes when the last batch goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use arrow::buffer::NullBuffer;

use super::tables::Tables;
use super::text::HostText;
use crate::error::{Error, Result};

/// Most entries: codes take 31 bits in a packed key.
const ENTRIES_MAX: usize = 1 << 31;

/// Stands for a string that has no code yet.
const UNKNOWN: u32 = u32::MAX;

/// Bits of a code.
pub(super) const CODE_BITS: u32 = 31;

#[derive(Debug, Default)]
struct Entries {
    codes: HashMap<Arc<[u8]>, u32, ahash::RandomState>,
    values: Vec<Arc<[u8]>>,
}

/// Distinct strings and their codes. Entries are only ever added.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    entries: RwLock<Entries>,
    /// What functions give for the entries.
    pub(super) tables: Tables,
}

impl Dictionary {
    /// The codes of strings; a null gets code 0. Batches mostly bring strings that are known, so
    /// that several threads look them up at one time; only new ones are added alone.
    pub(super) fn encode<'a>(
        &self,
        strings: impl Iterator<Item = Option<&'a [u8]>> + Clone,
    ) -> Result<Vec<u32>> {
        let mut codes = Vec::with_capacity(strings.size_hint().0);
        let mut missing = false;
        {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            let mut last: Option<(&[u8], u32)> = None; // neighbours are often equal
            for string in strings.clone() {
                let code = match (string, last) {
                    (None, _) => 0,
                    (Some(string), Some((before, code))) if string == before => code,
                    (Some(string), _) => {
                        let code = entries.codes.get(string).copied().unwrap_or(UNKNOWN);
                        last = Some((string, code));
                        code
                    }
                };
                missing |= code == UNKNOWN;
                codes.push(code);
            }
        }
        if missing {
            let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
            for (code, string) in codes.iter_mut().zip(strings) {
                if let (UNKNOWN, Some(string)) = (*code, string) {
                    *code = entries.code(string)?;
                }
            }
        }
        Ok(codes)
    }

    /// Shows every string from code `start` on, in the order of the codes.
    pub(super) fn for_each_from(&self, start: usize, mut show: impl FnMut(&[u8])) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let new = entries.values.iter().skip(start);
        new.for_each(|string| show(string));
    }

    /// The codes of all entries in the order of their bytes.
    pub(super) fn codes_in_order(&self) -> Vec<u32> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut codes: Vec<u32> = (0..entries.values.len() as u32).collect();
        codes.sort_unstable_by_key(|code| &entries.values[*code as usize]);
        codes
    }

    /// Number of entries by now.
    pub(super) fn count(&self) -> usize {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values.len()
    }

    /// The entries from a code on.
    pub(super) fn values_from(&self, code: usize) -> Vec<Arc<[u8]>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values.get(code..).unwrap_or_default().to_vec()
    }

    /// A word for each entry, by code.
    pub(super) fn map(&self, word: impl Fn(&[u8]) -> u64) -> Vec<u64> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values.iter().map(|value| word(value)).collect()
    }

    /// What codes stand for; a null is empty, whatever its code.
    pub(super) fn decode(
        &self,
        codes: impl Iterator<Item = u32>,
        nulls: Option<&NullBuffer>,
    ) -> Result<HostText> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = HostText::with_capacity(codes.size_hint().0);
        for (row, code) in codes.enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                text.push(&[]);
                continue;
            }
            let gone = || Error::invalid("dictionary", "a code has no entry", "");
            text.push(entries.values.get(code as usize).ok_or_else(gone)?);
        }
        Ok(text)
    }
}

impl Entries {
    fn code(&mut self, string: &[u8]) -> Result<u32> {
        if let Some(code) = self.codes.get(string) {
            return Ok(*code);
        }
        if self.values.len() >= ENTRIES_MAX {
            let reason = "more than 2^31 different strings at one time";
            return Err(Error::unsupported("cuda", "strings", reason));
        }
        let code = self.values.len() as u32;
        let shared: Arc<[u8]> = Arc::from(string);
        self.codes.insert(Arc::clone(&shared), code);
        self.values.push(shared);
        Ok(code)
    }
}

/// Where the dictionary of the moment is found.
#[derive(Debug, Default)]
pub(super) struct DictionaryPlace {
    current: Mutex<Weak<Dictionary>>,
}

impl DictionaryPlace {
    /// The dictionary of the batches that are alive, or a new one if there are none.
    pub(super) fn get(&self) -> Arc<Dictionary> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.upgrade().unwrap_or_else(|| {
            let dictionary = Arc::default();
            *current = Arc::downgrade(&dictionary);
            dictionary
        })
    }
}
