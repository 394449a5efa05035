//! Bloom filters of keys: made of a build side's batches, and asked for the rows of a scan.
//!
//! Numbers are hashed by kernels. Of strings that are codes every entry of the dictionary is asked for
//! once, on the host; those that are views pass.

use std::any::Any;
use std::sync::Arc;

use super::Shared;
use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use super::download::download;
use super::tables::{OfEntry, Results};
use crate::backend::Batches;
use crate::backend::strings::Prepared;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::bloom_filter::BloomFilter;
use crate::kernels::strings::lookup;
use crate::kernels::{DeviceColumn, DeviceRows, Launch};
use crate::operators::Context;
use crate::storage::{BackendBlocks, KeyBits, KeySet};
use crate::types::{PhysicalType, Schema};

/// Puts the values of a column of batches into a filter.
pub(super) fn collect(
    shared: &Shared,
    context: &Context,
    column: usize,
    mut bits: KeyBits,
    batches: Batches<'_>,
) -> Result<KeyBits> {
    let launch = shared.launch(context);
    let mut filter: Option<BloomFilter> = None;
    for batch in batches {
        let batch = batch?;
        let own = CudaBatch::of(&batch)?;
        let missing = || Error::invalid("key filter", format!("no column {column}"), "");
        let values = own.columns.get(column).ok_or_else(missing)?;
        if bits.is_text() {
            let schema = Schema::new(vec![batch.schema().field(column).clone()]);
            let (rows, dictionary) = (own.rows.clone(), Arc::clone(&own.dictionary));
            let alone = CudaBatch::flat(vec![values.clone()], rows, dictionary);
            let alone = download(shared, context, &alone.into_batch(Arc::new(schema)))?;
            bits.insert(alone.column(0))?;
            continue;
        }
        let filter = match &filter {
            Some(filter) => filter,
            None => filter.insert(BloomFilter::empty(
                &launch,
                bits.bytes(),
                values.physical(),
            )?),
        };
        filter.insert(&launch, values, &own.rows)?;
    }
    Ok(match filter {
        Some(filter) => bits.with_backends(Arc::new(OnDevice {
            filter,
            device: Arc::clone(&shared.device),
        })),
        None => bits,
    })
}

/// A filter that stays on the device until the host asks for it.
#[derive(Debug)]
struct OnDevice {
    filter: BloomFilter,
    device: Arc<Device>,
}

impl BackendBlocks for OnDevice {
    fn blocks(&self) -> Result<Vec<u8>> {
        let stream = self.device.take_stream()?;
        let blocks = self.filter.read(&Launch::new(&self.device, stream));
        self.device.give_back_stream(stream);
        blocks
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whether each value may be among the keys: a null is not, where the result says null or false. None if
/// that cannot be told, or there is no memory to tell it.
pub(super) fn probe(
    launch: &Launch,
    keys: &Arc<KeySet>,
    dictionary: &Dictionary,
    column: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<Option<DeviceColumn>> {
    let Some(bits) = keys.bits() else {
        return Ok(None);
    };
    if bits.is_text() {
        return of_codes(launch, keys, dictionary, column, rows);
    }
    let physical = column.physical();
    let backends = bits.backends().map(|backends| backends.as_any());
    if let Some(own) = backends.and_then(<dyn Any>::downcast_ref::<OnDevice>)
        && own.filter.physical() == physical
        && Arc::ptr_eq(&own.device, launch.device())
    {
        return own.filter.probe(launch, column, rows).map(Some);
    }
    let made = keys.made(|| {
        let filter = BloomFilter::of_blocks(launch, &bits.blocks()?, physical)?;
        Ok(Arc::new(filter) as Arc<dyn Any + Send + Sync>)
    });
    let made = match made {
        Err(error) if matches!(error.kind(), ErrorKind::Reservation { .. }) => return Ok(None),
        made => made?,
    };
    match made.downcast_ref::<BloomFilter>() {
        Some(filter) if filter.physical() == physical => {
            filter.probe(launch, column, rows).map(Some)
        }
        _ => Ok(None),
    }
}

/// The same for codes of strings.
fn of_codes(
    launch: &Launch,
    keys: &Arc<KeySet>,
    dictionary: &Dictionary,
    column: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<Option<DeviceColumn>> {
    if column.physical() != PhysicalType::UInt32 {
        return Ok(None);
    }
    // The table outlives the keys, for it goes with the dictionary; nobody asks for it then.
    let weak = Arc::downgrade(keys);
    let may_have = move |text: &str| {
        let keys = weak.upgrade();
        let bits = keys.as_ref().and_then(|keys| keys.bits());
        bits.is_none_or(|bits| bits.may_have_text(text))
    };
    let make = || Ok(OfEntry::Strings(Prepared::Boolean(Box::new(may_have))));
    let name = (format!("key filter {}", keys.number()), Results::Codes);
    let table = dictionary.tables.get(launch, dictionary, name, make)?;
    lookup(launch, column, &table, rows).map(Some)
}
