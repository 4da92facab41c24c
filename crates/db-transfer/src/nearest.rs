//! Names that are not there: which was meant, and what there is.

/// How like two names are, from 0 to 1, of which one may be a slip of the other.
const LIKE: f64 = 0.7;

/// What is said of a table that somebody names and that is not there.
pub(crate) fn no_table<'n>(name: &str, there: impl Iterator<Item = &'n str> + Clone) -> String {
    let all = listed(there.clone());
    match nearest(name, there) {
        Some(meant) => format!("there is no table {name:?}; did you mean {meant}? There are {all}"),
        None => format!("there is no table {name:?}; there are {all}"),
    }
}

/// The name that was meant, if one is like it.
fn nearest<'n>(name: &str, there: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name);
    there
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness > LIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// Names for a message, the first of very many.
pub(crate) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const MOST: usize = 12;
    let names: Vec<_> = names.collect();
    let shown = names
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len() {
        0 => "none".to_owned(),
        n if n > MOST => format!("{shown} and {} more", n - MOST),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::no_table;

    #[test]
    fn of_many_names_the_first_are_listed() {
        let names: Vec<_> = ('a'..='z').map(String::from).collect();
        assert_eq!(
            no_table("?", names.iter().map(String::as_str)),
            "there is no table \"?\"; there are a, b, c, d, e, f, g, h, i, j, k, l and 14 more"
        );
    }

    #[test]
    fn a_slip_is_seen_and_what_is_like_nothing_is_not() {
        let there = ["bets", "games", "users"];
        let told = |name| no_table(name, there.into_iter());
        assert!(
            told("usres")
                .starts_with("there is no table \"usres\"; did you mean users? There are bets")
        );
        assert!(told("GAME").contains("did you mean games?"));
        assert_eq!(
            told("x"),
            "there is no table \"x\"; there are bets, games, users"
        );
        assert_eq!(
            no_table("x", [].into_iter()),
            "there is no table \"x\"; there are none"
        );
    }
}
