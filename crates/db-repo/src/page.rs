//! Lists, a page at a time: each page begins after the last row of the one before, by key.

use std::fmt;
use std::str::FromStr;

use chrono::DateTime;
use db_schema::types::UtcTime;

use crate::{LeaderboardOrder, Result, check};

/// Most rows of one page.
const MOST: i64 = 1_000;

/// What a list is ordered by. A cursor of one order says nothing of a list of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    /// Time, then key.
    Time,
    /// Number of the row.
    Number,
    /// Key.
    Key,
    /// Name, then number of the row.
    Name,
    /// Place, then number of the row.
    Place,
    /// A total, then player.
    Score(LeaderboardOrder),
}

impl Order {
    /// What it is called in the text of a cursor.
    const fn tag(self) -> &'static str {
        match self {
            Self::Time => "t",
            Self::Number => "n",
            Self::Key => "k",
            Self::Name => "m",
            Self::Place => "p",
            Self::Score(order) => order.column(),
        }
    }

    fn of_tag(tag: &str) -> Option<Self> {
        let scores = LeaderboardOrder::ALL.iter().copied().map(Self::Score);
        [Self::Time, Self::Number, Self::Key, Self::Name, Self::Place]
            .into_iter()
            .chain(scores)
            .find(|order| order.tag() == tag)
    }
}

/// Where a page ended. Opaque to callers: they hand it back as it is, or as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    order: Order,
    /// What the list is ordered by first, if that is a number: Unix microseconds, or a score.
    value: i64,
    /// The key of the row, among those of equal value.
    key: String,
}

impl Cursor {
    /// Of a list by a number that need not be whole: its bits are kept.
    pub(crate) fn of_number(number: f64, id: i64) -> Self {
        Self {
            order: Order::Place,
            value: number.to_bits().cast_signed(),
            key: id.to_string(),
        }
    }

    /// Of a leaderboard.
    pub(crate) fn of_score(order: LeaderboardOrder, score: i64, player: &str) -> Self {
        Self {
            order: Order::Score(order),
            value: score,
            key: player.to_owned(),
        }
    }

    /// Of a list by a name that several may have.
    pub(crate) fn of_name(name: &str, id: i64) -> Self {
        Self {
            order: Order::Name,
            value: id,
            key: name.to_owned(),
        }
    }
}

/// `<order>:<value>.<key>`
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.order.tag(), self.value, self.key)
    }
}

/// A text that no page gave as its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no cursor of a page: {0:?}")]
pub struct InvalidCursor(String);

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let found = text.split_once(':').and_then(|(tag, rest)| {
            let (value, key) = rest.split_once('.')?;
            Some(Self {
                order: Order::of_tag(tag)?,
                value: value.parse().ok()?,
                key: key.to_owned(),
            })
        });
        found.ok_or_else(|| InvalidCursor(text.to_owned()))
    }
}

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    pub(crate) after: Option<Cursor>,
    pub(crate) limit: i64,
}

/// The first hundred.
impl Default for PageRequest {
    fn default() -> Self {
        Self::first(100)
    }
}

impl PageRequest {
    /// The first `limit` rows, at most a thousand.
    #[must_use]
    pub const fn first(limit: i64) -> Self {
        Self { after: None, limit }
    }

    /// What follows the page that ended here.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// How many rows to ask for: one more than the page holds, to know whether there is another.
    ///
    /// # Errors
    /// `Invalid` for a page of no rows, or of too many.
    pub(crate) fn rows(&self) -> Result<i64> {
        check::within("limit", self.limit, 1..=MOST)?;
        Ok(self.limit + 1)
    }
}

/// Where a list goes on. Each refuses the cursor of a list of another order, as `Invalid`.
impl PageRequest {
    fn cursor(&self, order: Order) -> Result<Option<&Cursor>> {
        match &self.after {
            Some(cursor) if cursor.order != order => Err(check::no_cursor()),
            after => Ok(after.as_ref()),
        }
    }

    /// By time and text, either way.
    pub(crate) fn after_time(&self) -> Result<Option<(UtcTime, &str)>> {
        let Some(cursor) = self.cursor(Order::Time)? else {
            return Ok(None);
        };
        match DateTime::from_timestamp_micros(cursor.value) {
            Some(moment) => Ok(Some((moment.into(), &cursor.key))),
            None => Err(check::no_cursor()),
        }
    }

    /// By time and number, either way.
    pub(crate) fn time_id(&self) -> Result<Option<(UtcTime, i64)>> {
        let Some((at, id)) = self.after_time()? else {
            return Ok(None);
        };
        Ok(Some((at, number(id)?)))
    }

    /// By a number that need not be whole, then by key, upwards.
    pub(crate) fn after_number(&self) -> Result<Option<(f64, i64)>> {
        let Some(cursor) = self.cursor(Order::Place)? else {
            return Ok(None);
        };
        let place = f64::from_bits(cursor.value.cast_unsigned());
        Ok(Some((place, number(&cursor.key)?)))
    }

    /// By a total and player, downwards.
    pub(crate) fn after_score(&self, order: LeaderboardOrder) -> Result<Option<(i64, &str)>> {
        let cursor = self.cursor(Order::Score(order))?;
        Ok(cursor.map(|cursor| (cursor.value, cursor.key.as_str())))
    }
}

/// Where a list goes on, or where it begins: one statement then serves every page of it. They refuse
/// as well.
impl PageRequest {
    /// Newest first, by time and text.
    pub(crate) fn before_time(&self) -> Result<(UtcTime, &str)> {
        Ok(self.after_time()?.unwrap_or((UtcTime::LAST, "")))
    }

    /// Newest first, by time and number.
    pub(crate) fn before_time_id(&self) -> Result<(UtcTime, i64)> {
        Ok(self.time_id()?.unwrap_or((UtcTime::LAST, i64::MAX)))
    }

    /// Oldest first, by time and number, from `begin` on.
    pub(crate) fn after_time_id(&self, begin: UtcTime) -> Result<(UtcTime, i64)> {
        let start = (begin, i64::MIN);
        Ok(self.time_id()?.map_or(start, |cursor| cursor.max(start)))
    }

    /// By number, upwards.
    pub(crate) fn after_id(&self) -> Result<i64> {
        let cursor = self.cursor(Order::Number)?;
        Ok(cursor.map_or(i64::MIN, |cursor| cursor.value))
    }

    /// By number, downwards.
    pub(crate) fn before_id(&self) -> Result<i64> {
        let cursor = self.cursor(Order::Number)?;
        Ok(cursor.map_or(i64::MAX, |cursor| cursor.value))
    }

    /// By a text that is not empty, upwards.
    pub(crate) fn after_key(&self) -> Result<&str> {
        let cursor = self.cursor(Order::Key)?;
        Ok(cursor.map_or("", |cursor| &cursor.key))
    }

    /// By a name that is not empty and number, upwards.
    pub(crate) fn after_name(&self) -> Result<(&str, i64)> {
        let cursor = self.cursor(Order::Name)?;
        Ok(cursor.map_or(("", i64::MIN), |cursor| (&cursor.key, cursor.value)))
    }
}

fn number(key: &str) -> Result<i64> {
    key.parse().map_err(|_| check::no_cursor())
}

/// Where a list by number ends.
pub(crate) const fn id_cursor(id: i64) -> Cursor {
    Cursor {
        order: Order::Number,
        value: id,
        key: String::new(),
    }
}

/// Where a list by text ends.
pub(crate) fn key_cursor(key: &str) -> Cursor {
    Cursor {
        order: Order::Key,
        value: 0,
        key: key.to_owned(),
    }
}

/// Where a list by time ends.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a key is a number or borrowed text, and handing it over reads better"
)]
pub(crate) fn time_cursor(at: UtcTime, key: impl ToString) -> Cursor {
    Cursor {
        order: Order::Time,
        value: at.timestamp_micros(),
        key: key.to_string(),
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows, in the order of the list.
    pub items: Vec<T>,
    /// Where the next one begins; none after the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Of the rows that [`PageRequest::rows`] asked for.
    pub(crate) fn of(
        mut items: Vec<T>,
        request: &PageRequest,
        cursor: impl FnOnce(&T) -> Cursor,
    ) -> Self {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_text() {
        let mut cursors = vec![
            time_cursor(UtcTime::LAST, "a.b:c"),
            id_cursor(-7),
            key_cursor("a.b"),
            Cursor::of_name("n:1", 3),
            Cursor::of_number(-0.5, 3),
        ];
        let scores = LeaderboardOrder::ALL.iter();
        cursors.extend(scores.map(|order| Cursor::of_score(*order, -7, "u.1")));
        for cursor in cursors {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", "7", "x.y", "5.u1", "t:x.y", "t:5", "y:5.u1", ":5.u1"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }

    type Ask = fn(&PageRequest) -> bool;

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let [won, wagered] = [LeaderboardOrder::TotalWon, LeaderboardOrder::TotalWagered];
        let lists: [(Cursor, Ask); 7] = [
            (time_cursor(UtcTime::FIRST, 1), |page| {
                page.time_id().is_ok()
            }),
            (id_cursor(1), |page| {
                page.after_id().is_ok() && page.before_id().is_ok()
            }),
            (key_cursor("1"), |page| page.after_key().is_ok()),
            (Cursor::of_name("1", 1), |page| page.after_name().is_ok()),
            (Cursor::of_number(1.0, 1), |page| {
                page.after_number().is_ok()
            }),
            (Cursor::of_score(won, 1, "1"), |page| {
                page.after_score(LeaderboardOrder::TotalWon).is_ok()
            }),
            (Cursor::of_score(wagered, 1, "1"), |page| {
                page.after_score(LeaderboardOrder::TotalWagered).is_ok()
            }),
        ];
        for (theirs, (cursor, _)) in lists.iter().enumerate() {
            let page = PageRequest::default().after(cursor.clone());
            for (ours, (_, is_ok)) in lists.iter().enumerate() {
                assert_eq!(is_ok(&page), ours == theirs, "{cursor} in list {ours}");
            }
        }
    }

    #[test]
    fn only_a_page_that_is_not_the_last_has_a_next() {
        let request = PageRequest::first(2);
        let cursor = |n: &i64| id_cursor(*n);
        assert_eq!(Page::of(vec![1, 2], &request, cursor).next, None);
        let page = Page::of(vec![1, 2, 3], &request, cursor);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(page.next, Some(id_cursor(2)));
    }

    #[test]
    fn a_page_has_bounds() {
        assert!(PageRequest::first(0).rows().is_err());
        assert!(PageRequest::first(1001).rows().is_err());
        assert_eq!(PageRequest::default().rows().unwrap(), 101);
    }
}
