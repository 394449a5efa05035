//! Launchers of `top_k`: which rows can be among the first `k`.
//!
//! [`TopKRows::list`] narrows the rows down, key by key and word by word, until few more than `k`
//! are left. Each step draws a sample, whose `k`-th word bounds that of all rows, and reads the key
//! once. Rows that tie with the bound are told apart by the bits and the keys that follow; where
//! nothing follows, the first ones win.

use std::sync::Arc;

use super::abi::{self, TopKKey};
use super::append::append_rows;
use super::gather::gather_rows;
use super::sort::{Order, SortInput, SortTuning, sort_rows};
use super::{DeviceColumn, DeviceRows, Launch, Status, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// Rows listed, in multiples of `k` and of what a sample leaves, that are sorted as they are.
const SLACK: (u64, u64) = (4, 2);

/// A word that no row among the first `k` is beyond.
#[derive(Debug)]
pub struct TopKBound {
    words: Arc<DeviceBuffer>,
    index: u64,
}

/// The rows of some keys, the most significant first.
#[derive(Debug, Clone, Copy)]
pub struct TopKRows<'a> {
    /// Where it runs.
    pub launch: Launch<'a>,
    /// The keys; any layout but views. What is wanted of them is not asked.
    pub keys: &'a [SortInput<'a>],
    /// Rows of each.
    pub rows: u64,
    /// What speed depends on.
    pub tuning: &'a SortTuning,
}

/// Some of the rows.
#[derive(Debug)]
pub struct TopKList {
    /// Their numbers (`UInt32`): rows that are equal in all keys are in order.
    pub numbers: DeviceColumn,
    /// How many.
    pub count: u64,
}

/// Rows that are left: all, or a list of numbers.
struct Left {
    numbers: Option<DeviceColumn>,
    count: u64,
}

impl Left {
    /// The first `count` of them.
    fn first(self, count: u64) -> Result<Left> {
        let numbers = match self
            .numbers
            .as_ref()
            .map(|numbers| (numbers, numbers.values()))
        {
            Some((numbers, Some(values))) => Some(DeviceColumn::array(
                numbers.physical(),
                Arc::clone(values),
                None,
                0,
                count,
            )?),
            _ => None,
        };
        Ok(Left { numbers, count })
    }
}

/// The words that a key's codes have.
fn levels(physical: PhysicalType) -> u32 {
    match physical.bits() {
        128 => 3,
        64 => 2,
        _ => 1, // the bit for null takes none of the value's
    }
}

impl TopKRows<'_> {
    /// Row numbers of which the first `k` rows by all keys are part, or none if those are all rows
    /// there are, or few enough. Rows beyond `bound` are left out. Waits for the stream.
    ///
    /// # Errors
    /// No memory is left, or what failed on the stream.
    ///
    /// # Panics
    /// Without keys, or if `k` is 0.
    pub fn list(&self, k: u64, bound: Option<&TopKBound>) -> Result<Option<TopKList>> {
        assert!(
            k > 0 && !self.keys.is_empty(),
            "there is something to select by"
        );
        let few = self.few(k);
        let steps = self.keys.iter().enumerate();
        let mut steps = steps.flat_map(|(key, input)| {
            (0..levels(input.column.physical())).map(move |level| (key, level))
        });
        let mut step = steps.next();
        let mut left = Left {
            numbers: None,
            count: self.rows,
        };
        if let Some(bound) = bound {
            left = self.filter(&left, (0, 0), bound, abi::TOP_K_UP_TO)?;
        }
        let (mut sure, mut missing) = (Vec::new(), k);
        let mut of_all = None; // a step at whose bound all rows are
        while left.count > few {
            let Some(own) = step else {
                left = left.first(missing)?; // equal in all keys: the first ones win
                if let (None, Some((own, bound))) = (&left.numbers, &of_all) {
                    left = self.filter(&left, *own, bound, abi::TOP_K_AT)?;
                }
                break;
            };
            let bound = self.sample(&left, own, missing)?;
            let up_to = self.filter(&left, own, &bound, abi::TOP_K_UP_TO)?;
            if up_to.count <= few.max(left.count / 2) {
                left = up_to;
                continue;
            }
            let below = self.filter(&left, own, &bound, abi::TOP_K_BELOW)?;
            if below.count >= missing {
                left = below;
                continue;
            }
            missing -= below.count;
            if below.count == 0 && up_to.count == left.count {
                of_all = Some((own, bound)); // nobody is out, so that nothing needs a list
            } else {
                left = self.filter(&left, own, &bound, abi::TOP_K_AT)?;
                sure.push(below);
            }
            step = steps.next();
        }
        if left.numbers.is_none() {
            return Ok(None);
        }
        sure.push(left);
        let count = sure.iter().map(|part| part.count).sum();
        let parts = sure.into_iter().filter(|part| part.count > 0);
        let parts = parts.filter_map(|part| Some(([part.numbers?], part.count)));
        let parts: Vec<([DeviceColumn; 1], u64)> = parts.collect();
        let parts: Vec<(&[DeviceColumn], u64)> = parts
            .iter()
            .map(|(column, count)| (&column[..], *count))
            .collect();
        let numbers = append_rows(&self.launch, &parts)?.pop();
        let nothing = || DeviceColumn::scalar(PhysicalType::UInt32, None, 0);
        Ok(Some(TopKList {
            numbers: numbers.unwrap_or_else(nothing),
            count,
        }))
    }

    /// The first word of the one row there is: a bound for rows that come later, if `k` rows are
    /// known that are not behind it.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn bound(&self) -> Result<TopKBound> {
        let words = self.draw(self.keys[0].column, (0, 0), self.rows, 1)?;
        Ok(TopKBound {
            words: Arc::new(words),
            index: 0,
        })
    }

    /// Rows that are sorted rather than narrowed down further.
    fn few(&self, k: u64) -> u64 {
        let by_sample = SLACK.1 * self.rows.saturating_mul(k).isqrt();
        (SLACK.0 * k)
            .max(by_sample)
            .max(2 * self.tuning.sample_rows_min)
    }

    fn key(&self, column: &DeviceColumn, (key, level): (usize, u32)) -> Result<TopKKey> {
        Ok(TopKKey {
            column: column.view(&self.launch)?,
            level,
            descending: u32::from(self.keys[key].descending),
            nulls_first: u32::from(self.keys[key].nulls_first),
            reserved: 0,
        })
    }

    /// A key's column, of the rows that are left.
    fn column(&self, left: &Left, key: usize) -> Result<DeviceColumn> {
        let column = self.keys[key].column;
        let Some(numbers) = &left.numbers else {
            return Ok(column.clone());
        };
        let status = Status::new(&self.launch, "gather_rows")?;
        let (rows, all) = (DeviceRows::known(left.count), DeviceRows::known(self.rows));
        let gathered = gather_rows(&self.launch, numbers, &rows, &[column], &all, &status)?;
        let gone = || Error::invalid("top_k", "a gathered key is missing", "");
        gathered.into_iter().next().ok_or_else(gone)
    }

    /// Words of `count` of the `rows` rows of a column.
    fn draw(
        &self,
        column: &DeviceColumn,
        step: (usize, u32),
        rows: u64,
        count: u64,
    ) -> Result<DeviceBuffer> {
        let words = self.launch.alloc(8 * count)?;
        let params = abi::TopKSampleParams {
            key: self.key(column, step)?,
            out_words: address_of(&words),
            row_count: rows,
            sample_count: count,
        };
        let grid = blocks(count, abi::TOP_K_THREADS);
        // SAFETY: the column has `rows` rows, at least `count`; `words` has room for each drawn.
        unsafe {
            self.launch
                .launch::<abi::TopKSample>(grid, abi::TOP_K_THREADS, 0, &params)
        }?;
        Ok(words)
    }

    /// A word that at least `k` of the rows left are not beyond, and few more.
    fn sample(&self, left: &Left, step: (usize, u32), k: u64) -> Result<TopKBound> {
        let count = left.count.saturating_mul(k).isqrt();
        let count = count.max(2 * k).max(self.tuning.sample_rows_min);
        let count = count.min(left.count);
        let column = self.column(left, step.0)?;
        let words = Arc::new(self.draw(&column, step, left.count, count)?);
        let drawn = DeviceColumn::array(PhysicalType::UInt64, Arc::clone(&words), None, 0, count)?;
        let input = SortInput {
            column: &drawn,
            descending: false,
            nulls_first: false,
            wanted: true,
        };
        let mut sorted = sort_rows(&self.launch, &[input], count, false, &SortTuning::default())?;
        let words = match (sorted.order, sorted.keys.pop().flatten()) {
            (Order::Kept, _) => Some(words),
            (_, sorted) => sorted.and_then(|sorted| sorted.values().cloned()),
        };
        let gone = || Error::invalid("top_k", "a sorted sample is missing", "");
        Ok(TopKBound {
            words: words.ok_or_else(gone)?,
            index: k - 1,
        })
    }

    /// Those of the rows left whose words are as `relation` to the bound. Waits for their number.
    fn filter(
        &self,
        left: &Left,
        step: (usize, u32),
        bound: &TopKBound,
        relation: u32,
    ) -> Result<Left> {
        let column = self.column(left, step.0)?;
        let tiles = blocks(left.count, abi::TOP_K_TILE_ROWS);
        let states = self.launch.alloc_zeroed(8 * (2 + tiles))?;
        let numbers = self.launch.alloc(4 * left.count)?;
        let ticket = address_of::<u64>(&states);
        bound.words.order_read(self.launch.stream())?;
        let rows = left
            .numbers
            .as_ref()
            .map(|numbers| numbers.view(&self.launch));
        let params = abi::TopKFilterParams {
            key: self.key(&column, step)?,
            threshold: address_of::<u64>(&bound.words).wrapping_add(bound.index as usize),
            rows: rows
                .transpose()?
                .map_or(std::ptr::null(), |rows| rows.values.cast()),
            out_rows: address_of(&numbers),
            tile_states: ticket.wrapping_add(2),
            tile_ticket: ticket,
            out_row_count: ticket.wrapping_add(1),
            row_count: left.count,
            relation,
            reserved: 0,
        };
        // SAFETY: the column and the numbers have `left.count` rows, without an offset; `states`
        // has a ticket, a count and a state per tile, all zero; the bound is one of its words.
        unsafe {
            self.launch
                .launch::<abi::TopKFilter>(tiles, abi::TOP_K_THREADS, 0, &params)
        }?;
        let mut count = [0u8; 8];
        let device = self.launch.device();
        device.read_at(self.launch.stream(), &states, 8, &mut count)?;
        let count = u64::from_ne_bytes(count).min(left.count);
        let numbers = Arc::new(numbers);
        let numbers = DeviceColumn::array(PhysicalType::UInt32, numbers, None, 0, count)?;
        Ok(Left {
            numbers: Some(numbers),
            count,
        })
    }
}
