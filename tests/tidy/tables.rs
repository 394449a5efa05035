//! The tables of ARCHITECTURE.md: fenced blocks called rooms, crates, unsafe and doors.

use std::collections::{BTreeMap, BTreeSet};

/// Who may name whom.
#[derive(Default)]
pub struct Tables {
    /// Room -> rooms that it may name.
    pub may_name: BTreeMap<String, BTreeSet<String>>,
    /// Room -> the only rooms that may name it; `*` for everyone.
    pub named_by: BTreeMap<String, BTreeSet<String>>,
    /// External crate -> path prefixes that may name it.
    pub crates: BTreeMap<String, Vec<String>>,
    /// Path prefixes that may hold unsafe code.
    pub unsafe_places: Vec<String>,
    /// Operator -> doors that it need not have.
    pub exemptions: BTreeMap<String, Exemption>,
}

/// A line of the block of doors.
pub struct Exemption {
    /// The doors that may be missing.
    pub doors: BTreeSet<String>,
    /// Why; never empty.
    pub reason: String,
    /// Its line in ARCHITECTURE.md.
    pub line: usize,
}

impl Tables {
    /// Reads all blocks; an error says which line it could not read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tables = Self::default();
        for (number, line) in block(text, "rooms")? {
            let unreadable =
                || format!("ARCHITECTURE.md:{number}: neither `a -> b` nor `a <- b`: {line}");
            let (relation, arrow) = match (line.contains("->"), line.contains("<-")) {
                (true, false) => (&mut tables.may_name, "->"),
                (false, true) => (&mut tables.named_by, "<-"),
                _ => return Err(unreadable()),
            };
            let (room, others) = line.split_once(arrow).ok_or_else(unreadable)?;
            relation.insert(room.trim().to_string(), words(others).collect());
        }
        for (number, line) in block(text, "crates")? {
            let (name, places) = line
                .split_once("->")
                .ok_or(format!("ARCHITECTURE.md:{number}: no `->`: {line}"))?;
            tables
                .crates
                .insert(name.trim().to_string(), words(places).collect());
        }
        tables.unsafe_places = block(text, "unsafe")?
            .into_iter()
            .map(|(_, line)| line.to_string())
            .collect();
        for (number, line) in block(text, "doors")? {
            let exemption = line.split_once(':').and_then(|(operator, rest)| {
                let (doors, reason) = rest.split_once("--")?;
                let (doors, reason) = (words(doors).collect(), reason.trim().to_string());
                (!reason.is_empty()).then(|| {
                    (
                        operator.trim().to_string(),
                        Exemption {
                            doors,
                            reason,
                            line: number,
                        },
                    )
                })
            });
            tables.exemptions.extend([exemption.ok_or(format!(
                "ARCHITECTURE.md:{number}: not `operator: doors -- reason`: {line}"
            ))?]);
        }
        let rooms = tables.rooms();
        for other in tables
            .may_name
            .values()
            .chain(tables.named_by.values())
            .flatten()
        {
            if other != "*" && !rooms.contains(other) {
                return Err(format!(
                    "ARCHITECTURE.md: the block of rooms names {other}, which has no line"
                ));
            }
        }
        Ok(tables)
    }

    /// All rooms.
    pub fn rooms(&self) -> BTreeSet<String> {
        self.may_name
            .keys()
            .chain(self.named_by.keys())
            .cloned()
            .collect()
    }

    /// The innermost room of a path of names such as `backend cuda scan`, if its first name is one.
    pub fn room_of(&self, names: &[&str]) -> Option<String> {
        let rooms = self.rooms();
        let prefixes = (1..=names.len())
            .rev()
            .map(|length| names[..length].join("/"));
        prefixes.into_iter().find(|prefix| rooms.contains(prefix))
    }

    /// Whether `from` may name `to`.
    pub fn may(&self, from: &str, to: &str) -> bool {
        let within =
            |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}/"));
        if within(from, to) || within(to, from) {
            return true;
        }
        match self.named_by.get(to) {
            Some(namers) => namers.contains("*") || namers.iter().any(|namer| within(from, namer)),
            None => self
                .may_name
                .get(from)
                .is_some_and(|rooms| rooms.iter().any(|room| within(to, room))),
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(String::from)
}

/// The lines of a fenced block with their numbers, without blank ones.
fn block<'a>(text: &'a str, name: &str) -> Result<Vec<(usize, &'a str)>, String> {
    let fence = format!("```{name}");
    let mut lines = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| *line != fence);
    lines
        .next()
        .ok_or(format!("ARCHITECTURE.md has no block {fence}"))?;
    let inside = lines.take_while(|(_, line)| !line.starts_with("```"));
    let inside = inside.filter(|(_, line)| !line.trim().is_empty());
    Ok(inside
        .map(|(index, line)| (index + 1, line.trim()))
        .collect())
}
