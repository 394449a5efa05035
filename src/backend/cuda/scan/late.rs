//! Late decoding: the columns of the predicate first, and of the others only the pages in which rows
//! are left.
//!
//! The predicate's columns, and those that filters by keys ask for, are decoded, and the predicate is
//! evaluated; the rows that satisfy it and pass the filters are listed, in order. The host waits once, for how many of them lie before each place where a page of
//! another column begins or ends. Pages without any are not decompressed and not decoded, and where the
//! page index or their headers say where they lie, not even read. At last a gather picks the listed rows of each
//! column. The filter above the scan runs as if nothing had happened: it finds all rows to be true.
//!
//! Only predicates that cannot fail are evaluated here: an error is the filter's to report.

use std::ops::Range;
use std::sync::Arc;

use super::Scan;
use super::fetch::FetchedColumn;
use super::filters;
use super::rows::{self, GroupRows};
use crate::backend::cuda::batch::CudaBatch;
use crate::backend::cuda::dictionary::Dictionary;
use crate::backend::cuda::evaluate::{Evaluator, may_fail};
use crate::backend::cuda::supported;
use crate::error::Result;
use crate::expr::{Function, TypedExpr, TypedKind};
use crate::kernels::filter::filter_compact;
use crate::kernels::page::{RowPieces, page_count_rows, page_find_rows};
use crate::kernels::project::logic;
use crate::kernels::{DeviceColumn, DeviceRows, Launch, abi};
use crate::metrics::names;
use crate::storage::{PageRows, Partition, SelectedPages};
use crate::types::{PhysicalType, Semantics};

/// What is decoded first, and what for.
#[derive(Debug)]
pub(super) struct Late {
    /// Over the columns of the dataset; none if filters by keys alone are asked.
    predicate: Option<TypedExpr>,
    /// The columns that it and the filters name: in the dataset, and in the scan.
    first: Vec<(usize, usize)>,
    /// The other columns of the scan.
    others: Vec<usize>,
}

impl Late {
    /// What can be decoded late of a partition's columns, if anything.
    pub(super) fn of(partition: &Partition) -> Option<Late> {
        let projection = partition.projection();
        let place = |column: usize| projection.iter().position(|read| *read == column);
        let of_predicate = || {
            let (predicate, named) = partition.predicate()?;
            let named = named.iter().map(|column| Some((*column, place(*column)?)));
            let named: Vec<(usize, usize)> = named.collect::<Option<_>>()?;
            (!named.is_empty() && cannot_fail(predicate)).then(|| (predicate.clone(), named))
        };
        let (predicate, mut first) = match of_predicate() {
            Some((predicate, named)) => (Some(predicate), named),
            None => (None, Vec::new()),
        };
        let asked = partition.filters().iter();
        let asked = asked.filter(|filter| filter.keys().bits().is_some());
        let asked = asked.map(|filter| filter.column());
        let filters = asked.filter_map(|column| Some((column, place(column)?)));
        for column in filters {
            if !first.contains(&column) {
                first.push(column);
            }
        }
        let is_first = |place: &usize| first.iter().any(|(_, known)| known == place);
        let others = (0..projection.len()).filter(|place| !is_first(place));
        let others: Vec<usize> = others.collect();
        let possible = !first.is_empty() && !others.is_empty();
        possible.then_some(Late {
            predicate,
            first,
            others,
        })
    }

    /// Whether there is still something to ask of the first columns.
    pub(super) fn is_worth_while(&self, partition: &Partition) -> bool {
        self.predicate.is_some() || partition.filters().iter().any(|filter| filter.pays())
    }
}

/// True if the expression is known here, has a result in every row, and always the same one.
fn cannot_fail(expr: &TypedExpr) -> bool {
    fn by_semantics(expr: &TypedExpr) -> bool {
        let here = match &expr.kind {
            TypedKind::Arithmetic { .. } | TypedKind::Negate(_) => true,
            TypedKind::Function { function, .. } => !matches!(function, Function::String(_)),
            _ => false,
        };
        here || expr.children().into_iter().any(by_semantics)
    }
    supported::check_expr(expr).is_ok()
        && !by_semantics(expr)
        && !may_fail(expr, Semantics::default())
}

/// The rows that satisfy the predicate.
struct Survivors {
    /// Their numbers among the rows of the batch, in a column that may be longer.
    listed: DeviceColumn,
    rows: DeviceRows,
    /// The columns of the predicate, these rows of them.
    first: Vec<DeviceColumn>,
    /// Rows that passed the filters by keys, if some were asked.
    passed: Option<DeviceRows>,
}

/// How the pages of the other columns are chosen.
enum Pages {
    /// By page indexes, those of each row group; nothing of them was read.
    Known(Vec<Arc<[PageRows]>>),
    /// All were read, for there is no index.
    Read(Vec<FetchedColumn>),
}

/// Reads the row groups of a batch: the columns of the scan, and how many rows of them are left.
pub(super) fn read(
    scan: &Scan,
    launch: &Launch,
    late: &Late,
    range: &Range<usize>,
    dictionary: &Arc<Dictionary>,
) -> Result<(Vec<DeviceColumn>, u64)> {
    let groups = &scan.rows[range.clone()];
    let survivors = survivors(scan, launch, late, range, dictionary)?;
    // To walk page headers costs reads, which are for nothing unless they save some.
    let walk = scan.partition.late().pays(scan.options.late);
    let known = range.clone();
    let known = known.map(|group| scan.partition.page_rows(group, walk));
    let pages = match known.collect::<Option<Vec<_>>>() {
        Some(known) => Pages::Known(known),
        None => Pages::Read(scan.fetch(launch, &scan.chunks_of(&late.others, range)?)?),
    };
    let bounds = pages.bounds(late, groups);
    let counts = page_count_rows(launch, &survivors.listed, &survivors.rows, &bounds)?;
    let rows = u64::from(counts.last().copied().unwrap_or(0));
    let left = Left {
        groups,
        bounds,
        counts,
    };
    let fetched = left.choose(scan, launch, late, range, pages)?;
    let decoded = scan.decode(fetched, dictionary)?;
    let others = decoded.into_iter().map(|decoded| {
        let pieces = rows::pieces(groups, &decoded.pages)?;
        Ok((decoded.column, pieces))
    });
    let others = others.collect::<Result<Vec<_>>>()?;
    let watch = |status| scan.shared.watch(scan.context.stream, status);
    let others = rows::align(launch, Some(&survivors.listed), rows, &others, watch)?;
    if let Some(passed) = survivors.passed {
        let all = groups.iter().map(GroupRows::count).sum();
        filters::count(scan, passed, all);
    }
    let first = late.first.iter().map(|(_, place)| *place);
    let others = late.others.iter().copied().zip(others);
    let mut columns: Vec<_> = first.zip(survivors.first).chain(others).collect();
    columns.sort_by_key(|(place, _)| *place);
    let columns = columns.into_iter().map(|(_, column)| column);
    Ok((columns.collect(), rows))
}

/// Decodes the columns of the predicate and keeps the rows for which it is true.
fn survivors(
    scan: &Scan,
    launch: &Launch,
    late: &Late,
    range: &Range<usize>,
    dictionary: &Arc<Dictionary>,
) -> Result<Survivors> {
    let groups = &scan.rows[range.clone()];
    let rows: u64 = groups.iter().map(GroupRows::count).sum();
    let places: Vec<usize> = late.first.iter().map(|(_, place)| *place).collect();
    let fetched = scan.fetch(launch, &scan.chunks_of(&places, range)?)?;
    let decoded = scan.decode(fetched, dictionary)?;
    let first = scan.aligned(launch, groups, decoded, true)?;
    // The predicate names columns of the dataset; those that are not read are not named.
    let width = late.first.iter().map(|(column, _)| column + 1).max();
    let unread = DeviceColumn::scalar(PhysicalType::Boolean, None, rows);
    let mut columns = vec![unread; width.unwrap_or(0)];
    for ((column, _), decoded) in late.first.iter().zip(&first) {
        columns[*column] = decoded.clone();
    }
    let batch = CudaBatch::flat(columns, DeviceRows::known(rows), Arc::clone(dictionary));
    let named = |wanted: usize| {
        let mut decoded = late.first.iter().zip(&first);
        let found = decoded.find(|((column, _), _)| *column == wanted);
        found.map(|(_, decoded)| decoded)
    };
    let passing = filters::passing(scan, launch, named, &batch.rows, dictionary)?;
    let passed = match &passing {
        Some(passing) => Some(filter_compact(launch, passing, &[], &batch.rows)?.1),
        None => None,
    };
    let truth = match &late.predicate {
        None => None,
        Some(predicate) => {
            let evaluator = Evaluator::new(*launch, &batch, Semantics::default(), None);
            Some(evaluator.evaluate(predicate)?)
        }
    };
    let truth = match (truth, passing) {
        (Some(truth), Some(passing)) => {
            logic(launch, abi::PROJECT_AND, &truth, &passing, &batch.rows)?
        }
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => DeviceColumn::scalar(PhysicalType::Boolean, Some(1), rows),
    };
    let mut in_order = RowPieces::default();
    in_order.add(0, 0)?;
    let all = page_find_rows(launch, None, rows, &in_order)?;
    let columns: Vec<&DeviceColumn> = std::iter::once(&all).chain(&first).collect();
    let (mut kept, rows) = filter_compact(launch, &truth, &columns, &batch.rows)?;
    let first = kept.split_off(1);
    let listed = kept.pop().unwrap_or(all);
    Ok(Survivors {
        listed,
        rows,
        first,
        passed,
    })
}

impl Pages {
    /// The rows of the batch at which pages of the other columns begin and end, sorted.
    fn bounds(&self, late: &Late, groups: &[GroupRows]) -> Vec<u32> {
        let mut bounds = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let first = first_row(groups, index);
            let mut add = |page: &Range<u64>| {
                let rows = group.of_page(page);
                bounds.extend([first + rows.start, first + rows.end]);
            };
            match self {
                Pages::Known(known) => {
                    let others = late.others.iter();
                    let others = others.filter_map(|place| known.get(index)?.get(*place));
                    others.for_each(|pages| pages.rows().for_each(&mut add));
                }
                Pages::Read(fetched) => {
                    let columns = fetched.iter();
                    let chunks = columns.filter_map(|column| column.chunks.get(index));
                    chunks.for_each(|chunk| chunk.rows.iter().for_each(&mut add));
                }
            }
        }
        bounds.sort_unstable();
        bounds.dedup();
        // Rows of a batch are counted in 31 bits.
        bounds.into_iter().map(|bound: u64| bound as u32).collect()
    }
}

/// The number among the rows of the batch of the first of a row group.
fn first_row(groups: &[GroupRows], index: usize) -> u64 {
    groups[..index].iter().map(GroupRows::count).sum()
}

/// How many rows are left before each bound.
struct Left<'g> {
    groups: &'g [GroupRows],
    bounds: Vec<u32>,
    counts: Vec<u32>,
}

impl Left<'_> {
    fn before(&self, row: u64) -> u32 {
        let place = self.bounds.partition_point(|bound| u64::from(*bound) < row);
        self.counts.get(place).copied().unwrap_or(0)
    }

    /// Whether a row is left in a page of a row group.
    fn any(&self, group: usize, page: &Range<u64>) -> bool {
        let first = first_row(self.groups, group);
        let rows = self.groups[group].of_page(page);
        self.before(first + rows.start) < self.before(first + rows.end)
    }

    /// The other columns, without the pages in which no row is left.
    fn choose(
        &self,
        scan: &Scan,
        launch: &Launch,
        late: &Late,
        range: &Range<usize>,
        pages: Pages,
    ) -> Result<Vec<FetchedColumn>> {
        let metrics = &scan.options.metrics;
        let (mut bytes, mut left_out, mut fewer) = (0, 0, 0);
        let fetched = match pages {
            Pages::Known(known) => {
                let mut columns = scan.chunks_of(&late.others, range)?;
                for (place, chunks) in &mut columns {
                    for (group, chunk) in chunks.iter_mut().enumerate() {
                        let pages = known.get(group).and_then(|pages| pages.get(*place));
                        let Some(pages) = pages else {
                            continue; // there is one of each
                        };
                        let selected = pages.select(|page| self.any(group, page));
                        let before = chunk.selected().map_or(pages.rows().len(), page_count);
                        fewer += before.saturating_sub(page_count(&selected));
                        let whole = chunk.chunk()?.facts().bytes;
                        *chunk = chunk.of_pages(selected);
                        bytes += whole;
                        left_out += whole.saturating_sub(chunk.chunk()?.facts().bytes);
                    }
                }
                metrics.add(names::LATE_BYTES_LEFT_OUT, left_out);
                scan.fetch(launch, &columns)?
            }
            Pages::Read(mut fetched) => {
                for column in &mut fetched {
                    for (group, chunk) in column.chunks.iter_mut().enumerate() {
                        let before = chunk.rows.len();
                        let whole = chunk.stored_bytes();
                        chunk.keep(|page| self.any(group, page));
                        fewer += before - chunk.rows.len();
                        bytes += whole;
                        left_out += whole.saturating_sub(chunk.stored_bytes());
                    }
                }
                fetched
            }
        };
        scan.partition.late().note(bytes, left_out);
        metrics.add(names::LATE_BATCHES, 1);
        metrics.add(names::LATE_PAGES_LEFT_OUT, fewer as u64);
        Ok(fetched)
    }
}

fn page_count(selected: &SelectedPages) -> usize {
    selected.rows().len()
}
