//! The strings of keys: they stay where their batches had them, until these hold on to too much.

use std::sync::Arc;

use super::super::text::text_collect;
use super::{GroupTable, abi, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::Result;
use crate::kernels::Launch;
use crate::types::PhysicalType;

/// Buffers that strings lie in, each once. Batches hold strings of all of their rows, a table needs one
/// of each group: they are brought together when they hold on to more than
/// [`GroupTuning::text_bytes_min`](super::GroupTuning), and to half as much again as the last time.
#[derive(Debug, Default)]
pub(super) struct Texts {
    buffers: Vec<Arc<DeviceBuffer>>,
    /// Bytes from which on they are brought together.
    held_max: Option<u64>,
}

impl Texts {
    pub(super) fn buffers(&self) -> &[Arc<DeviceBuffer>] {
        &self.buffers
    }

    pub(super) fn add(&mut self, more: &[Arc<DeviceBuffer>]) {
        for buffer in more {
            if !self.buffers.iter().any(|known| Arc::ptr_eq(known, buffer)) {
                self.buffers.push(Arc::clone(buffer));
            }
        }
    }

    /// Says that what follows on the launch's stream reads them.
    pub(super) fn order_read(&self, launch: &Launch) -> Result<()> {
        let mut buffers = self.buffers.iter();
        buffers.try_for_each(|buffer| buffer.order_read(launch.stream()))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.buffers.iter().map(|buffer| buffer.bytes()).sum()
    }
}

impl GroupTable {
    /// Brings the strings of all groups together where their buffers hold on to too much, and lets go of
    /// these. Waits for the stream if it does.
    pub(super) fn gather_texts(&mut self, launch: &Launch) -> Result<()> {
        let held_max = self.texts.held_max.unwrap_or(self.tuning.text_bytes_min);
        if self.texts.bytes() <= held_max {
            return Ok(());
        }
        let list = self.list(launch)?;
        let keys = 0..self.layout.key_count();
        let texts = keys.filter(|key| self.layout.key(*key).1.physical == PhysicalType::View);
        let mut gathered = Vec::new();
        for key in texts {
            let column = self.emit_key(launch, &list, key)?;
            let (offsets, bytes, _) = text_collect(launch, &column, list.groups())?;
            self.entries.order_write(launch.stream())?;
            let params = abi::GroupByMoveTextParams {
                layout: self.layout.abi(),
                table: self.table(),
                bytes: address_of(&bytes),
                offsets: address_of(&offsets),
                slots: address_of(&list.slots),
                group_count: list.groups(),
                word: u64::from(self.layout.key(key).0.word + abi::GROUP_BY_TEXT_BYTES),
            };
            let grid = blocks(list.groups(), abi::GROUP_BY_TABLE_THREADS);
            // SAFETY: the offsets are of as many groups as the list has slots, all below the capacity.
            unsafe {
                launch.launch::<abi::GroupByMoveText>(grid, abi::GROUP_BY_TABLE_THREADS, 0, &params)
            }?;
            gathered.push(Arc::new(bytes));
        }
        self.texts.buffers = gathered;
        let least = self.tuning.text_bytes_min;
        self.texts.held_max = Some((self.texts.bytes() / 2 * 3).max(least));
        Ok(())
    }
}
