//! Count, mean and sum of squared distances from the mean, by group.
//!
//! Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
//! computing sample variances", COMPSTAT 1982; written from the idea.

/// The moments of each group.
#[derive(Debug, Default)]
pub(super) struct Moments {
    pub(super) counts: Vec<i64>,
    pub(super) means: Vec<f64>,
    pub(super) m2: Vec<f64>,
}

impl Moments {
    /// Room for so many groups.
    pub(super) fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        self.means.resize(groups, 0.0);
        self.m2.resize(groups, 0.0);
    }

    /// Adds a value; one that is not finite makes the variance NaN.
    pub(super) fn add(&mut self, group: usize, value: f64) {
        self.add_state(group, 1, value, value * 0.0); // NaN unless it is finite
    }

    /// Adds the moments of other values.
    pub(super) fn add_state(&mut self, group: usize, count: i64, mean: f64, m2: f64) {
        let before = self.counts[group];
        if count == 0 {
            return;
        }
        self.counts[group] += count;
        if before == 0 {
            (self.means[group], self.m2[group]) = (mean, m2);
            return;
        }
        let (before, added) = (before as f64, count as f64);
        let distance = mean - self.means[group];
        let share = added / (before + added);
        self.means[group] += distance * share;
        self.m2[group] += m2 + distance * distance * before * share;
    }

    /// The variance of a group; none if there are too few values.
    pub(super) fn variance(&self, group: usize, ddof: u64) -> Option<f64> {
        let count = self.counts[group].unsigned_abs();
        (count > ddof).then(|| self.m2[group] / (count - ddof) as f64)
    }
}
