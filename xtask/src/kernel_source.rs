//! Reads what a `.cu` file says about itself: its header block, its entries, their comments.
//!
//! A reader of comments and signatures, not a parser of C++. It shares no state with the compiler:
//! what it cannot read is an error that names the line. `tests/tidy.rs` uses this same file.

/// A label of a comment block and its text, continuation lines joined by a space.
pub type Labelled = (String, String);

/// Labels of the block that opens a `.cu` file.
pub const HEADER_LABELS: [&str; 5] = ["Operator", "Kernels", "Method", "Cost", "Source"];
/// Labels of the comment above an entry.
pub const ENTRY_LABELS: [&str; 6] = ["Shape", "Launch", "Order", "Nulls", "Errors", "Tests"];

/// One `extern "C" __global__` function.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, which is also its symbol.
    pub name: String,
    /// The launch struct that it takes.
    pub params: String,
    /// The line of `extern "C"`, from 1.
    pub line: usize,
    /// What it does: the comment above its first label.
    pub summary: String,
    /// What its comment says under each label.
    pub labels: Vec<Labelled>,
}

impl Entry {
    /// The first sentence of the summary.
    pub fn first_sentence(&self) -> &str {
        let end = self
            .summary
            .find(". ")
            .map_or(self.summary.len(), |at| at + 1);
        &self.summary[..end]
    }
}

/// The labelled lines of the `//` block that opens a file.
pub fn header_labels(text: &str) -> Vec<Labelled> {
    let block = text.lines().take_while(|line| line.starts_with("//"));
    let lines = block
        .map(|line| line.trim_start_matches('/'))
        .collect::<Vec<_>>();
    split_labels(&lines, &HEADER_LABELS).1
}

/// Every entry of a file, in order; an error names the line that could not be read.
pub fn entries(text: &str) -> Result<Vec<Entry>, String> {
    let mut found = Vec::new();
    let mut offset = 0;
    while let Some(at) = text[offset..].find("extern \"C\"").map(|at| offset + at) {
        offset = at + "extern \"C\"".len();
        let line = text[..at].matches('\n').count() + 1;
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let commented = text[line_start..at].contains("//");
        if commented || !text[offset..].trim_start().starts_with("__global__") {
            continue;
        }
        let end = text[offset..]
            .find(['{', ';'])
            .ok_or(format!("line {line}: no body"))?;
        let (name, params) = signature(&text[offset..offset + end]).ok_or(format!(
            "line {line}: an entry takes exactly one launch struct"
        ))?;
        let comment = comment_above(&text[..line_start]);
        let (summary, labels) = split_labels(&comment, &ENTRY_LABELS);
        found.push(Entry {
            name,
            params,
            line,
            summary,
            labels,
        });
        offset += end;
    }
    Ok(found)
}

/// The texts of the `///` lines that end `text`.
fn comment_above(text: &str) -> Vec<&str> {
    let lines = text.lines().rev();
    let comment = lines.take_while(|line| line.starts_with("///"));
    let mut comment = comment
        .map(|line| line.trim_start_matches('/'))
        .collect::<Vec<_>>();
    comment.reverse();
    comment
}

/// The name and the parameter's type of `__global__ void … name(… Type … parameter)`.
fn signature(text: &str) -> Option<(String, String)> {
    let close = text.rfind(')')?;
    let mut depth = 0_i32;
    let open = text[..=close]
        .char_indices()
        .rev()
        .find_map(|(at, character)| {
            depth += i32::from(character == ')') - i32::from(character == '(');
            (depth == 0).then_some(at)
        })?;
    let name = identifiers(&text[..open]).last()?;
    let parameters = &text[open + 1..close];
    let passing = ["const", "__grid_constant__", "GRID_CONSTANT"];
    let mut words = identifiers(parameters).filter(|word| !passing.contains(word));
    let params = words.next()?;
    let single = words.next().is_some() && words.next().is_none() && !parameters.contains(',');
    (single && text[..open].ends_with(name)).then(|| (name.to_string(), params.to_string()))
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|character: char| !character.is_alphanumeric() && character != '_');
    words.filter(|word| !word.is_empty())
}

/// Splits comment lines into the text before the first label, and each label with its text.
fn split_labels(lines: &[&str], labels: &[&str]) -> (String, Vec<Labelled>) {
    let mut summary = Vec::new();
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for line in lines.iter().map(|line| line.trim()) {
        let word = line.split_whitespace().next().unwrap_or_default();
        let rest = &line[word.len()..];
        let labelled = labels.contains(&word) && (rest.is_empty() || rest.starts_with("  "));
        match found.last_mut() {
            _ if labelled => found.push((word.to_string(), vec![rest.trim()])),
            Some((_, texts)) => texts.push(line),
            None => summary.push(line),
        }
    }
    let joined = |texts: &[&str]| texts.join(" ").trim().to_string();
    let found = found
        .iter()
        .map(|(label, texts)| (label.clone(), joined(texts)));
    (joined(&summary), found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
// Operator  filter (see the contract)          kernels/filter.cu
// Kernels   filter_select
// Cost      reads 1/8 B per row,
//           writes 4 B per selected row

#include \"abi/filter.h\"

/// Lists the rows. Columns are then
/// gathered.
///
/// Shape   a -> b
/// Nulls   none here
extern \"C\" __global__ void __launch_bounds__(FILTER_SELECT_THREADS)
filter_select(const __grid_constant__ FilterSelectParams params) {
}
extern \"C\" __global__ void plain(GRID_CONSTANT(PlainParams) params) {}
";

    #[test]
    fn reads_entries_and_labels() {
        let entries = entries(FILE).expect("readable");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].name, "filter_select");
        assert_eq!(entries[0].params, "FilterSelectParams");
        assert_eq!(entries[0].line, 13);
        assert_eq!(entries[0].first_sentence(), "Lists the rows.");
        assert_eq!(
            entries[0].labels[1],
            ("Nulls".to_string(), "none here".to_string())
        );
        assert_eq!(
            (entries[1].name.as_str(), entries[1].params.as_str()),
            ("plain", "PlainParams")
        );
        assert_eq!(entries[1].summary, "");
        let header = header_labels(FILE);
        assert_eq!(
            header[2].1,
            "reads 1/8 B per row, writes 4 B per selected row"
        );
    }

    #[test]
    fn refuses_two_parameters() {
        let text = "extern \"C\" __global__ void two(const Params a, int b) {}";
        assert!(
            entries(text)
                .expect_err("two parameters")
                .contains("line 1")
        );
    }
}
