//! Hash join: row numbers first, columns gathered by them.

use std::sync::Arc;

use pelton::kernels::filter::filter_compact;
use pelton::kernels::gather::gather_rows;
use pelton::kernels::hash_join::{JoinKey, JoinLayout, JoinNeed, JoinTable, JoinTuning};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch, Status};
use pelton::{Error, Result};

use crate::device::PeltonStream;
use crate::handle::{OutHandle, shared, slice};
use crate::status::{PeltonStatus, answer};
use crate::table::PeltonTable;

/// Which rows a join gives: one of PELTON_JOIN_*.
pub type PeltonJoinKind = u32;

/// Every pair of a probe row and a build row with equal keys.
pub const PELTON_JOIN_INNER: PeltonJoinKind = 0;
/// The same, and each probe row without a partner, with nulls.
pub const PELTON_JOIN_LEFT: PeltonJoinKind = 1;
/// Probe rows that have a partner, once each; no columns of the build side.
pub const PELTON_JOIN_SEMI: PeltonJoinKind = 2;
/// Probe rows that have none; no columns of the build side.
pub const PELTON_JOIN_ANTI: PeltonJoinKind = 3;

/// The number of pairs that one call may give: row numbers have 32 bits.
const PAIRS_MAX: u64 = u32::MAX as u64;

/// Joins two tables of one device by keys of equal types, `build_keys[i]` with `probe_keys[i]`: a table of the probe
/// side's columns and then the build side's, in no order. A null equals nothing, or, with `null_equals_null`, a
/// null. The smaller side had better be the build side. Waits for the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_hash_join(
    build: *const PeltonTable,
    probe: *const PeltonTable,
    stream: PeltonStream,
    kind: PeltonJoinKind,
    build_keys: *const u32,
    probe_keys: *const u32,
    key_count: usize,
    null_equals_null: bool,
    out: *mut *mut PeltonTable,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live handle, or null.
        let build = unsafe { shared(build, "build") }?;
        // SAFETY: as above.
        let probe = unsafe { shared(probe, "probe") }?;
        // SAFETY: the caller passes so many numbers, or null.
        let build_keys = unsafe { slice(build_keys, key_count, "build_keys") }?;
        // SAFETY: as above.
        let probe_keys = unsafe { slice(probe_keys, key_count, "probe_keys") }?;
        if !Arc::ptr_eq(&build.device, &probe.device) {
            let remedy = "pass tables of one device";
            return Err(Error::invalid("build", "it is of another device", remedy));
        }
        let join = Join {
            launch: probe.launch(stream),
            kind,
            build,
            probe,
            build_keys: build.pick(build_keys)?,
            probe_keys: probe.pick(probe_keys)?,
        };
        let (columns, rows) = join.run(null_equals_null)?;
        out.give(PeltonTable {
            columns,
            rows,
            device: Arc::clone(&probe.device),
        });
        Ok(())
    })
}

struct Join<'a> {
    launch: Launch<'a>,
    kind: PeltonJoinKind,
    build: &'a PeltonTable,
    probe: &'a PeltonTable,
    build_keys: Vec<&'a DeviceColumn>,
    probe_keys: Vec<&'a DeviceColumn>,
}

type Rows = (Vec<DeviceColumn>, DeviceRows);

impl Join<'_> {
    fn run(&self, null_equals_null: bool) -> Result<Rows> {
        if self.kind > PELTON_JOIN_ANTI {
            let cause = format!("{} is no kind of join", self.kind);
            return Err(Error::invalid("kind", cause, "pass one of PELTON_JOIN_*"));
        }
        let keys = self.build_keys.iter().zip(&self.probe_keys);
        let keys = keys.map(|(build, probe)| JoinKey {
            physical: build.physical(),
            nullable: build.nullable() || probe.nullable(),
            bits: build.physical().bits() as u32,
        });
        let (keys, tuning) = (keys.collect::<Vec<_>>(), JoinTuning::default());
        let layout = JoinLayout::new(&keys, null_equals_null, &tuning)?;
        let rows = self.build.rows.resolve(&self.launch)?;
        let need = match self.kind {
            PELTON_JOIN_SEMI | PELTON_JOIN_ANTI => JoinNeed::Existence,
            _ => JoinNeed::Rows,
        };
        let table = JoinTable::build(&self.launch, layout, &self.build_keys, rows, need, tuning)?;
        match need {
            JoinNeed::Existence => self.filtered(&table),
            JoinNeed::Rows => self.paired(&table, rows),
        }
    }

    /// Probe rows by whether they have a partner.
    fn filtered(&self, table: &JoinTable) -> Result<Rows> {
        let (launch, rows) = (&self.launch, &self.probe.rows);
        let invert = self.kind == PELTON_JOIN_ANTI;
        let kept = table.found(launch, &self.probe_keys, rows, invert)?;
        let columns: Vec<&DeviceColumn> = self.probe.columns.iter().collect();
        filter_compact(launch, &kept, &columns, rows)
    }

    /// Pairs, and the columns of both sides by their row numbers.
    fn paired(&self, table: &JoinTable, build_rows: u64) -> Result<Rows> {
        let (launch, keys, rows) = (&self.launch, &self.probe_keys, &self.probe.rows);
        let outer = self.kind == PELTON_JOIN_LEFT;
        let (probe_indices, build_indices, pairs) = if !table.is_unique() {
            let count = table.count(launch, keys, rows, outer)?;
            let pairs = count.resolve(launch)?;
            if pairs > PAIRS_MAX {
                let cause = format!("{pairs} pairs, more than {PAIRS_MAX}");
                let remedy = "join fewer probe rows at a time";
                return Err(Error::invalid("hash_join", cause, remedy));
            }
            let pairs = count.emit(launch, pairs)?;
            (Some(pairs.probe_rows), pairs.build_rows, pairs.rows)
        } else if outer {
            // At most one partner each: probe rows stay where they are.
            (None, table.lookup(launch, keys, rows)?, rows.clone())
        } else {
            let pairs = table.pairs(launch, keys, rows)?;
            (Some(pairs.probe_rows), pairs.build_rows, pairs.rows)
        };
        let status = Status::new(launch, "gather_rows")?;
        let gather = |indices: &DeviceColumn, from: &[DeviceColumn], built: &DeviceRows| {
            let from: Vec<&DeviceColumn> = from.iter().collect();
            gather_rows(launch, indices, &pairs, &from, built, &status)
        };
        let mut columns = match probe_indices {
            Some(indices) => gather(&indices, &self.probe.columns, rows)?,
            None => self.probe.columns.clone(),
        };
        let built = DeviceRows::known(build_rows);
        columns.extend(gather(&build_indices, &self.build.columns, &built)?);
        status.check(launch)?;
        Ok((columns, pairs))
    }
}
