//! Splits a source text into its code and its comments, so that a rule about one never reads the other.

/// What the text is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Lifetimes, raw strings, nested comments.
    Rust,
    /// C, C++, CUDA.
    C,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Text,
}

/// The text twice, with the same lines and columns: once only its code, once only its comments.
/// Contents of strings are in neither.
pub fn split(text: &str, language: Language) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while !rest.is_empty() {
        let (length, part) = next_part(rest, code.chars().next_back(), language);
        let (piece, after) = rest.split_at(length);
        rest = after;
        for character in piece.chars() {
            let blank = if character == '\n' { '\n' } else { ' ' };
            for (output, wanted) in [(&mut code, Part::Code), (&mut comments, Part::Comment)] {
                match part == wanted {
                    true => output.push(character),
                    false => output.extend(std::iter::repeat_n(blank, character.len_utf8())),
                }
            }
        }
    }
    (code, comments)
}

/// The length in bytes of the part that `rest` begins with, and what it is.
fn next_part(rest: &str, before: Option<char>, language: Language) -> (usize, Part) {
    let line_end = || rest.find('\n').unwrap_or(rest.len());
    if rest.starts_with("//") {
        return (line_end(), Part::Comment);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest, language), Part::Comment);
    }
    let in_word = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
    if let (Language::Rust, false, Some(length)) = (language, in_word, raw_string(rest)) {
        return (length, Part::Text);
    }
    if rest.starts_with('"') {
        // The paths of includes are code.
        let is_include =
            language == Language::C && before == Some(' ') && quoted(rest, '"') <= line_end();
        let part = if is_include && looks_like_path(rest) {
            Part::Code
        } else {
            Part::Text
        };
        return (quoted(rest, '"'), part);
    }
    if rest.starts_with('\'') && (language == Language::C && !in_word || is_character(rest)) {
        return (quoted(rest, '\''), Part::Text);
    }
    (rest.chars().next().map_or(1, char::len_utf8), Part::Code)
}

fn looks_like_path(rest: &str) -> bool {
    rest[1..]
        .split('"')
        .next()
        .is_some_and(|text| text.ends_with(".h") || text.ends_with(".cuh"))
}

fn block_comment(rest: &str, language: Language) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        if tail.starts_with(b"/*") && (depth == 0 || language == Language::Rust) {
            (depth, at) = (depth + 1, at + 2);
        } else if tail.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` and so on.
fn raw_string(rest: &str) -> Option<usize> {
    let body = rest
        .strip_prefix("br")
        .or_else(|| rest.strip_prefix("cr"))
        .or_else(|| rest.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let content = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - content.len();
    Some(
        content
            .find(&end)
            .map_or(rest.len(), |at| start + at + end.len()),
    )
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Whether this quote begins a character and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut characters = rest.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) => true,
        (Some(_), second) => second == Some('\''),
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text, Language::Rust).0
    }

    #[test]
    fn blanks_what_is_not_code() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code(r#"f("x \" // y", 'z')"#), "f(           ,    )");
        assert_eq!(
            code("r#\"un\"safe\"# x<'a> '\\''"),
            format!("{:13}x<'a> {:4}", "", "")
        );
        assert_eq!(code("é\"é\"b").len(), "é\"é\"b".len());
    }

    #[test]
    fn keeps_comments() {
        let (_, comments) = split("a // \"b\"\n\"// c\"", Language::Rust);
        assert_eq!(comments, "  // \"b\"\n      ");
        let (code, _) = split("#include \"abi/a.h\" // x", Language::C);
        assert_eq!(code.trim(), "#include \"abi/a.h\"");
    }
}
