//! The bounds of ranges, key by key. Strings and bytes are compared once with the bounds, which gives
//! each a number; the numbers are what ranges are of.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, LargeBinaryArray, RecordBatch};
use arrow::compute::cast;

use super::super::batch::CudaBatch;
use super::super::tables::{OfEntry, Results, place};
use super::super::{Shared, text, upload};
use crate::error::{Error, Result};
use crate::kernels::shuffle_partition::ShuffleBounds;
use crate::kernels::{DeviceColumn, Launch, strings};
use crate::operators::{Context, RangeKey, bounds_descend};
use crate::types::{DataType, Field, PhysicalType, Schema, is_binary, is_text};

/// The bounds of one key.
pub(super) struct KeyBounds {
    /// What the key, or its place among the bounds, is compared with.
    pub words: ShuffleBounds,
    /// Of strings and bytes.
    text: Option<TextBounds>,
}

/// Bounds that are strings or bytes.
struct TextBounds {
    /// Ascending, each once.
    sorted: Arc<[Box<[u8]>]>,
    /// The same as views.
    views: DeviceColumn,
    /// Names them among the tables of a dictionary.
    name: String,
}

impl TextBounds {
    /// The bounds of a column, and the place of each row of it.
    fn new(launch: &Launch, column: &ArrayRef) -> Result<(TextBounds, ArrayRef)> {
        let failed = |cause: arrow::error::ArrowError| {
            Error::invalid("shuffle_partition", cause.to_string(), "")
        };
        // Arrow knows no way from every string to bytes but through plain strings.
        let plain = match is_binary(column.data_type()) {
            true => Arc::clone(column),
            false => cast(column, &DataType::LargeUtf8).map_err(failed)?,
        };
        let bytes = cast(&plain, &DataType::LargeBinary).map_err(failed)?;
        let bytes: &LargeBinaryArray = bytes.as_binary();
        let mut sorted: Vec<Box<[u8]>> = bytes.iter().flatten().map(Box::from).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let places = bytes.iter();
        let places = places.map(|bound| bound.map(|bound| place(&sorted, bound)));
        let places: Int32Array = places.collect();
        let each = sorted.iter().map(Some).collect::<LargeBinaryArray>();
        let views = text::upload(launch, &(Arc::new(each) as ArrayRef))?;
        let name = format!("place among {sorted:?}");
        let bounds = TextBounds {
            sorted: sorted.into(),
            views,
            name,
        };
        Ok((bounds, Arc::new(places)))
    }
}

impl KeyBounds {
    /// A key's column as what is compared with the bounds: itself, or the places of strings and bytes.
    pub(super) fn compared(
        &self,
        launch: &Launch,
        batch: &CudaBatch,
        column: &DeviceColumn,
    ) -> Result<DeviceColumn> {
        let Some(bounds) = &self.text else {
            return Ok(column.clone());
        };
        if column.physical() == PhysicalType::View {
            return strings::place(launch, column, &bounds.views, &batch.rows);
        }
        let make = || Ok(OfEntry::Place(Arc::clone(&bounds.sorted)));
        let name = (bounds.name.clone(), Results::Codes);
        let tables = &batch.dictionary.tables;
        let table = tables.get(launch, &batch.dictionary, name, make)?;
        strings::lookup(launch, column, &table, &batch.rows)
    }
}

/// The bounds of each key on the device. Waits for the stream, to see that they do not descend.
pub(super) fn upload(
    shared: &Shared,
    context: &Context,
    keys: &[RangeKey],
    bounds: &RecordBatch,
) -> Result<Vec<KeyBounds>> {
    let launch = shared.launch(context);
    let (mut fields, mut arrays, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (field, column) in bounds.schema().fields().iter().zip(bounds.columns()) {
        let mut compared = (field.as_ref().clone(), Arc::clone(column), None);
        if is_text(field.data_type()) {
            let (text, places) = TextBounds::new(&launch, column)?;
            compared = (
                Field::new(field.name(), DataType::Int32, true),
                places,
                Some(text),
            );
        }
        fields.push(compared.0);
        arrays.push(compared.1);
        texts.push(compared.2);
    }
    let compared = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|cause| Error::invalid("shuffle_partition", cause.to_string(), ""))?;
    let uploaded = upload::upload(shared, context, &compared)?;
    let columns = &CudaBatch::of(&uploaded)?.columns;
    let bounds_of = columns.iter().zip(keys).zip(texts);
    let bounds_of = bounds_of.map(|((column, key), text)| {
        let words = ShuffleBounds::new(&launch, column, key.descending, key.nulls_first)?;
        Ok::<_, Error>(KeyBounds { words, text })
    });
    let bounds_of = bounds_of.collect::<Result<Vec<_>>>()?;
    let mut rows = vec![Vec::new(); bounds.num_rows()];
    for bounds in &bounds_of {
        for (row, words) in rows.iter_mut().zip(bounds.words.read(&launch)?) {
            row.extend(words);
        }
    }
    match rows.windows(2).position(|pair| pair[1] < pair[0]) {
        Some(before) => Err(bounds_descend(before + 1)),
        None => Ok(bounds_of),
    }
}
