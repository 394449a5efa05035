//! Where the rows at a point of a pipeline are, among several ranks, and what an operator makes of it.

use crate::expr::{JoinKind, TypedKind};
use crate::operators::{HashJoinSpec, OperatorSpec, SortKey};

use super::Exchange;

/// On which ranks the rows at a point of a pipeline are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spread {
    /// Each on some rank, which every one of these rules names.
    Apart(Vec<Rule>),
    /// All on rank 0.
    First,
}

/// What names a row's rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// The hash of these columns.
    Hash(Vec<usize>),
    /// The range that these keys are in; which ranges there are, only the exchange knew that made them.
    Range(Vec<SortKey>),
}

impl Rule {
    fn columns(&self) -> Vec<usize> {
        match self {
            Rule::Hash(columns) => columns.clone(),
            Rule::Range(keys) => keys.iter().map(|key| key.column).collect(),
        }
    }

    /// The rule over columns that lie elsewhere now; none if one of them is gone.
    fn moved(&self, place: &dyn Fn(usize) -> Option<usize>) -> Option<Rule> {
        match self {
            Rule::Hash(columns) => {
                let columns = columns.iter().map(|column| place(*column));
                columns.collect::<Option<_>>().map(Rule::Hash)
            }
            Rule::Range(keys) => {
                let key =
                    |key: &SortKey| place(key.column).map(|column| SortKey { column, ..*key });
                keys.iter().map(key).collect::<Option<_>>().map(Rule::Range)
            }
        }
    }
}

impl Spread {
    /// Of rows of which nothing is known.
    pub(super) fn unknown() -> Spread {
        Spread::Apart(Vec::new())
    }

    /// Of the rows behind an exchange.
    pub(super) fn behind(exchange: &Exchange) -> Spread {
        match exchange {
            Exchange::Hash(columns) => Spread::Apart(vec![Rule::Hash(columns.clone())]),
            Exchange::Range(keys) => Spread::Apart(vec![Rule::Range(keys.clone())]),
            Exchange::Broadcast => Spread::unknown(),
            Exchange::First => Spread::First,
        }
    }

    /// Of the rows of several pipelines together.
    pub(super) fn union<'a>(mut all: impl Iterator<Item = &'a Spread>) -> Spread {
        let Some(first) = all.next() else {
            return Spread::unknown();
        };
        all.fold(first.clone(), |one, two| match (one, two) {
            (Spread::First, Spread::First) => Spread::First,
            (Spread::Apart(mut rules), Spread::Apart(others)) => {
                // Ranges of two exchanges are not the same ones.
                rules.retain(|rule| matches!(rule, Rule::Hash(_)) && others.contains(rule));
                Spread::Apart(rules)
            }
            _ => Spread::unknown(),
        })
    }

    /// True if the rows lie as an exchange would have them.
    pub(super) fn holds(&self, exchange: &Exchange) -> bool {
        match (self, exchange) {
            (_, Exchange::Broadcast) => false,
            (Spread::First, _) => true,
            (Spread::Apart(_), Exchange::First) => false,
            (Spread::Apart(rules), Exchange::Hash(columns)) => rules
                .iter()
                .any(|rule| matches!(rule, Rule::Hash(by) if by == columns)),
            // Ranges by more keys are in the order of fewer, too.
            (Spread::Apart(rules), Exchange::Range(keys)) => rules
                .iter()
                .any(|rule| matches!(rule, Rule::Range(by) if by.starts_with(keys))),
        }
    }

    /// True if rows that are equal in these columns are on one rank.
    pub(super) fn meets(&self, columns: &[usize]) -> bool {
        match self {
            Spread::First => true,
            Spread::Apart(rules) => rules.iter().any(|rule| {
                let by = rule.columns();
                !by.is_empty() && by.iter().all(|column| columns.contains(column))
            }),
        }
    }

    /// Of the same rows, whose columns lie elsewhere now; `place` says where.
    pub(super) fn moved(&self, place: impl Fn(usize) -> Option<usize>) -> Spread {
        match self {
            Spread::First => Spread::First,
            Spread::Apart(rules) => {
                let rules = rules.iter().filter_map(|rule| rule.moved(&place));
                Spread::Apart(rules.collect())
            }
        }
    }

    /// Of what a transform leaves of these rows.
    pub(super) fn through(&self, transform: &OperatorSpec) -> Spread {
        match transform {
            OperatorSpec::Filter(_) => self.clone(),
            OperatorSpec::Project(spec) => {
                let is = |column: usize| {
                    let same =
                        |kind: &TypedKind| matches!(kind, TypedKind::Column(c) if *c == column);
                    spec.exprs.iter().position(|expr| same(&expr.kind))
                };
                self.moved(is)
            }
            OperatorSpec::HashJoinProbe(join) => self.through_join(join),
            OperatorSpec::NestedLoopJoinProbe(join) if !join.kind.keeps_build_rows() => {
                self.moved(|column| join.projection.iter().position(|&from| from == column))
            }
            _ => self.moved(|_| None),
        }
    }

    /// Probe rows stay where they are; a build row's columns are worth as much as the probe's where
    /// every row that leaves has both.
    fn through_join(&self, join: &HashJoinSpec) -> Spread {
        let place = |column: usize| join.projection.iter().position(|&from| from == column);
        let width = join.probe.fields().len();
        let equal = |column: usize| {
            let key = join.probe_keys.iter().position(|&key| key == column)?;
            place(width + join.build_keys.get(key)?)
        };
        let Spread::Apart(rules) = self else {
            return Spread::First;
        };
        Spread::Apart(match join.kind {
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => {
                return self.moved(place);
            }
            JoinKind::Inner => {
                let probe = rules.iter().filter_map(|rule| {
                    rule.moved(&|column: usize| place(column).or(equal(column)))
                });
                let build = rules.iter().filter_map(|rule| {
                    rule.moved(&|column: usize| equal(column).or(place(column)))
                });
                let mut both: Vec<Rule> = probe.collect();
                for rule in build {
                    if !both.contains(&rule) {
                        both.push(rule);
                    }
                }
                both
            }
            // A build row without a match is where the hash of its own keys has put it.
            JoinKind::Right if rules.contains(&Rule::Hash(join.probe_keys.clone())) => {
                let keys = join.build_keys.iter().map(|key| place(width + key));
                let keys: Option<Vec<usize>> = keys.collect();
                keys.map(Rule::Hash).into_iter().collect()
            }
            JoinKind::Right | JoinKind::Full => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(columns: &[usize]) -> Spread {
        Spread::Apart(vec![Rule::Hash(columns.to_vec())])
    }

    fn range(columns: &[usize]) -> Exchange {
        let keys = columns.iter().map(|column| SortKey::ascending(*column));
        Exchange::Range(keys.collect())
    }

    #[test]
    fn rows_meet_by_fewer_columns_and_not_by_others() {
        let by_two = hashed(&[1, 2]);
        assert!(by_two.meets(&[2, 0, 1]));
        assert!(!by_two.meets(&[1]));
        assert!(!Spread::unknown().meets(&[1]));
        assert!(Spread::First.meets(&[]));
        assert!(!hashed(&[]).meets(&[1]));
    }

    #[test]
    fn a_hash_holds_for_its_columns_in_their_order() {
        let by_two = hashed(&[1, 2]);
        assert!(by_two.holds(&Exchange::Hash(vec![1, 2])));
        assert!(!by_two.holds(&Exchange::Hash(vec![2, 1])));
        assert!(!by_two.holds(&Exchange::Hash(vec![1])));
        assert!(!by_two.holds(&Exchange::Broadcast));
        assert!(!by_two.holds(&Exchange::First));
    }

    #[test]
    fn ranges_hold_for_their_first_keys() {
        let ranges = Spread::behind(&range(&[1, 2]));
        assert!(ranges.holds(&range(&[1])));
        assert!(ranges.holds(&range(&[1, 2])));
        assert!(!ranges.holds(&range(&[2])));
        assert!(!ranges.holds(&range(&[1, 2, 0])));
        assert!(ranges.meets(&[2, 1]));
        assert!(!ranges.meets(&[1]));
    }

    #[test]
    fn a_union_keeps_what_is_common_and_no_ranges() {
        let ranges = Spread::behind(&range(&[1]));
        let (one, two) = (hashed(&[0]), hashed(&[1]));
        assert_eq!(Spread::union([&one, &one].into_iter()), one);
        assert_eq!(Spread::union([&one, &two].into_iter()), Spread::unknown());
        assert_eq!(Spread::union([&ranges].into_iter()), ranges);
        assert_eq!(
            Spread::union([&ranges, &ranges].into_iter()),
            Spread::unknown()
        );
        assert_eq!(
            Spread::union([&Spread::First, &one].into_iter()),
            Spread::unknown()
        );
    }

    #[test]
    fn a_rule_goes_with_its_last_column() {
        let both = Spread::Apart(vec![Rule::Hash(vec![3]), Rule::Hash(vec![3, 1])]);
        let only_three = both.moved(|column| (column == 3).then_some(0));
        assert_eq!(only_three, hashed(&[0]));
    }
}
