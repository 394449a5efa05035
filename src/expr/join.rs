//! Which rows a join gives.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Name of the column that a mark join adds.
pub const MARK_NAME: &str = "mark";

/// Which rows a join gives, and what of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// Every match: a pair of a probe row and a build row.
    Inner,
    /// Every match, and each probe row without one.
    Left,
    /// Every match, and each build row without one .
    Right,
    /// Every match, and each row of either side without one.
    Full,
    /// Each probe row with a match, once.
    Semi,
    /// Each probe row without a match.
    Anti,
    /// Each probe row, with a Boolean that says whether it has a match: true or false, never null.
    Mark,
}

impl JoinKind {
    /// All of them.
    pub const ALL: [JoinKind; 7] = [
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
        JoinKind::Semi,
        JoinKind::Anti,
        JoinKind::Mark,
    ];

    /// The kind that gives the same rows when the sides change places. Semi, anti and mark joins, which
    /// have none, stay what they are.
    #[must_use]
    pub fn swapped(self) -> JoinKind {
        match self {
            JoinKind::Left => JoinKind::Right,
            JoinKind::Right => JoinKind::Left,
            other => other,
        }
    }

    /// True if build rows leave, not only the knowledge that they are there.
    pub fn gives_build_rows(self) -> bool {
        matches!(
            self,
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full
        )
    }

    /// True if a probe row without a match leaves, with nulls for the build side.
    pub fn keeps_probe_rows(self) -> bool {
        matches!(self, JoinKind::Left | JoinKind::Full)
    }

    /// True if a build row without a match leaves, with nulls for the probe side.
    pub fn keeps_build_rows(self) -> bool {
        matches!(self, JoinKind::Right | JoinKind::Full)
    }
}

impl fmt::Display for JoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinKind::Inner => "inner",
            JoinKind::Left => "left",
            JoinKind::Right => "right",
            JoinKind::Full => "full",
            JoinKind::Semi => "semi",
            JoinKind::Anti => "anti",
            JoinKind::Mark => "mark",
        })
    }
}
