//! What functions give for every entry of a dictionary: evaluated once per entry on the host, then a
//! lookup per row on the device.
//!
//! A table belongs to its dictionary and goes with it; so do the automata of patterns over strings that
//! are no entries. A table grows when the dictionary has grown. Results
//! that are strings become entries of the dictionary themselves where the function gives them back
//! unchanged (`upper`, a prefix), so that the dictionary stops growing; else they are views.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::cast::{CastEntries, CastTable};
use super::dictionary::Dictionary;
use super::order::TextOrder;
use crate::backend::strings::Prepared;
use crate::device::DeviceBuffer;
use crate::error::Result;
use crate::kernels::Launch;
use crate::kernels::strings::{Dfa, Table};
use crate::types::{DataType, PhysicalType};

/// Buffers that views of one table point into, before they are brought together.
const TEXTS_MAX: usize = 16;

type Casts = HashMap<(DataType, DataType), Arc<Mutex<CastEntries>>>;

/// How the strings that a function gives are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Results {
    /// As codes of the dictionary.
    Codes,
    /// As views.
    Views,
}

/// What a table has for an entry.
pub(super) enum OfEntry {
    /// What a function of strings gives; of bytes that are no string, something.
    Strings(Prepared),
    /// The entry itself, as a view.
    Itself,
    /// Its place among ascending bounds: 2 *i* + 1 if it is bound *i*, else twice the bounds below it.
    Place(Arc<[Box<[u8]>]>),
}

/// The tables of one dictionary.
#[derive(Default)]
pub(super) struct Tables {
    of_functions: Mutex<HashMap<String, Arc<Mutex<Entries>>>>,
    /// What casts give for the entries, by the types that they are cast from and to.
    casts: Mutex<Casts>,
    /// The order of the entries, when somebody last asked.
    order: Mutex<Option<TextOrder>>,
    /// What patterns became for strings that are no entries; none, if nothing.
    automata: Mutex<HashMap<String, Option<Arc<Dfa>>>>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

/// A function's value for the first entries of a dictionary.
struct Entries {
    function: OfEntry,
    results: Results,
    count: usize,
    /// Bits or words, as they lie on the device.
    values: Vec<u8>,
    /// Strings behind one another, where the results are views, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    texts: Vec<Arc<DeviceBuffer>>,
    table: Option<Table>,
}

impl Tables {
    /// The value of a function for every entry that the dictionary has by now. `name` is the function
    /// with its constants; `make` is called for the first of that name.
    pub(super) fn get(
        &self,
        launch: &Launch,
        dictionary: &Dictionary,
        (name, results): (String, Results),
        make: impl FnOnce() -> Result<OfEntry>,
    ) -> Result<Table> {
        let entries = {
            let mut tables = lock(&self.of_functions);
            match tables.get(&name) {
                Some(entries) => Arc::clone(entries),
                None => {
                    let entries = Arc::new(Mutex::new(Entries::new(make()?, results)));
                    tables.insert(name, Arc::clone(&entries));
                    entries
                }
            }
        };
        let mut entries = lock(&entries);
        let added = dictionary.values_from(entries.count);
        match &entries.table {
            Some(table) if added.is_empty() => Ok(table.clone()),
            _ => {
                let extended = entries.extend(launch, dictionary, &added);
                if extended.is_err() {
                    entries.clear(); // half of it may be there
                }
                extended
            }
        }
    }

    /// The automaton of a function over strings that are no entries; `make` is called for the first of
    /// that name.
    pub(super) fn automaton(
        &self,
        name: String,
        make: impl FnOnce() -> Result<Option<Dfa>>,
    ) -> Result<Option<Arc<Dfa>>> {
        let mut automata = lock(&self.automata);
        if let Some(known) = automata.get(&name) {
            return Ok(known.clone());
        }
        let made = make()?.map(Arc::new);
        automata.insert(name, made.clone());
        Ok(made)
    }

    /// What a cast gives for every entry that the dictionary has by now.
    pub(super) fn cast(
        &self,
        launch: &Launch,
        dictionary: &Dictionary,
        from: &DataType,
        to: &DataType,
    ) -> Result<CastTable> {
        let entries = {
            let mut casts = lock(&self.casts);
            let entries = casts.entry((from.clone(), to.clone())).or_default();
            Arc::clone(entries)
        };
        lock(&entries).get(launch, dictionary, from, to)
    }

    /// The order of the entries that there are by now.
    pub(super) fn order(&self, launch: &Launch, dictionary: &Dictionary) -> Result<TextOrder> {
        let mut order = lock(&self.order);
        if let Some(order) = &*order
            && order.entries() == dictionary.count() as u64
        {
            return Ok(order.clone());
        }
        let now = TextOrder::new(launch, dictionary)?;
        *order = Some(now.clone());
        Ok(now)
    }
}

impl Entries {
    fn new(function: OfEntry, results: Results) -> Entries {
        Entries {
            function,
            results,
            count: 0,
            values: Vec::new(),
            text: Vec::new(),
            ends: Vec::new(),
            texts: Vec::new(),
            table: None,
        }
    }

    fn clear(&mut self) {
        self.count = 0;
        self.values.clear();
        self.text.clear();
        self.ends.clear();
        self.texts.clear();
        self.table = None;
    }

    /// The table with these entries behind those that it has.
    fn extend(
        &mut self,
        launch: &Launch,
        dictionary: &Dictionary,
        added: &[Arc<[u8]>],
    ) -> Result<Table> {
        // No row of strings has an entry that is none.
        let strings = added.iter();
        let strings = strings.map(|entry| std::str::from_utf8(entry).unwrap_or_default());
        let physical = match (&self.function, self.results) {
            (OfEntry::Strings(Prepared::Boolean(of)), _) => {
                for (index, entry) in (self.count..).zip(strings) {
                    if index.is_multiple_of(8) {
                        self.values.push(0);
                    }
                    if let Some(byte) = self.values.last_mut() {
                        *byte |= u8::from(of(entry)) << (index % 8);
                    }
                }
                PhysicalType::Boolean
            }
            (OfEntry::Strings(Prepared::Integer(of)), _) => {
                let words = strings.flat_map(|entry| of(entry).to_ne_bytes());
                self.values.extend(words);
                PhysicalType::Int32
            }
            (OfEntry::Strings(Prepared::Text(of)), Results::Codes) => {
                let strings: Vec<_> = strings.collect();
                let results: Vec<_> = strings.iter().map(|entry| of(entry)).collect();
                let results = results.iter().map(|result| Some(result.as_bytes()));
                let codes = dictionary.encode(results)?;
                self.values
                    .extend(codes.iter().flat_map(|code| code.to_ne_bytes()));
                PhysicalType::UInt32
            }
            (OfEntry::Strings(Prepared::Text(of)), Results::Views) => {
                for entry in strings {
                    self.text.extend(of(entry).as_bytes());
                    self.ends.push(self.text.len());
                }
                self.place(launch)?;
                PhysicalType::View
            }
            (OfEntry::Itself, _) => {
                for entry in added {
                    self.text.extend(entry.iter());
                    self.ends.push(self.text.len());
                }
                self.place(launch)?;
                PhysicalType::View
            }
            (OfEntry::Place(bounds), _) => {
                let words = added.iter().map(|entry| place(bounds, entry));
                self.values.extend(words.flat_map(i32::to_ne_bytes));
                PhysicalType::Int32
            }
        };
        let table = Table {
            physical,
            values: Arc::new(launch.device().upload(launch.stream(), &self.values)?),
            entries: (self.count + added.len()) as u64,
            kept: Arc::from(self.texts.as_slice()),
        };
        self.count += added.len();
        self.table = Some(table.clone());
        Ok(table)
    }

    /// Uploads the strings that no view points to, and makes their views.
    fn place(&mut self, launch: &Launch) -> Result<()> {
        if self.texts.len() >= TEXTS_MAX {
            self.texts.clear();
            self.values.clear();
        }
        let first = self.values.len() / 16;
        let start = first.checked_sub(1).map_or(0, |last| self.ends[last]);
        let buffer = launch
            .device()
            .upload(launch.stream(), &self.text[start..])?;
        let mut begin = start;
        for end in &self.ends[first..] {
            let address = buffer.address() + (begin - start) as u64;
            self.values.extend(address.to_ne_bytes());
            self.values.extend(((end - begin) as u64).to_ne_bytes());
            begin = *end;
        }
        self.texts.push(Arc::new(buffer));
        Ok(())
    }
}

/// Where bytes are among ascending bounds, as `OfEntry::Place` says.
pub(super) fn place(bounds: &[Box<[u8]>], bytes: &[u8]) -> i32 {
    let place = match bounds.binary_search_by(|bound| bound.as_ref().cmp(bytes)) {
        Ok(equal) => 2 * equal + 1,
        Err(below) => 2 * below,
    };
    i32::try_from(place).unwrap_or(i32::MAX) // there are far fewer bounds
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
