//! From patterns to files.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::opened::is_url;
use crate::error::{Error, Result};

/// The Parquet files that the patterns name, in the order of the patterns, sorted within each.
///
/// A pattern is a file, a folder (all `*.parquet` below it, but nothing below names that start
/// with `.` or `_`), or has wildcards: `*` and `?` within a name, `[a-z]` and `[!a-z]`, `**` for
/// any number of folders. What exists under exactly the given name is taken by that name. Links
/// to folders are followed where a pattern names them, not where a search meets them.
///
/// A URL (`s3://bucket/name`; with the feature `object_store`) names an object, all `*.parquet` below
/// a name that ends in `/`, or has wildcards behind its host.
///
/// # Errors
/// `Io` for a file that is missing or cannot be listed, `InvalidInput` for a folder without
/// Parquet files or a pattern that matches nothing.
pub fn expand<P: AsRef<Path>>(patterns: &[P]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for pattern in patterns {
        let pattern = pattern.as_ref();
        if is_url(pattern) {
            files.append(&mut objects(pattern)?);
            continue;
        }
        let mut found = match fs::metadata(pattern) {
            Ok(found) if found.is_dir() => files_below(pattern)?,
            Ok(_) => vec![pattern.to_path_buf()],
            Err(_) if has_wildcard(pattern) => matches_of(pattern)?,
            Err(cause) => return Err(Error::io(pattern, "open", &cause)),
        };
        found.sort();
        files.append(&mut found);
    }
    if files.is_empty() {
        return Err(Error::invalid(
            "scan",
            "no file is named",
            "name a file, a folder or a pattern such as `data/*.parquet`",
        ));
    }
    Ok(files)
}

#[cfg(feature = "object_store")]
fn objects(pattern: &Path) -> Result<Vec<PathBuf>> {
    let has_wildcard = |text: &str| has_wildcard(Path::new(text));
    super::remote::expand(pattern, has_wildcard, |pattern, name| {
        let (pattern, name): (Vec<&str>, Vec<&str>) =
            (pattern.split('/').collect(), name.split('/').collect());
        path_matches(&pattern, &name)
    })
}

#[cfg(not(feature = "object_store"))]
fn objects(pattern: &Path) -> Result<Vec<PathBuf>> {
    Err(super::opened::no_stores(pattern))
}

/// Whether the parts of a name match those of a pattern, `**` being any number of them.
#[cfg(any(feature = "object_store", test))]
fn path_matches(pattern: &[&str], name: &[&str]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            path_matches(rest, name)
                || name.split_first().is_some_and(|(part, deeper)| {
                    !part.starts_with(['.', '_']) && path_matches(pattern, deeper)
                })
        }
        (Some((part, rest)), Some((own, deeper))) => {
            (!own.starts_with('.') || part.starts_with('.'))
                && name_matches(part, own)
                && path_matches(rest, deeper)
        }
        _ => false,
    }
}

fn has_wildcard(pattern: &Path) -> bool {
    pattern.to_string_lossy().contains(['*', '?', '['])
}

fn is_parquet(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

fn is_hidden(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(['.', '_'])
}

/// The names in a folder, and whether each is a folder itself (and no link to one).
fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let listed = |cause: io::Error| Error::io(folder, "list", &cause);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(listed)? {
        let entry = entry.map_err(listed)?;
        let is_folder = entry.file_type().map_err(listed)?.is_dir();
        found.push((entry.path(), is_folder));
    }
    Ok(found)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for (path, is_folder) in entries(&next)? {
            if path.file_name().is_none_or(is_hidden) {
                continue;
            }
            if is_folder {
                folders.push(path);
            } else if is_parquet(&path) && path.is_file() {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        return Err(Error::invalid(
            format!("folder {}", folder.display()),
            "holds no *.parquet file",
            "name the files by a pattern if they end in something else",
        ));
    }
    Ok(files)
}

fn matches_of(pattern: &Path) -> Result<Vec<PathBuf>> {
    let parts: Vec<Component> = pattern.components().collect();
    let mut files = Vec::new();
    search(PathBuf::new(), &parts, &mut files)?;
    files.sort();
    files.dedup(); // `**/**` finds a file in more than one way
    if files.is_empty() {
        return Err(Error::invalid(
            format!("pattern {}", pattern.display()),
            "matches no file",
            "`**` stands for any number of folders",
        ));
    }
    Ok(files)
}

fn search(at: PathBuf, parts: &[Component], files: &mut Vec<PathBuf>) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        if at.is_file() {
            files.push(at);
        }
        return Ok(());
    };
    let text = part.as_os_str().to_string_lossy();
    if !has_wildcard(Path::new(part.as_os_str())) {
        return search(at.join(part), rest, files);
    }
    let folder = if at.as_os_str().is_empty() {
        Path::new(".")
    } else {
        &at
    };
    if !folder.is_dir() {
        return Ok(());
    }
    let recursive = text == "**";
    if recursive {
        search(at.clone(), rest, files)?;
    }
    for (path, is_folder) in entries(folder)? {
        let Some(name) = path.file_name() else {
            continue;
        };
        let deeper = at.join(name);
        let name = name.to_string_lossy();
        if recursive {
            if is_folder && !name.starts_with(['.', '_']) {
                search(deeper, parts, files)?;
            }
        } else if (!name.starts_with('.') || text.starts_with('.')) && name_matches(&text, &name) {
            search(deeper, rest, files)?;
        }
    }
    Ok(())
}

/// Whether a name matches a pattern of `*`, `?` and `[…]`. An unclosed `[` stands for itself.
fn name_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None; // after the last `*`, and where it ends so far
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => match class(&pattern[p..], name[n]) {
                Some((matched, length)) => matched.then_some(length),
                None => (name[n] == '[').then_some(1),
            },
            Some(letter) => (*letter == name[n]).then_some(1),
            None => None,
        };
        if let Some(length) = step {
            p += length;
            n += 1;
        } else if let Some((after_star, end)) = retry {
            p = after_star;
            n = end + 1;
            retry = Some((after_star, end + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// Whether a letter is in the class that the pattern starts with, and the class's length.
fn class(pattern: &[char], letter: char) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let first = if negated { 2 } else { 1 };
    // A `]` that comes first is a member, not the end.
    let end = (first + 1..pattern.len()).find(|&index| pattern[index] == ']')?;
    let members = &pattern[first..end];
    let mut matched = false;
    let mut index = 0;
    while index < members.len() {
        if index + 2 < members.len() && members[index + 1] == '-' {
            matched |= (members[index]..=members[index + 2]).contains(&letter);
            index += 3;
        } else {
            matched |= members[index] == letter;
            index += 1;
        }
    }
    Some((matched != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.parquet", "a.parquet", true),
            ("*.parquet", "a.parquet.tmp", false),
            ("part-?.parquet", "part-7.parquet", true),
            ("part-?.parquet", "part-17.parquet", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[0-9][!0-9]", "7x", true),
            ("[0-9][!0-9]", "77", false),
            ("[]x]", "]", true),
            ("[", "[", true),
            ("*", "", true),
            ("é?", "éü", true),
        ] {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_match_part_by_part() {
        for (pattern, name, expected) in [
            ("a/*.parquet", "a/b.parquet", true),
            ("a/*.parquet", "a/b/c.parquet", false),
            ("a/**/*.parquet", "a/c.parquet", true),
            ("a/**/*.parquet", "a/b/c/d.parquet", true),
            ("a/**/*.parquet", "a/_b/c.parquet", false),
            ("*/c", ".a/c", false),
        ] {
            let parts = |text: &'static str| text.split('/').collect::<Vec<_>>();
            assert_eq!(
                path_matches(&parts(pattern), &parts(name)),
                expected,
                "{pattern} {name}"
            );
        }
    }

    fn tree() -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        for name in [
            "b.parquet",
            "a.PARQUET",
            "notes.txt",
            "deep/er/c.parquet",
            "deep/d.parquet",
            ".hidden/e.parquet",
            "_temporary/f.parquet",
            "_g.parquet",
            "odd[1].parquet",
            "text/readme.txt",
        ] {
            let path = folder.path().join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, "")?;
        }
        Ok(folder)
    }

    #[test]
    fn finds_files_folders_and_patterns() -> Result<()> {
        let folder = tree()?;
        let found = |pattern: &str| -> Vec<String> {
            match expand(&[folder.path().join(pattern)]) {
                Ok(files) => files
                    .iter()
                    .filter_map(|file| file.strip_prefix(folder.path()).ok())
                    .map(|file| file.display().to_string())
                    .collect(),
                Err(error) => {
                    vec![
                        error
                            .to_string()
                            .replace(&folder.path().display().to_string(), "X"),
                    ]
                }
            }
        };
        assert_eq!(
            found(""),
            [
                "a.PARQUET",
                "b.parquet",
                "deep/d.parquet",
                "deep/er/c.parquet",
                "odd[1].parquet"
            ]
        );
        assert_eq!(
            found("*.parquet"),
            ["_g.parquet", "b.parquet", "odd[1].parquet"]
        );
        assert_eq!(
            found("**/*.parquet"),
            [
                "_g.parquet",
                "b.parquet",
                "deep/d.parquet",
                "deep/er/c.parquet",
                "odd[1].parquet"
            ]
        );
        assert_eq!(found("d*/**/c.parquet"), ["deep/er/c.parquet"]);
        assert_eq!(found("odd[1].parquet"), ["odd[1].parquet"]);
        assert_eq!(found("notes.txt"), ["notes.txt"]);
        assert_eq!(
            found("x.parquet"),
            ["cannot open X/x.parquet: No such file or directory (os error 2)"]
        );
        assert_eq!(
            found("text"),
            ["folder X/text: holds no *.parquet file; \
              name the files by a pattern if they end in something else"]
        );
        assert_eq!(
            found("x*"),
            ["pattern X/x*: matches no file; `**` stands for any number of folders"]
        );
        Ok(())
    }
}
