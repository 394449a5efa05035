//! Names that were meant by names that do not exist.

/// "did you mean `x`?" for the nearest name, or all names if none is near.
pub(super) fn suggestion<'a>(wanted: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|name| (edit_distance(wanted, name), name))
        .min();
    match nearest {
        Some((distance, name)) if distance <= wanted.len().max(name.len()) / 3 => {
            format!("did you mean `{name}`?")
        }
        _ => format!("the names are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Letters to insert, delete or replace to turn one word into the other (Levenshtein).
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
