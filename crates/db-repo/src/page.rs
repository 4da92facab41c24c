//! Lists, a page at a time: each page begins after the last row of the one before, by key.

use std::fmt;
use std::str::FromStr;

use chrono::DateTime;
use db_schema::types::UtcTime;
use diesel::connection::DefaultLoadingMode;
use diesel::query_dsl::methods::LoadQuery;
use diesel::{QueryResult, RunQueryDsl};

use crate::{Error, Result, check};

/// Most rows of one page.
const MOST: i64 = 1_000;

/// What the text of a cursor begins with: its form, counted.
const FORM: &str = "2:";

/// Where a row stands in its list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// What the list is ordered by first, if that is a number: Unix microseconds, or a score.
    value: i64,
    /// The key of the row, among those of equal value.
    key: String,
}

impl Place {
    /// In a list by a number and then by a key; 0 for every row if it is by a key alone.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a key is a number or borrowed text, and handing it over reads better"
    )]
    pub fn new(value: i64, key: impl ToString) -> Self {
        Self {
            value,
            key: key.to_string(),
        }
    }

    /// In a list by a moment and then by a key.
    pub fn at(moment: UtcTime, key: impl ToString) -> Self {
        Self::new(moment.timestamp_micros(), key)
    }

    /// In a list by the number of the row.
    pub(crate) const fn of_id(id: i64) -> Self {
        Self {
            value: id,
            key: String::new(),
        }
    }

    /// In a list by a text.
    pub(crate) fn of_key(key: &str) -> Self {
        Self::new(0, key)
    }

    /// In a list by a number that need not be whole: its bits are kept.
    pub(crate) fn of_number(number: f64, id: i64) -> Self {
        Self::new(number.to_bits().cast_signed(), id)
    }

    /// In a list by a name that several may have.
    pub(crate) fn of_name(name: &str, id: i64) -> Self {
        Self::new(id, name)
    }
}

/// Where a page ended, and of which list. Opaque to callers: they hand it back as it is, or as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    list: String,
    place: Place,
}

/// `2:<list>:<value>.<key>`
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { value, key } = &self.place;
        write!(f, "{FORM}{}:{value}.{key}", self.list)
    }
}

/// A text that no page gave as its end, or one of an earlier version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no cursor of a page: {0:?}")]
pub struct InvalidCursor(String);

/// As a cursor of another list is refused.
impl From<InvalidCursor> for Error {
    fn from(_: InvalidCursor) -> Self {
        check::no_cursor()
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let found = text.strip_prefix(FORM).and_then(|text| {
            let (list, place) = text.split_once(':')?;
            let (value, key) = place.split_once('.')?;
            let value = value.parse().ok()?;
            let is_one = !list.is_empty() && !key.contains('\0');
            is_one.then(|| Self {
                list: list.to_owned(),
                place: Place::new(value, key),
            })
        });
        found.ok_or_else(|| InvalidCursor(text.to_owned()))
    }
}

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    after: Option<Cursor>,
    limit: i64,
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

    /// The page asked for as one of this list, for a repository that has one. The name, without a
    /// colon, goes into the cursors: change it when the order of the list changes.
    ///
    /// # Errors
    /// `Invalid` for a page of no rows or of too many, and for the cursor of another list.
    pub fn of<'p>(&'p self, list: &'p str) -> Result<Listing<'p>> {
        check::within("limit", self.limit, 1..=MOST)?;
        let after = match &self.after {
            Some(cursor) if cursor.list != list => return Err(check::no_cursor()),
            after => after.as_ref().map(|cursor| &cursor.place),
        };
        Ok(Listing {
            list,
            after,
            limit: self.limit,
        })
    }
}

/// A page of one list, as it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'p> {
    list: &'p str,
    after: Option<&'p Place>,
    limit: i64,
}

impl Listing<'_> {
    /// How many rows to ask for: one more than the page holds, to know whether there is another.
    #[must_use]
    pub const fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// What a query of these rows gives, in room for all of them: a list that grows asks for memory again
    /// and again, which takes a twentieth of the time of a hundred rows.
    ///
    /// # Errors
    /// The query's, and of rows that are none of `T`.
    pub fn load<'q, T, Q, C>(&self, query: Q, conn: &mut C) -> QueryResult<Vec<T>>
    where
        Q: LoadQuery<'q, C, T> + RunQueryDsl<C>,
    {
        let mut found = Vec::with_capacity(usize::try_from(self.rows()).unwrap_or_default());
        for row in query.load_iter::<T, DefaultLoadingMode>(conn)? {
            found.push(row?);
        }
        Ok(found)
    }

    /// The last row of the page before, as [`Place::new`] took it; none of the first page.
    #[must_use]
    pub fn place(&self) -> Option<(i64, &str)> {
        self.after.map(|last| (last.value, last.key.as_str()))
    }

    /// The last row of the page before, as [`Place::at`] took it; none of the first page.
    ///
    /// # Errors
    /// `Invalid` for a moment that cannot be.
    pub fn after_time(&self) -> Result<Option<(UtcTime, &str)>> {
        let Some((value, key)) = self.place() else {
            return Ok(None);
        };
        match DateTime::from_timestamp_micros(value).map(UtcTime::from) {
            Some(moment) if moment >= UtcTime::FIRST => Ok(Some((moment, key))),
            _ => Err(check::no_cursor()),
        }
    }
}

/// Where a list goes on, or where it begins: one statement then serves every page of it.
impl Listing<'_> {
    /// By time and number, either way.
    pub(crate) fn time_id(&self) -> Result<Option<(UtcTime, i64)>> {
        let Some((at, id)) = self.after_time()? else {
            return Ok(None);
        };
        Ok(Some((at, number(id)?)))
    }

    /// By a number that need not be whole, then by key, upwards.
    pub(crate) fn after_number(&self) -> Result<Option<(f64, i64)>> {
        let Some((value, key)) = self.place() else {
            return Ok(None);
        };
        Ok(Some((f64::from_bits(value.cast_unsigned()), number(key)?)))
    }

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
    pub(crate) fn after_id(&self) -> i64 {
        self.after.map_or(i64::MIN, |last| last.value)
    }

    /// By number, downwards.
    pub(crate) fn before_id(&self) -> i64 {
        self.after.map_or(i64::MAX, |last| last.value)
    }

    /// By a text that is not empty, upwards.
    pub(crate) fn after_key(&self) -> &str {
        self.after.map_or("", |last| &last.key)
    }

    /// By a name that is not empty and number, upwards.
    pub(crate) fn after_name(&self) -> (&str, i64) {
        self.after
            .map_or(("", i64::MIN), |last| (&last.key, last.value))
    }

    /// The cursor of a page that ends here.
    pub(crate) fn cursor(&self, place: Place) -> Cursor {
        Cursor {
            list: self.list.to_owned(),
            place,
        }
    }
}

fn number(key: &str) -> Result<i64> {
    key.parse().map_err(|_| check::no_cursor())
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
    /// Of the rows that [`Listing::rows`] asked for; `place` tells where the last one stands.
    pub fn of(mut items: Vec<T>, listing: &Listing<'_>, place: impl FnOnce(&T) -> Place) -> Self {
        let limit = usize::try_from(listing.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let last = if more { items.last() } else { None };
        let next = last.map(|last| listing.cursor(place(last)));
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_text() {
        for place in [
            Place::at(UtcTime::LAST, "a.b:c"),
            Place::of_id(-7),
            Place::of_key("a.b"),
            Place::of_name("n:1", 3),
            Place::of_number(-0.5, 3),
        ] {
            let request = PageRequest::default();
            let cursor = request.of("things.by_name").unwrap().cursor(place);
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in [
            "",
            "7",
            "2:",
            "2:x.y",
            "2:l:x.y",
            "2:l:5",
            "2::5.u1",
            "t:5.u1",
            "3:l:5.u1",
            "2:l:5.u\0x",
        ] {
            let refused = text.parse::<Cursor>().unwrap_err();
            assert_eq!(
                Error::from(refused).to_string(),
                "after: must be the cursor of a page of this list",
                "{text}"
            );
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let request = PageRequest::default();
        let cursor = request.of("users").unwrap().cursor(Place::of_id(1));
        let next = request.after(cursor);
        assert_eq!(next.of("users").unwrap().after_id(), 1);
        for other in ["user", "users.by_name", "games", ""] {
            let refused = next.of(other).unwrap_err();
            assert!(
                matches!(refused, Error::Invalid { field: "after", .. }),
                "{other}"
            );
        }
    }

    #[test]
    fn what_no_list_can_have_ended_at_is_refused() {
        let next = |text: &str| PageRequest::default().after(text.parse().unwrap());
        assert!(
            next(&format!("2:l:{}.1", i64::MAX))
                .of("l")
                .unwrap()
                .after_time()
                .is_err()
        );
        let before = UtcTime::FIRST.timestamp_micros() - 1;
        assert!(
            next(&format!("2:l:{before}.1"))
                .of("l")
                .unwrap()
                .after_time()
                .is_err()
        );
        assert!(next("2:l:1.x").of("l").unwrap().time_id().is_err());
        assert!(next("2:l:1.x").of("l").unwrap().after_number().is_err());
    }

    #[test]
    fn only_a_page_that_is_not_the_last_has_a_next() {
        let request = PageRequest::first(2);
        let listing = request.of("numbers").unwrap();
        let place = |n: &i64| Place::of_id(*n);
        assert_eq!(Page::of(vec![1, 2], &listing, place).next, None);
        let page = Page::of(vec![1, 2, 3], &listing, place);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(page.next, Some(listing.cursor(Place::of_id(2))));
    }

    #[test]
    fn a_page_has_bounds() {
        assert!(PageRequest::first(0).of("l").is_err());
        assert!(PageRequest::first(1001).of("l").is_err());
        assert_eq!(PageRequest::default().of("l").unwrap().rows(), 101);
    }
}
