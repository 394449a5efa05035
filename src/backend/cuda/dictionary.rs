//! Strings on the device are codes of one dictionary, which lives on the host.
//!
//! All columns of all batches that are alive at one time share it, so that equal strings have
//! equal codes wherever they came from. It goes when the last batch goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use arrow::array::{StringBuilder, UInt32Array};

use super::tables::Tables;
use crate::error::{Error, Result};

/// Most entries: codes take 31 bits in a packed key.
const ENTRIES_MAX: usize = 1 << 31;

/// Stands for a string that has no code yet.
const UNKNOWN: u32 = u32::MAX;

/// Bits of a code.
pub(super) const CODE_BITS: u32 = 31;

#[derive(Debug, Default)]
struct Entries {
    codes: HashMap<Arc<str>, u32, ahash::RandomState>,
    values: Vec<Arc<str>>,
    /// The rank of each code among those that were there when somebody last asked.
    ranks: Arc<[u32]>,
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
        strings: impl Iterator<Item = Option<&'a str>> + Clone,
    ) -> Result<Vec<u32>> {
        let mut codes = Vec::with_capacity(strings.size_hint().0);
        let mut missing = false;
        {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            let mut last: Option<(&str, u32)> = None; // neighbours are often equal
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
    pub(super) fn for_each_from(&self, start: usize, mut show: impl FnMut(&str)) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let new = entries.values.iter().skip(start);
        new.for_each(|string| show(string));
    }

    /// The rank of each code in the order of the strings' bytes. Ranks of one answer compare with
    /// each other, and with none of another answer.
    pub(super) fn ranks(&self) -> Arc<[u32]> {
        {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            if entries.ranks.len() == entries.values.len() {
                return Arc::clone(&entries.ranks);
            }
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let mut codes: Vec<u32> = (0..entries.values.len() as u32).collect();
        codes.sort_unstable_by_key(|code| &entries.values[*code as usize]);
        let mut ranks = vec![0; codes.len()];
        for (rank, code) in (0..).zip(codes) {
            ranks[code as usize] = rank;
        }
        entries.ranks = ranks.into();
        Arc::clone(&entries.ranks)
    }

    /// Number of entries by now.
    pub(super) fn count(&self) -> usize {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values.len()
    }

    /// The entries from a code on.
    pub(super) fn values_from(&self, code: usize) -> Vec<Arc<str>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values.get(code..).unwrap_or_default().to_vec()
    }

    /// A word for each entry, by code.
    pub(super) fn map(&self, word: impl Fn(&str) -> u64) -> Vec<u64> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values.iter().map(|value| word(value)).collect()
    }

    /// The rank of each code in the order of the strings' bytes, and the code of each rank.
    pub(super) fn order(&self) -> (Vec<u64>, Vec<u64>) {
        let ranks = self.ranks();
        let mut codes = vec![0; ranks.len()];
        for (code, rank) in (0..).zip(ranks.iter()) {
            codes[*rank as usize] = code;
        }
        (ranks.iter().copied().map(u64::from).collect(), codes)
    }

    /// Appends the strings of codes.
    pub(super) fn decode(&self, codes: &UInt32Array, strings: &mut StringBuilder) -> Result<()> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        for code in codes {
            match code.map(|code| entries.values.get(code as usize)) {
                None => strings.append_null(),
                Some(Some(value)) => strings.append_value(value),
                Some(None) => {
                    return Err(Error::invalid("dictionary", "a code has no entry", ""));
                }
            }
        }
        Ok(())
    }
}

impl Entries {
    fn code(&mut self, string: &str) -> Result<u32> {
        if let Some(code) = self.codes.get(string) {
            return Ok(*code);
        }
        if self.values.len() >= ENTRIES_MAX {
            let reason = "more than 2^31 different strings at one time";
            return Err(Error::unsupported("cuda", "strings", reason));
        }
        let code = self.values.len() as u32;
        let shared: Arc<str> = Arc::from(string);
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
