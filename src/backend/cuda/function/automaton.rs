//! Regular expressions, and LIKE patterns without regard to case, as a DFA that a kernel walks.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::{primitives::StateID, start, syntax};
use regex_automata::{Anchored, MatchKind};

use crate::error::Result;
use crate::expr::{LikeStep, lower_character};
use crate::kernels::strings::Dfa;
use crate::kernels::{Launch, abi};

/// Most bytes of a DFA as it is built; what needs more is matched on the host. A table of this size
/// stays in the L2 cache.
const DFA_BYTES_MAX: usize = 4 << 20;

/// Most bytes that building it may take.
const BUILD_BYTES_MAX: usize = 32 << 20;

/// A DFA as `Dfa::new` takes it.
pub(super) struct Automaton {
    table: Vec<u16>,
    classes: [u8; 256],
    class_count: u32,
    start: u16,
}

impl Automaton {
    /// The DFA in device memory.
    pub(super) fn upload(&self, launch: &Launch) -> Result<Dfa> {
        let (table, classes) = (&self.table, &self.classes);
        Dfa::new(launch, table, classes, self.class_count, self.start)
    }
}

/// The DFA that finds a regular expression anywhere in a string; none if it would be too large, or
/// asks for what bytes cannot say (a word boundary beyond ASCII).
pub(super) fn of_regex(pattern: &str) -> Option<Automaton> {
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .match_kind(MatchKind::All)
        .dfa_size_limit(Some(DFA_BYTES_MAX))
        .determinize_size_limit(Some(BUILD_BYTES_MAX));
    let dfa = dense::Builder::new()
        .configure(config)
        .syntax(syntax::Config::new())
        .thompson(thompson::Config::new().nfa_size_limit(Some(BUILD_BYTES_MAX)))
        .build(pattern)
        .ok()?;
    tabulate(&dfa)
}

/// The DFA of a LIKE pattern whose characters are lower cases.
pub(super) fn of_like(steps: &[LikeStep]) -> Option<Automaton> {
    static CASES: LazyLock<HashMap<char, Vec<char>>> = LazyLock::new(|| {
        let mut cases: HashMap<char, Vec<char>> = HashMap::new();
        for character in '\0'..=char::MAX {
            let lower = lower_character(character);
            if lower != character {
                cases.entry(lower).or_default().push(character);
            }
        }
        cases
    });
    let mut pattern = String::from(r"(?s)\A");
    for step in steps {
        match step {
            LikeStep::Any => pattern.push_str(".*"),
            LikeStep::One => pattern.push('.'),
            LikeStep::Character(own) => {
                pattern.push('[');
                for case in CASES.get(own).into_iter().flatten().chain([own]) {
                    // Writing to a string cannot fail.
                    let _written = write!(pattern, "\\x{{{:x}}}", u32::from(*case));
                }
                pattern.push(']');
            }
        }
    }
    pattern.push_str(r"\z");
    of_regex(&pattern)
}

/// The reachable states as a table over classes of bytes, the end being a class of its own. A match
/// is final, wherever it ends.
fn tabulate(dfa: &dense::DFA<Vec<u32>>) -> Option<Automaton> {
    let first = dfa
        .start_state(&start::Config::new().anchored(Anchored::No))
        .ok()?;
    let mut numbers: HashMap<StateID, u16> = HashMap::new();
    let mut states: Vec<StateID> = Vec::new();
    let mut number = |state: StateID, states: &mut Vec<StateID>| -> Option<u16> {
        if dfa.is_quit_state(state) {
            return None;
        }
        if dfa.is_match_state(state) {
            return Some(abi::STRINGS_DFA_MATCH as u16);
        }
        if dfa.is_dead_state(state) {
            return Some(abi::STRINGS_DFA_DEAD as u16);
        }
        if let Some(known) = numbers.get(&state) {
            return Some(*known);
        }
        let new = u16::try_from(states.len() + 2).ok()?; // behind the two final ones
        numbers.insert(state, new);
        states.push(state);
        Some(new)
    };
    let start = number(first, &mut states)?;
    // The rows of the two final states, which name themselves; the last column is the end.
    let mut rows: Vec<[u16; 257]> = vec![[0; 257], [1; 257]];
    while let Some(state) = states.get(rows.len() - 2).copied() {
        let mut row = [0; 257];
        for byte in 0..=255u8 {
            row[usize::from(byte)] = number(dfa.next_state(state, byte), &mut states)?;
        }
        row[256] = u16::from(dfa.is_match_state(dfa.next_eoi_state(state)));
        rows.push(row);
    }
    let mut kinds: HashMap<Vec<u16>, u8> = HashMap::new();
    let mut columns: Vec<usize> = Vec::new();
    let mut classes = [0; 256];
    for byte in 0..256 {
        let column: Vec<u16> = rows.iter().map(|row| row[byte]).collect();
        let class = u8::try_from(columns.len()).ok()?;
        classes[byte] = *kinds.entry(column).or_insert_with(|| {
            columns.push(byte);
            class
        });
    }
    columns.push(256);
    let table = rows
        .iter()
        .flat_map(|row| columns.iter().map(|column| row[*column]));
    Some(Automaton {
        table: table.collect(),
        classes,
        class_count: columns.len() as u32,
        start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bytes_cannot_say_or_is_too_large_has_no_table() {
        assert!(of_regex("a.*b|^c$").is_some());
        assert!(of_regex(r"\bword\b").is_none());
        assert!(of_regex("a.{500}b").is_none());
        assert!(of_like(&[LikeStep::Any, LikeStep::Character('k')]).is_some());
    }
}
