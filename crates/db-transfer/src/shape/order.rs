//! Parents first.

use std::collections::{BTreeSet, HashMap};

use super::{Table, TableName};

/// Puts parents before children, and by name what could come in any order; names what goes in
/// circles, which come last, by name. A table that refers to itself is no circle.
pub(super) fn parents_first(mut tables: Vec<Table>) -> (Vec<Table>, Vec<Vec<TableName>>) {
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let places: HashMap<TableName, usize> = tables
        .iter()
        .enumerate()
        .map(|(at, table)| (table.name.clone(), at))
        .collect();
    let mut waits: Vec<BTreeSet<usize>> = tables
        .iter()
        .enumerate()
        .map(|(at, table)| {
            let parents = table.parents.iter().filter_map(|parent| places.get(parent));
            parents.copied().filter(|parent| *parent != at).collect()
        })
        .collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); tables.len()];
    for (child, parents) in waits.iter().enumerate() {
        for parent in parents {
            children[*parent].push(child);
        }
    }
    let mut free: BTreeSet<usize> = (0..tables.len())
        .filter(|at| waits[*at].is_empty())
        .collect();
    let mut order = Vec::with_capacity(tables.len());
    while let Some(at) = free.pop_first() {
        order.push(at);
        for &child in &children[at] {
            waits[child].remove(&at);
            if waits[child].is_empty() {
                free.insert(child);
            }
        }
    }
    let placed: BTreeSet<usize> = order.iter().copied().collect();
    let left: Vec<usize> = (0..tables.len())
        .filter(|at| !placed.contains(at))
        .collect();
    let cycles = circles(&left, &waits, &tables);
    order.extend(left);
    let mut slots: Vec<Option<Table>> = tables.into_iter().map(Some).collect();
    let ordered = order
        .into_iter()
        .filter_map(|at| slots[at].take())
        .collect();
    (ordered, cycles)
}

/// The sets of tables each of which can be reached from all others of its set.
fn circles(left: &[usize], waits: &[BTreeSet<usize>], tables: &[Table]) -> Vec<Vec<TableName>> {
    let reach: HashMap<usize, BTreeSet<usize>> =
        left.iter().map(|&at| (at, reached(at, waits))).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for &at in left {
        if seen.contains(&at) || !reach[&at].contains(&at) {
            continue;
        }
        let circle: Vec<usize> = left
            .iter()
            .copied()
            .filter(|other| reach[&at].contains(other) && reach[other].contains(&at))
            .collect();
        seen.extend(circle.iter().copied());
        found.push(
            circle
                .into_iter()
                .map(|at| tables[at].name.clone())
                .collect(),
        );
    }
    found
}

fn reached(from: usize, waits: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        for &parent in &waits[at] {
            if found.insert(parent) {
                next.push(parent);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::TableKind;

    fn name(name: &str) -> TableName {
        TableName {
            schema: None,
            name: name.to_owned(),
        }
    }

    fn order(tables: &[(&str, &[&str])]) -> (Vec<String>, Vec<Vec<TableName>>) {
        let tables = tables.iter().map(|(table, parents)| Table {
            name: name(table),
            kind: TableKind::Plain,
            columns: Vec::new(),
            primary_key: Vec::new(),
            parents: parents.iter().map(|parent| name(parent)).collect(),
            without_rowid: false,
            rows_estimate: None,
        });
        let (tables, cycles) = parents_first(tables.collect());
        (
            tables.into_iter().map(|table| table.name.name).collect(),
            cycles,
        )
    }

    #[test]
    fn parents_come_first_and_then_names_count() {
        let (names, cycles) = order(&[
            ("b", &["z"]),
            ("a", &["b", "a"]),
            ("z", &["elsewhere"]),
            ("c", &[]),
        ]);
        assert_eq!((names.join(" ").as_str(), cycles.len()), ("c z b a", 0));
    }

    #[test]
    fn circles_are_named_and_what_hangs_on_them_is_not() {
        let (names, cycles) = order(&[
            ("x", &["y"]),
            ("y", &["x"]),
            ("child", &["x"]),
            ("p", &["q"]),
            ("q", &["p"]),
            ("free", &[]),
        ]);
        assert_eq!(names.join(" "), "free child p q x y");
        assert_eq!(cycles, [[name("p"), name("q")], [name("x"), name("y")]]);
    }
}
