//! `shuffle_partition` by kernels; the contract is [`ShufflePartitionSpec`].
//!
//! Strings that are codes get the hash of what they stand for from a list that the host keeps, an
//! entry per string of the dictionary; views are hashed where their bytes lie. Ranges of strings and
//! bytes are ranges of their places among the bounds. The partitions of a batch share one buffer, which
//! lives as long as one of them.

mod bounds;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Shared;
use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use crate::error::Result;
use crate::kernels::shuffle_partition::{
    CodeWords, ShuffleBy, ShuffleHashKey, ShuffleRangeKey, ShuffleTuning, shuffle_partition,
};
use crate::kernels::{DeviceColumn, DeviceRows, Launch};
use crate::memory::Batch;
use crate::operators::{Context, Partition, Partitioning, ShufflePartitionSpec, bytes_word};
use crate::types::{PhysicalType, is_text};
use bounds::KeyBounds;

pub(super) struct ShufflePartition {
    shared: Arc<Shared>,
    spec: ShufflePartitionSpec,
    /// Of a range alone: the bounds of each key.
    bounds: Vec<KeyBounds>,
    words: Mutex<DictionaryWords>,
}

/// The words of a dictionary's strings, as far as they were needed.
#[derive(Default)]
struct DictionaryWords {
    of: Weak<Dictionary>,
    host: Vec<u64>,
    device: Option<Arc<CodeWords>>,
}

impl DictionaryWords {
    /// The words of all strings that the dictionary has now, new ones added.
    fn get(&mut self, launch: &Launch, dictionary: &Arc<Dictionary>) -> Result<Arc<CodeWords>> {
        if !std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(dictionary)) {
            *self = DictionaryWords {
                of: Arc::downgrade(dictionary),
                ..DictionaryWords::default()
            };
        }
        let known = self.host.len();
        dictionary.for_each_from(known, |string| {
            self.host.push(bytes_word(string));
        });
        match &self.device {
            Some(device) if self.host.len() == known => Ok(Arc::clone(device)),
            _ => {
                let device = Arc::new(CodeWords::new(launch, &self.host)?);
                self.device = Some(Arc::clone(&device));
                Ok(device)
            }
        }
    }
}

impl ShufflePartition {
    /// # Errors
    /// `InvalidInput` for bounds that descend; no memory is left for them.
    pub(super) fn new(shared: Arc<Shared>, spec: &ShufflePartitionSpec) -> Result<Self> {
        let bounds = match &spec.by {
            Partitioning::Range { keys, bounds } => {
                let stream = shared.device.take_stream()?;
                let context = Context {
                    stream,
                    ..Context::detached()
                };
                let uploaded = bounds::upload(&shared, &context, keys, bounds);
                shared.device.give_back_stream(stream);
                uploaded?
            }
            _ => Vec::new(),
        };
        Ok(ShufflePartition {
            shared,
            spec: spec.clone(),
            bounds,
            words: Mutex::default(),
        })
    }

    /// The words that each hashed key needs, if it is of codes.
    fn words(
        &self,
        launch: &Launch,
        batch: &CudaBatch,
        keys: &[usize],
    ) -> Result<Vec<Option<Arc<CodeWords>>>> {
        let words = keys.iter().map(|&index| {
            let of_codes = is_text(self.spec.input.field(index).data_type())
                && batch.columns[index].physical() == PhysicalType::UInt32;
            let words = || {
                let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
                words.get(launch, &batch.dictionary)
            };
            of_codes.then(words).transpose()
        });
        words.collect()
    }
}

impl Partition for ShufflePartition {
    fn next(&self, context: &Context, batch: Batch) -> Result<Vec<Batch>> {
        let launch = self.shared.launch(context);
        let batch = CudaBatch::of(&batch)?;
        let columns: Vec<&DeviceColumn> = batch.columns.iter().collect();
        let partitions = self.spec.partitions;
        let split = |by: ShuffleBy| {
            let tuning = ShuffleTuning::default();
            shuffle_partition(&launch, &columns, &batch.rows, partitions, by, tuning)
        };
        let packed = match &self.spec.by {
            Partitioning::Hash { keys } => {
                let words = self.words(&launch, batch, keys)?;
                let hashed = keys
                    .iter()
                    .zip(&words)
                    .map(|(&index, words)| ShuffleHashKey {
                        column: columns[index],
                        words: words.as_deref(),
                    });
                split(ShuffleBy::Hash(&hashed.collect::<Vec<_>>()))
            }
            Partitioning::Range { keys, .. } => {
                let bounds_of = || keys.iter().zip(&self.bounds);
                let compared = bounds_of()
                    .map(|(key, bounds)| bounds.compared(&launch, batch, columns[key.column]));
                let compared = compared.collect::<Result<Vec<_>>>()?;
                let ranged = bounds_of().zip(&compared);
                let ranged = ranged.map(|((_, bounds), column)| ShuffleRangeKey {
                    column,
                    bounds: &bounds.words,
                });
                split(ShuffleBy::Range(&ranged.collect::<Vec<_>>()))
            }
            Partitioning::RoundRobin { start } => split(ShuffleBy::RoundRobin { start: *start }),
        }?;
        let table = packed.resolve(&launch)?;
        let partition = |index| {
            let rows = DeviceRows::known(table.rows(index));
            let columns = packed.columns(&table, index)?;
            let part = CudaBatch::flat(columns, rows, Arc::clone(&batch.dictionary));
            Ok(part.into_batch(Arc::clone(&self.spec.input)))
        };
        (0..table.partitions()).map(partition).collect()
    }
}
