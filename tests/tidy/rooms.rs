//! Rules about who may name whom, and where unsafe code and environment variables may stand.

use super::tables::Tables;
use super::tree::{Finding, Findings, Tree, line_of};

/// Modules of the library name only the rooms that ARCHITECTURE.md allows them.
pub fn rooms(tree: &Tree, tables: &Tables) -> Vec<Finding> {
    let mut findings = Findings::new("rooms");
    for (path, file) in tree
        .written(&[".rs"])
        .filter(|(path, _)| path.starts_with("src/"))
    {
        let module = module_path(path);
        if module.is_empty() {
            continue;
        }
        let Some(room) = tables.room_of(&module) else {
            let what = format!("{} is no room", module[0]);
            findings.add(
                path,
                0,
                what,
                "add it to the block of rooms in ARCHITECTURE.md",
            );
            continue;
        };
        let code = without_tests(&file.code);
        for (offset, names) in paths_from_root(&code, &module) {
            let line = line_of(&code, offset);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            match tables.room_of(&names) {
                Some(other) if !tables.may(&room, &other) => {
                    let remedy = format!(
                        "move what {room} needs to a room that it may name, or change ARCHITECTURE.md and say why"
                    );
                    findings.add(path, line, format!("{room} may not name {other}"), remedy);
                }
                None if !is_root_item(&names) => {
                    let what = format!("crate::{} hides which room is meant", names[0]);
                    findings.add(path, line, what, "name it by the path of its room");
                }
                _ => {}
            }
        }
    }
    findings.into_list()
}

/// What the root of the crate may lend to the rooms: macros, and the error type of the floor.
fn is_root_item(names: &[&str]) -> bool {
    names[0].ends_with('!') || ["Error", "ErrorKind", "Result"].contains(&names[0])
}

/// Each external crate with a door is named only behind it.
pub fn crates(tree: &Tree, tables: &Tables) -> Vec<Finding> {
    let mut findings = Findings::new("crates");
    let scanned = |path: &str| {
        ["src/", "codegen/src/", "simt/src/", "cli/src/", "adapters/"]
            .iter()
            .any(|root| path.starts_with(root))
    };
    for (path, file) in tree.written(&[".rs"]).filter(|(path, _)| scanned(path)) {
        for (name, places) in &tables.crates {
            if places.iter().any(|place| is_below(path, place)) {
                continue;
            }
            // A module of the same name is not the crate.
            let own_module = word_offsets(&file.code, name).any(|at| {
                let before = file.code[..at].trim_end();
                before.ends_with("mod") || before.ends_with("::") || before.ends_with("self as")
            });
            for at in word_offsets(&file.code, name) {
                let before = file.code[..at].trim_end();
                let after = &file.code[at + name.len()..];
                let imported = before.ends_with("use") || before.ends_with("extern crate");
                let head = after.starts_with("::") && !before.ends_with("::");
                if imported || (head && !own_module) {
                    let remedy = format!("go through {}", places.join(" or "));
                    findings.add(
                        path,
                        line_of(&file.code, at),
                        format!("the crate {name} is named"),
                        remedy,
                    );
                }
            }
        }
    }
    findings.into_list()
}

/// Only `options` reads environment variables in the library.
pub fn environment(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::new("environment");
    let exempt = |path: &str| {
        path == "src/options.rs"
            || path.starts_with("src/options/")
            || path.ends_with("build.rs")
            // The tests of an adapter, which say how many cases they draw.
            || path.contains("/tests/")
    };
    let scanned = |path: &str| {
        ["src/", "codegen/src/", "simt/src/", "adapters/"]
            .iter()
            .any(|root| path.starts_with(root))
    };
    for (path, file) in tree
        .written(&[".rs"])
        .filter(|(path, _)| scanned(path) && !exempt(path))
    {
        let code = without_tests(&file.code);
        for (at, _) in code
            .match_indices("env::")
            .filter(|(at, _)| reads_environment(&code[at + "env::".len()..]))
        {
            let remedy = "read it in src/options.rs and pass the value";
            findings.add(
                path,
                line_of(&code, at),
                "an environment variable is read",
                remedy,
            );
        }
    }
    findings.into_list()
}

fn reads_environment(after: &str) -> bool {
    let name = identifier(after);
    name.starts_with("var")
        || name == "set_var"
        || (name.is_empty()
            && after.starts_with('{')
            && after[..after.find('}').unwrap_or(0)].contains("var"))
}

/// Unsafe code stands only where ARCHITECTURE.md says, and the other rooms forbid it.
pub fn unsafe_places(tree: &Tree, tables: &Tables) -> Vec<Finding> {
    let mut findings = Findings::new("unsafe");
    let places = &tables.unsafe_places;
    let allowed = |path: &str| places.iter().any(|place| is_below(path, place));
    for (path, file) in tree.written(&[".rs"]).filter(|(path, _)| !allowed(path)) {
        for at in word_offsets(&file.code, "unsafe") {
            let remedy = format!("move it behind a safe function of {}", places.join(", "));
            findings.add(path, line_of(&file.code, at), "unsafe code", remedy);
        }
    }
    for (path, file) in tree.written(&[".rs"]).filter(|(path, _)| !allowed(path)) {
        let holds_place = |folder: &str| {
            places
                .iter()
                .any(|place| place.starts_with(&format!("{folder}/")))
        };
        let required = match room_file(path) {
            // The root of a crate, and a room, forbid for all that they contain …
            Some(folder) => !holds_place(folder),
            // … unless that includes a place for unsafe code: then each of their other files does.
            None => path.rsplit_once('/').is_some_and(|(folder, _)| {
                folder != "src" && holds_place(folder) && path.starts_with("src/")
            }),
        };
        if required && !file.code.contains("#![forbid(unsafe_code)]") {
            findings.add(
                path,
                0,
                "unsafe code is not forbidden",
                "begin the module with #![forbid(unsafe_code)]",
            );
        }
    }
    findings.into_list()
}

/// The folder that this file is the head of, if it is a room of the library or the root of a crate
/// beside it.
fn room_file(path: &str) -> Option<&str> {
    if let Some(krate) = path
        .strip_suffix("/src/lib.rs")
        .or_else(|| path.strip_suffix("/src/main.rs"))
    {
        return Some(krate);
    }
    let inside = path
        .strip_prefix("src/")
        .filter(|inside| *inside != "lib.rs")?;
    let room = inside
        .strip_suffix("/mod.rs")
        .or_else(|| inside.strip_suffix(".rs"))?;
    (!room.contains('/')).then(|| &path[.."src/".len() + room.len()])
}

pub fn is_below(path: &str, place: &str) -> bool {
    path == place
        || path
            .strip_prefix(place)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// The module path of a file of the library: empty for `lib.rs`.
fn module_path(path: &str) -> Vec<&str> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let inside = inside.trim_end_matches("/mod");
    inside.split('/').filter(|name| *name != "lib").collect()
}

/// The code with the bodies of `#[cfg(test)] mod … { }` blanked.
fn without_tests(code: &str) -> String {
    let mut code = code.to_string();
    while let Some(at) = code.find("#[cfg(test)]") {
        let end = match code[at..].find(['{', ';']) {
            Some(open) if code[at + open..].starts_with('{') => matching_brace(&code, at + open),
            _ => at + 1,
        };
        let blanked = code[at..end].chars().map(|c| {
            if c == '\n' {
                "\n".into()
            } else {
                " ".repeat(c.len_utf8())
            }
        });
        let blanked = blanked.collect::<String>();
        code.replace_range(at..end, &blanked);
    }
    code
}

/// The offset behind the brace that closes the one at `open`.
fn matching_brace(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Every path of the code that leads to the root of the crate: its offset, and the names below the
/// root. Groups of an import give one path each.
fn paths_from_root(code: &str, module: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut paths = Vec::new();
    for at in word_offsets(code, "crate") {
        if let Some(rest) = code[at..].strip_prefix("crate::") {
            follow(rest, &[], at, &mut paths);
        }
    }
    for at in word_offsets(code, "super") {
        let before = code[..at].trim_end();
        if before.ends_with("::") && !before.ends_with("self::") {
            continue;
        }
        let (mut rest, mut steps) = (&code[at..], 0);
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, steps) = (after, steps + 1);
        }
        // Paths that end in the module's own room need no rule.
        if steps >= 1 && steps <= module.len() {
            follow(rest, &module[..module.len() - steps], at, &mut paths);
        }
    }
    paths
}

/// Reads names and groups behind a `::`, up to three names deep.
fn follow(rest: &str, base: &[&str], at: usize, paths: &mut Vec<(usize, Vec<String>)>) {
    const DEPTH_MAX: usize = 3; // more than the deepest room
    if let Some(group) = rest.strip_prefix('{') {
        for item in group_items(group) {
            follow(item.trim_start(), base, at, paths);
        }
        return;
    }
    let name = identifier(rest);
    if name.is_empty() || name == "self" {
        if !base.is_empty() {
            paths.push((at, base.iter().map(ToString::to_string).collect()));
        }
        return;
    }
    let after = &rest[name.len()..];
    let is_macro = after.starts_with('!') && !after.starts_with("!=");
    let name = if is_macro {
        format!("{name}!")
    } else {
        name.to_string()
    };
    let names: Vec<&str> = base.iter().copied().chain([name.as_str()]).collect();
    match after.strip_prefix("::").filter(|_| names.len() < DEPTH_MAX) {
        Some(after) => follow(after.trim_start(), &names, at, paths),
        None => paths.push((at, names.iter().map(ToString::to_string).collect())),
    }
}

/// The items of a group, given what follows its opening brace.
fn group_items(group: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

fn identifier(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The offsets at which `word` stands as a whole identifier.
pub fn word_offsets<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> {
    let in_word =
        |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let (before, after) = (
                code[..*at].chars().next_back(),
                code[at + word.len()..].chars().next(),
            );
            !in_word(before) && !in_word(after)
        })
}
