//! The CPU backend: the definition of every operator.
//!
//! Its batches are Arrow batches in host memory, its one stream is 0, and its operators run at
//! once on the caller's thread. What one value becomes is in the module `scalar`, whose tables
//! other backends copy; Arrow's kernels are used where they do exactly that, and a unit test pins
//! it. Correctness must be plain to see; speed comes second. Nothing here may name `cuda`,
//! `kernels` or `device`.

#![forbid(unsafe_code)]

mod accumulate;
mod arithmetic;
mod cast;
mod compare;
mod describe;
mod evaluate;
mod exact_sum;
mod filter;
mod finish;
mod function;
mod gather;
mod group_by;
mod hash_join;
mod moments;
mod nested_loop_join;
mod picked;
mod project;
mod quantile;
mod scalar;
mod shuffle_partition;
mod sort;
mod states;
mod top_k;
mod values;
mod window;

use arrow::array::RecordBatch;

use super::Backend;
use crate::error::{Error, Result};
use crate::memory::Batch;
use crate::operators::{Context, Operator, OperatorSpec, StreamHandle};
use crate::types::SchemaRef;

/// Runs operators on the CPU, over Arrow batches.
///
/// ```
/// use pelton::backend::{Backend, cpu::CpuBackend};
/// assert_eq!(CpuBackend::new().name(), "cpu");
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuBackend;

impl CpuBackend {
    /// The backend; it holds nothing.
    pub fn new() -> Self {
        CpuBackend
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn instantiate(&self, spec: &OperatorSpec) -> Result<Operator> {
        Ok(match spec {
            OperatorSpec::Filter(spec) => Operator::Transform(Box::new(filter::Filter::new(spec)?)),
            OperatorSpec::Project(spec) => {
                Operator::Transform(Box::new(project::Project::new(spec)?))
            }
            OperatorSpec::Gather(spec) => Operator::Transform(Box::new(gather::Gather::new(spec))),
            OperatorSpec::GroupBy(spec) => Operator::Fold(Box::new(group_by::GroupBy::new(spec)?)),
            OperatorSpec::HashJoinBuild(spec) => {
                Operator::Fold(Box::new(hash_join::HashJoinBuild::new(spec)?))
            }
            OperatorSpec::HashJoinProbe(spec) => {
                Operator::Transform(Box::new(hash_join::HashJoinProbe::new(spec)?))
            }
            OperatorSpec::ShufflePartition(spec) => {
                Operator::Partition(Box::new(shuffle_partition::ShufflePartition::new(spec)?))
            }
            OperatorSpec::NestedLoopJoinBuild(spec) => {
                Operator::Fold(Box::new(nested_loop_join::build(spec)?))
            }
            OperatorSpec::NestedLoopJoinProbe(spec) => {
                Operator::Transform(Box::new(nested_loop_join::NestedLoopJoinProbe::new(spec)?))
            }
            OperatorSpec::Sort(spec) => Operator::Fold(Box::new(sort::Sort::new(spec)?)),
            OperatorSpec::TopK(spec) => Operator::Fold(Box::new(top_k::TopK::new(spec)?)),
            OperatorSpec::Window(spec) => Operator::Fold(Box::new(window::Window::new(spec)?)),
        })
    }

    fn check_schema(&self, _: &SchemaRef) -> Result<()> {
        Ok(()) // whatever Arrow can hold; an operator may still refuse a type
    }

    fn stream_create(&self) -> Result<StreamHandle> {
        Ok(StreamHandle::default())
    }

    fn stream_destroy(&self, _: StreamHandle) {}

    fn synchronize(&self, _: StreamHandle) -> Result<()> {
        Ok(())
    }

    fn upload(&self, _: &Context, batch: RecordBatch) -> Result<Batch> {
        Ok(Batch::host(batch))
    }

    fn download(&self, _: &Context, batch: Batch) -> Result<RecordBatch> {
        host_batch("download", &batch).cloned()
    }
}

/// The Arrow batch inside; `InvalidInput` for another backend's batch.
fn host_batch<'a>(place: &str, batch: &'a Batch) -> Result<&'a RecordBatch> {
    batch.as_host().ok_or_else(|| {
        Error::invalid(
            place,
            "the batch is not in host memory",
            "download it first",
        )
    })
}
