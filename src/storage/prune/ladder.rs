//! The steps of pruning, each tried on what the ones before kept: statistics of the file, of the row
//! group, Bloom filters, dictionaries, page indexes.
//!
//! A step that costs a read is first asked what it could exclude at best. If the predicate might
//! still be true, nothing is read.

use std::ops::Range;
use std::sync::Arc;

use super::bloom_filter::GroupFilters;
use super::counts::{PruneSteps, Pruned};
use super::dictionary::{GroupDictionaries, Misses};
use super::file_bytes::FileBytes;
use super::keys::Keys;
use super::membership::{AtBest, Membership, WithMembership};
use super::page_index::{IndexedAway, PageEvidence};
use super::zones::{FileEvidence, GroupEvidence, Zones};
use super::{Evidence, columns_of, may_match};
use crate::expr::TypedExpr;
use crate::storage::ParquetFile;
use crate::storage::guard::guard;
use crate::storage::key_filter::KeyFilter;
use crate::storage::selected::{PageRows, overlaps};

/// Row groups in a row whose page indexes left out too little, after which they are no longer asked: to
/// judge the pages of a row group takes the host up to some milliseconds, and all of the scan waits.
const INDEX_MISSES_MAX: u32 = 2;

/// An index leaves out too little if it is less than one row in so many.
const INDEX_PAYING_PART: u64 = 16;

/// What is to be done with a row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) enum Verdict {
    /// No row of it may match.
    Skip,
    /// Its rows may match: those of the ranges, or all. The pages that hold them, where that is known.
    Read(Option<Arc<[Range<u64>]>>, Option<Arc<[PageRows]>>),
}

/// Prunes the files of one scan, one after the other.
pub(in crate::storage) struct Ladder<'p> {
    predicate: &'p TypedExpr,
    /// Keys of which every row that matters has one, in a column of the predicate.
    keys: Vec<Keys<'p>>,
    /// The columns of the predicate.
    columns: Vec<usize>,
    steps: PruneSteps,
    misses: Misses,
    index_misses: u32,
    pruned: Pruned,
}

/// What the indexes of pages say of a row group.
enum Pages {
    /// They were not asked.
    NotAsked,
    /// Rows of every page may match.
    All,
    /// Rows of these ranges may match.
    Ranges(Vec<Range<u64>>),
}

impl<'p> Ladder<'p> {
    pub(in crate::storage) fn new(
        predicate: &'p TypedExpr,
        filters: &'p [Arc<KeyFilter>],
        steps: PruneSteps,
    ) -> Self {
        let columns = columns_of(predicate);
        let keys = filters.iter().filter_map(|filter| Keys::of(filter));
        Ladder {
            predicate,
            keys: keys.filter(|keys| columns.contains(&keys.column)).collect(),
            columns,
            steps,
            misses: Misses::default(),
            index_misses: 0,
            pruned: Pruned::default(),
        }
    }

    /// What the files so far were pruned by.
    pub(in crate::storage) fn pruned(&self) -> Pruned {
        self.pruned
    }

    /// Judges the row groups of a file, of which these leaf columns are read. `columns` has the
    /// file's column of each column that the predicate may name.
    pub(in crate::storage) fn judge(
        &mut self,
        file: &ParquetFile,
        columns: &[usize],
        leaves: &[usize],
    ) -> Vec<Verdict> {
        let zones = Zones::new(file, columns);
        let bytes = FileBytes::new(file);
        let scene = Scene {
            file,
            zones: &zones,
            bytes: &bytes,
            leaves,
        };
        let rows = (0..file.row_group_count()).map(|group| file.row_group(group).num_rows());
        let has_rows = rows.clone().any(|rows| rows > 0);
        let excluded = scene.guarded("footer", false, || {
            !may_match(&FileEvidence { zones: &zones }, self.predicate)
        });
        self.pruned.files += u64::from(has_rows && excluded);
        let mut verdicts = Vec::with_capacity(file.row_group_count());
        for (row_group, rows) in rows.enumerate() {
            verdicts.push(if rows == 0 {
                Verdict::Skip
            } else if excluded {
                self.pruned.by_statistics += scene.stored_bytes(row_group);
                Verdict::Skip
            } else {
                let place = format!("row group {row_group}");
                scene.guarded(&place, Verdict::Read(None, None), || {
                    self.judge_group(&scene, row_group)
                })
            });
        }
        self.pruned.bytes_read += bytes.bytes_read();
        verdicts
    }

    fn judge_group(&mut self, scene: &Scene<'_>, row_group: usize) -> Verdict {
        let (file, predicate) = (scene.file, self.predicate);
        let group = GroupEvidence {
            zones: scene.zones,
            row_group,
        };
        if !may_match(&group, predicate) || !self.keys_meet(&group) {
            self.pruned.by_statistics += scene.stored_bytes(row_group);
            return Verdict::Skip;
        }
        let filters = GroupFilters {
            file,
            zones: scene.zones,
            bytes: scene.bytes,
            row_group,
        };
        let missed = |keys: &Keys<'_>| keys.are_missed_by(&filters);
        let missed = self.steps.bloom_filter && self.keys.iter().any(missed);
        let filters: &dyn Membership = match self.steps.bloom_filter {
            true => &filters,
            false => &Nothing,
        };
        if missed || excludes(&group, filters, predicate) {
            self.pruned.by_bloom_filter += scene.stored_bytes(row_group);
            return Verdict::Skip;
        }
        let filtered = WithMembership {
            known: &group,
            source: filters,
        };
        let (asked, excluded, pages) = {
            let dictionaries =
                GroupDictionaries::new(file, scene.zones, scene.bytes, row_group, &self.misses);
            let known: &dyn Membership = match self.steps.dictionary {
                true => &dictionaries,
                false => &Nothing,
            };
            let no_entry = |keys: &Keys<'_>| keys.are_no_entries(&dictionaries);
            let excluded = excludes(&filtered, known, predicate)
                || self.steps.dictionary
                    && (dictionaries.exclude_together(&group, predicate)
                        || self.keys.iter().any(no_entry));
            let asked = dictionaries.asked();
            let ask = !excluded && self.steps.page_index && self.index_misses < INDEX_MISSES_MAX;
            let pages = match ask {
                true => self.pages(scene, &group, filters, known),
                false => Pages::NotAsked,
            };
            (asked, excluded, pages)
        };
        self.misses.note(asked.into_iter(), excluded);
        if excluded {
            self.pruned.by_dictionary += scene.stored_bytes(row_group);
            return Verdict::Skip;
        }
        match &pages {
            Pages::NotAsked => {}
            Pages::All => self.index_misses += 1,
            Pages::Ranges(ranges) => {
                let kept: u64 = ranges.iter().map(|range| range.end - range.start).sum();
                let rows = u64::try_from(file.row_group(row_group).num_rows()).unwrap_or(kept);
                let pays = rows.saturating_sub(kept) >= rows / INDEX_PAYING_PART;
                self.index_misses = if pays { 0 } else { self.index_misses + 1 };
            }
        }
        match pages {
            Pages::NotAsked | Pages::All => Verdict::Read(None, None),
            Pages::Ranges(ranges) if ranges.is_empty() => {
                self.pruned.by_page_index += scene.stored_bytes(row_group);
                Verdict::Skip
            }
            Pages::Ranges(ranges) => {
                let pages = PageRows::of_all(
                    scene.bytes,
                    scene.file,
                    row_group,
                    scene.leaves,
                    PageRows::read,
                );
                for pages in pages.iter().flat_map(|pages| pages.iter()) {
                    let selected = pages.select(|rows| overlaps(&ranges, rows));
                    let left_out = (pages.rows().len() - selected.rows().len()) as u64;
                    let bytes = pages.bytes().saturating_sub(selected.bytes());
                    self.pruned.pages += left_out;
                    self.pruned.page_bytes = self.pruned.page_bytes.saturating_add(bytes);
                }
                Verdict::Read(Some(ranges.into()), pages)
            }
        }
    }

    /// Whether a row that the evidence is about may have one of the keys in each of their columns.
    fn keys_meet(&self, evidence: &dyn Evidence) -> bool {
        let meet = |keys: &Keys<'_>| keys.meet(evidence.bounds(keys.column).as_ref());
        self.keys.iter().all(meet)
    }

    /// The rows that may match by the indexes of pages.
    fn pages(
        &self,
        scene: &Scene<'_>,
        group: &GroupEvidence<'_>,
        filters: &dyn Membership,
        dictionaries: &dyn Membership,
    ) -> Pages {
        let rows = scene.file.row_group(group.row_group).num_rows();
        let rows = u64::try_from(rows).unwrap_or(0); // not negative: checked with the footer
        let may_match = |evidence: &dyn Evidence| {
            let known = WithMembership {
                known: evidence,
                source: filters,
            };
            let known = WithMembership {
                known: &known,
                source: dictionaries,
            };
            may_match(&known, self.predicate) && self.keys_meet(evidence)
        };
        let best = IndexedAway {
            group,
            file: scene.file,
        };
        if may_match(&best) {
            return Pages::NotAsked;
        }
        let Some(pages) = PageEvidence::read(group, scene.bytes, scene.file, &self.columns) else {
            return Pages::NotAsked;
        };
        let ranges = pages.ranges(rows, || may_match(&pages));
        match ranges.as_slice() {
            [range] if *range == (0..rows) => Pages::All,
            _ => Pages::Ranges(ranges),
        }
    }
}

/// Whether a source excludes the predicate; asks it only if it might.
fn excludes(known: &dyn Evidence, source: &dyn Membership, predicate: &TypedExpr) -> bool {
    !may_match(&AtBest { known, source }, predicate)
        && !may_match(&WithMembership { known, source }, predicate)
}

/// A step that is switched off.
struct Nothing;

impl Membership for Nothing {
    fn can_tell(&self, _comparison: &super::Comparison) -> bool {
        false
    }

    fn tell(&self, _comparison: &super::Comparison) -> Option<crate::storage::interval::Outcome> {
        None
    }
}

/// A file that is being pruned.
struct Scene<'f> {
    file: &'f ParquetFile,
    zones: &'f Zones<'f>,
    bytes: &'f FileBytes<'f>,
    /// The leaf columns that are read.
    leaves: &'f [usize],
}

impl Scene<'_> {
    /// What a step says, or `doubt` if what the file says makes the decoder give up.
    fn guarded<T>(&self, place: &str, doubt: T, step: impl FnOnce() -> T) -> T {
        guard(self.file.path(), place, || Ok(step())).unwrap_or(doubt)
    }

    /// Compressed bytes of what is read of a row group.
    fn stored_bytes(&self, row_group: usize) -> u64 {
        let group = self.file.row_group(row_group);
        let sizes = self.leaves.iter().map(|&leaf| {
            // Sizes are not negative: checked when the footer was read.
            u64::try_from(group.column(leaf).compressed_size()).unwrap_or(0)
        });
        sizes.fold(0, u64::saturating_add)
    }
}
