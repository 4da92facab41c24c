//! What is written beside an encrypted backup of what was found in it: by which check and how much, and no word of the
//! data. Others may read the place.

use crate::invariant::Invariant;

/// What is said where that is all.
pub(crate) const WHY: &str =
    "what was found is not written beside an encrypted backup, and another look tells it";

/// How much was found, by each of these invariants and by all other checks.
pub(crate) fn counted(findings: &[String], invariants: &[Invariant]) -> Vec<String> {
    let is_of = |finding: &String, name: &str| {
        let rest = finding.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(": "))
    };
    let mut left: Vec<&String> = findings.iter().collect();
    let mut counted = Vec::new();
    for invariant in invariants {
        let before = left.len();
        left.retain(|finding| !is_of(finding, invariant.name()));
        if let Some(found) = times(before - left.len()) {
            counted.push(format!("{}: {found}", invariant.name()));
        }
    }
    counted.extend(times(left.len()).map(|found| format!("structure or rows: {found}")));
    counted
}

fn times(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 finding".to_owned()),
        _ => Some(format!("{count} findings")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_by_the_check_that_made_them() {
        let named = |name: &str| Invariant::new(name, |_| Ok(Vec::new()));
        let invariants = [named("money"), named("games"), named("mon")];
        let findings = [
            "money: ada has 7",
            "money: bob has 8",
            "mon: x",
            "row 3 of bets has no parent in users",
            "ada: is no name of a check",
        ];
        let findings = findings.map(str::to_owned);
        assert_eq!(
            counted(&findings, &invariants),
            [
                "money: 2 findings",
                "mon: 1 finding",
                "structure or rows: 2 findings"
            ]
        );
        assert_eq!(counted(&[], &invariants), [""; 0]);
    }
}
