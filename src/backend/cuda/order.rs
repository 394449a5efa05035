//! The order of strings and bytes on the device: codes of a dictionary have none, their ranks do.

use std::sync::Arc;

use super::dictionary::Dictionary;
use crate::error::Result;
use crate::kernels::strings::{Table, lookup};
use crate::kernels::{DeviceColumn, DeviceRows, Launch};
use crate::types::PhysicalType;

/// The order of a dictionary's entries by their bytes, at one moment. Ranks of one order compare with
/// each other, and with none of another.
#[derive(Debug, Clone)]
pub(super) struct TextOrder {
    ranks: Table,
    codes: Table,
}

impl TextOrder {
    /// The order of the entries that there are now.
    pub(super) fn new(launch: &Launch, dictionary: &Dictionary) -> Result<TextOrder> {
        let codes = dictionary.codes_in_order();
        let mut ranks = vec![0u32; codes.len()];
        for (rank, code) in (0..).zip(&codes) {
            ranks[*code as usize] = rank;
        }
        let table = |words: &[u32]| {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            bytes.resize(bytes.len().max(4), 0); // a buffer is never empty
            Ok::<_, crate::Error>(Table {
                physical: PhysicalType::UInt32,
                values: Arc::new(launch.device().upload(launch.stream(), &bytes)?),
                entries: words.len() as u64,
                kept: Arc::default(),
            })
        };
        Ok(TextOrder {
            ranks: table(&ranks)?,
            codes: table(&codes)?,
        })
    }

    /// Number of entries that have a rank.
    pub(super) fn entries(&self) -> u64 {
        self.ranks.entries
    }

    /// The rank of each code.
    pub(super) fn ranks(
        &self,
        launch: &Launch,
        codes: &DeviceColumn,
        rows: &DeviceRows,
    ) -> Result<DeviceColumn> {
        lookup(launch, codes, &self.ranks, rows)
    }

    /// The code of each rank.
    pub(super) fn codes(
        &self,
        launch: &Launch,
        ranks: &DeviceColumn,
        rows: &DeviceRows,
    ) -> Result<DeviceColumn> {
        lookup(launch, ranks, &self.codes, rows)
    }
}
