//! Batches off the device and back, in the layout that they have there.
//!
//! What the rows need of a batch's buffers is packed behind one another, as it is, and copied at once;
//! back on the device the packed bytes are one buffer, of which columns have their parts. Offsets are
//! kept to the bit, scalars take nothing, codes stay what they are: the dictionary lives on the host, and
//! a parked batch holds on to it. Views go first, their addresses counted from the first packed byte
//! ([`text`]); they are the only bytes that are looked at.
//!
//! What rows do not need is left: a slice takes its rows, a filter's output those that were kept. Buffers
//! that several columns share go once.

mod layout;
mod text;

use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::batch::CudaBatch;
use crate::device::{DeviceBuffer, KeptBytes, PackedRange};
use crate::error::{Error, Result};
use crate::kernels::{DeviceRows, Launch};
use crate::memory::{Batch, ParkedBatch, Tier};
use crate::metrics::names;
use crate::operators::Context;
use layout::{Packing, ParkedLayout};
use text::ParkedViews;

/// A stretch of packed bytes on the host.
#[derive(Debug)]
enum Piece {
    Pinned(KeptBytes),
    Pageable(Vec<u8>),
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        match self {
            Piece::Pinned(bytes) => bytes.as_ref(),
            Piece::Pageable(bytes) => bytes,
        }
    }
}

impl AsMut<[u8]> for Piece {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Piece::Pinned(bytes) => bytes.as_mut(),
            Piece::Pageable(bytes) => bytes,
        }
    }
}

impl Piece {
    fn into_section(self) -> Bytes {
        match self {
            Piece::Pinned(bytes) => Bytes::from_owner(bytes),
            Piece::Pageable(bytes) => Bytes::from(bytes),
        }
    }
}

/// Copies ranges, packed from byte `from` on, to memory of a tier; nothing if pinned memory has no room.
/// Waits for the stream.
fn read(
    launch: &Launch,
    ranges: &[PackedRange],
    from: u64,
    bytes: u64,
    tier: Tier,
) -> Result<Option<Vec<Piece>>> {
    if bytes == 0 {
        return Ok(Some(Vec::new()));
    }
    let moved = ranges.iter().map(|range| PackedRange {
        at: range.at - from,
        ..range.clone()
    });
    let ranges: Vec<PackedRange> = moved.collect();
    let (device, stream) = (launch.device(), launch.stream());
    let _span = launch.copying(stream, "copy to host", bytes);
    if tier == Tier::Pinned {
        let Some(mut pieces) = device.pinned().keep(bytes) else {
            return Ok(None);
        };
        device.read_packed(stream, &ranges, &mut pieces)?;
        return Ok(Some(pieces.into_iter().map(Piece::Pinned).collect()));
    }
    let mut pieces = Vec::new();
    device.read_packed_through(stream, &ranges, bytes, |some| {
        pieces.push(Piece::Pageable(some.to_vec()));
    })?;
    Ok(Some(pieces))
}

/// The batch in pageable host memory.
///
/// # Errors
/// What failed on the stream before, or a copy; no memory is left.
pub(super) fn park(shared: &Shared, context: &Context, batch: &Batch) -> Result<ParkedBatch> {
    let parked = park_in(shared, context, batch, Tier::Host)?;
    parked.ok_or_else(|| Error::invalid("batch to park", "the host has no room", ""))
}

/// The batch in pinned memory, if there is room.
///
/// # Errors
/// As [`park`].
pub(super) fn park_pinned(
    shared: &Shared,
    context: &Context,
    batch: &Batch,
) -> Result<Option<ParkedBatch>> {
    let bytes = batch.bytes();
    if !shared.device.pinned().may_keep(bytes) {
        return Ok(None);
    }
    park_in(shared, context, batch, Tier::Pinned)
}

fn park_in(
    shared: &Shared,
    context: &Context,
    batch: &Batch,
    tier: Tier,
) -> Result<Option<ParkedBatch>> {
    let launch = shared.launch(context);
    shared.settle(&launch)?;
    let columns = CudaBatch::of(batch)?;
    let rows = columns.rows.resolve(&launch)?;
    let arrays = layout::arrays(columns, rows);

    let views = ParkedViews::new(&arrays);
    let views_bytes = views.packing.bytes();
    let Some(mut pieces) = read(&launch, views.packing.ranges(), 0, views_bytes, tier)? else {
        return Ok(None);
    };
    let mut packing = Packing::behind(views_bytes);
    let texts = views.relocate(&launch, &mut pieces, &mut packing)?;

    let layout = ParkedLayout::new(columns, &arrays, rows, &texts, &views, &mut packing);
    let bytes = packing.bytes() - views_bytes;
    let Some(others) = read(&launch, packing.ranges(), views_bytes, bytes, tier)? else {
        return Ok(None);
    };
    launch.count(names::DOWNLOAD_BYTES, packing.bytes());
    pieces.extend(others);
    Ok(Some(ParkedBatch {
        schema: Arc::clone(batch.schema()),
        rows,
        sections: pieces.into_iter().map(Piece::into_section).collect(),
        tier,
        layout: Arc::new(layout),
    }))
}

/// The batch on the device again.
///
/// # Errors
/// `InvalidInput` if another backend parked it, `Reservation` if it does not fit, and what the copies
/// report.
pub(super) fn unpark(shared: &Shared, context: &Context, parked: &ParkedBatch) -> Result<Batch> {
    let wrong = |cause| Error::invalid("parked batch", cause, "");
    let layout: &ParkedLayout = parked
        .layout
        .downcast_ref()
        .ok_or_else(|| wrong("another backend parked it"))?;
    if parked.bytes() != layout.bytes {
        return Err(wrong("its sections are not as long as they were"));
    }
    let launch = shared.launch(context);
    let (device, stream) = (launch.device(), launch.stream());
    let whole = Arc::new(device.alloc(stream, layout.bytes)?);
    write(&launch, &whole, layout, parked)?;
    launch.count(names::UPLOAD_BYTES, layout.bytes);
    let (columns, nested) = layout.columns(&whole)?;
    let unparked = CudaBatch {
        columns,
        nested,
        rows: DeviceRows::known(layout.rows),
        dictionary: Arc::clone(&layout.dictionary),
    };
    Ok(unparked.into_batch(Arc::clone(&parked.schema)))
}

/// Copies packed bytes to the buffer that they are from now on.
fn write(
    launch: &Launch,
    whole: &DeviceBuffer,
    layout: &ParkedLayout,
    parked: &ParkedBatch,
) -> Result<()> {
    let (device, stream) = (launch.device(), launch.stream());
    let _span = launch.copying(stream, "copy to device", layout.bytes);
    let (mut at, mut in_place) = (0, Vec::new());
    for section in &parked.sections {
        let views = layout
            .views_bytes
            .saturating_sub(at)
            .min(section.len() as u64);
        let (views, others) = section.split_at(views as usize);
        if !views.is_empty() {
            let moved = text::moved(views, whole.address());
            device.write_at(stream, whole, at, &moved)?;
        }
        let start = at + views.len() as u64;
        match parked.tier {
            _ if others.is_empty() => {}
            Tier::Pinned => in_place.push((start, others)),
            _ => device.write_at(stream, whole, start, others)?,
        }
        at += section.len() as u64;
    }
    if in_place.is_empty() {
        return Ok(());
    }
    device.write_packed(stream, whole, &in_place)
}
