//! One name, eight doors: an operator has a file of its name in each place.

use super::tables::Tables;
use super::tree::{Finding, Findings, Tree};

/// Door -> where it is, `*` for the operator's name.
const DOORS: [(&str, &str); 8] = [
    ("contract", "src/operators/*.rs"),
    ("cpu", "src/backend/cpu/*.rs"),
    ("cuda", "src/backend/cuda/*.rs"),
    ("launcher", "src/kernels/*.rs"),
    ("kernel", "kernels/*.cu"),
    ("abi", "kernels/abi/*.h"),
    ("test", "tests/operators/*.rs"),
    ("bench", "benches/*.rs"),
];

/// Every operator has its doors, or a reason in ARCHITECTURE.md.
pub fn doors(tree: &Tree, tables: &Tables) -> Vec<Finding> {
    let mut findings = Findings::new("doors");
    let operators = tree
        .paths()
        .filter_map(|path| path.strip_prefix("src/operators/")?.strip_suffix(".rs"));
    let operators: Vec<&str> = operators
        .filter(|name| *name != "mod" && !name.contains('/'))
        .collect();
    for operator in &operators {
        let exemption = tables.exemptions.get(*operator);
        for (door, place) in DOORS {
            // A place that is not there yet, or was removed as a whole, has no doors.
            if !tree.exists(place.split('*').next().unwrap_or(place)) {
                continue;
            }
            let path = place.replace('*', operator);
            let exempt = exemption.is_some_and(|exemption| exemption.doors.contains(door));
            match (has_door(tree, &path, operator, door), exempt, exemption) {
                (false, false, _) => {
                    let remedy = format!(
                        "add it, or `{operator}: {door} -- reason` to the block of doors in ARCHITECTURE.md"
                    );
                    findings.add(
                        &path,
                        0,
                        format!("operator {operator} has no {door}"),
                        remedy,
                    );
                }
                (true, true, Some(exemption)) => {
                    let what =
                        format!("{operator} has its {door} ({}: {})", path, exemption.reason);
                    findings.add(
                        "ARCHITECTURE.md",
                        exemption.line,
                        what,
                        "remove the exemption",
                    );
                }
                _ => {}
            }
        }
    }
    for (operator, exemption) in &tables.exemptions {
        let unknown = exemption
            .doors
            .iter()
            .find(|door| !DOORS.iter().any(|(name, _)| name == door));
        if let Some(door) = unknown {
            findings.add(
                "ARCHITECTURE.md",
                exemption.line,
                format!("there is no door {door}"),
                "use a name of the table of doors",
            );
        }
        if !operators.is_empty() && !operators.contains(&operator.as_str()) {
            findings.add(
                "ARCHITECTURE.md",
                exemption.line,
                format!("there is no operator {operator}"),
                "remove the exemption",
            );
        }
    }
    findings.into_list()
}

/// A door may be a folder of that name, and kernels may be generated.
fn has_door(tree: &Tree, path: &str, operator: &str, door: &str) -> bool {
    let folder = path.rsplit_once('.').map_or(path, |(folder, _)| folder);
    let generated = |other: &str| {
        let name = other
            .strip_prefix("kernels/generated/")
            .and_then(|name| name.strip_suffix(".cu"));
        name.is_some_and(|name| name == operator || name.starts_with(&format!("{operator}_")))
    };
    tree.exists(path) || tree.exists(folder) || (door == "kernel" && tree.paths().any(generated))
}
