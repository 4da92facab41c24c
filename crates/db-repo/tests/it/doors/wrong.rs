//! What cannot be, by the kind of a field.

use db_core::Conn;
use db_repo::Error;
use db_schema::types::{Json, UtcTime};
use serde_json::{Value, json};

use super::Door;

/// What comes out of a sum or a quotient that went wrong.
pub(super) const NO_NUMBERS: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// A method and its call, by a closure that takes the connection and what is written.
macro_rules! door {
    (|$conn:ident, $new:pat_param| $call:expr) => {
        (stringify!($call), |$conn, $new| $call.map(drop))
    };
}

pub(super) type Write<T> = (&'static str, fn(&mut Conn<'_>, &T) -> Result<(), Error>);

/// What is right, the methods that write it, and what is wrong with it in turn.
pub(super) struct Writes<T> {
    right: T,
    by: Vec<Write<T>>,
    doors: Vec<Door>,
}

impl<T: Clone + Send + Sync + 'static> Writes<T> {
    pub(super) const fn of(right: T) -> Self {
        Self {
            right,
            by: Vec::new(),
            doors: Vec::new(),
        }
    }

    pub(super) fn by(mut self, write: Write<T>) -> Self {
        self.by.push(write);
        self
    }

    pub(super) fn doors(self) -> Vec<Door> {
        self.doors
    }

    /// One thing that is wrong, in this field.
    pub(super) fn with(mut self, field: &'static str, set: impl Fn(&mut T)) -> Self {
        let mut wrong = self.right.clone();
        set(&mut wrong);
        for (method, call) in self.by.clone() {
            let wrong = wrong.clone();
            self.doors
                .push(Door::new(method, field, move |conn| call(conn, &wrong)));
        }
        self
    }

    fn each<V: Clone>(self, field: &'static str, wrong: &[V], set: impl Fn(&mut T, V)) -> Self {
        let wrong = wrong.iter();
        wrong.fold(self, |writes, value| {
            writes.with(field, |new| set(new, value.clone()))
        })
    }

    /// A text of one line.
    pub(super) fn text(self, field: &'static str, set: impl Fn(&mut T, String)) -> Self {
        let wrong = ["", "a\0b", "a\nb"].map(str::to_owned);
        self.each(field, &wrong, &set).long(field, set)
    }

    /// A text that other rows or callers refer to.
    pub(super) fn key(self, field: &'static str, set: impl Fn(&mut T, String)) -> Self {
        self.text(field, &set)
            .with(field, |new| set(new, "x".repeat(129)))
    }

    /// A text by which people know something.
    pub(super) fn name(self, field: &'static str, set: impl Fn(&mut T, String)) -> Self {
        let wrong = [" a", "a ", " "].map(str::to_owned);
        self.each(field, &wrong, &set).text(field, set)
    }

    /// A word of a vocabulary.
    pub(super) fn word(self, field: &'static str, set: impl Fn(&mut T, String)) -> Self {
        let wrong = ["two words", "1", &"x".repeat(51)].map(str::to_owned);
        self.each(field, &wrong, &set).text(field, set)
    }

    /// A text that may be empty, or of many lines.
    pub(super) fn prose(self, field: &'static str, set: impl Fn(&mut T, String)) -> Self {
        self.with(field, |new| set(new, "a\0b".to_owned()))
            .long(field, set)
    }

    /// Longer than any text may be.
    fn long(self, field: &'static str, set: impl Fn(&mut T, String)) -> Self {
        self.with(field, |new| set(new, "x".repeat(10_001)))
    }

    pub(super) fn json(self, field: &'static str, set: impl Fn(&mut T, Json)) -> Self {
        let deep = (0..65).fold(json!(1), |inner, _| json!({ "a": [inner] }));
        let long = json!({ "a": "x".repeat(1 << 20) });
        let wrong = [json!({"a": ["\0"]}), json!({"a\0": 1}), deep, long].map(Json);
        self.each(field, &wrong, set)
    }

    pub(super) fn object(self, field: &'static str, set: impl Fn(&mut T, Json)) -> Self {
        let wrong = [Value::Null, json!([]), json!("a"), json!(1)].map(Json);
        self.each(field, &wrong, &set).json(field, set)
    }

    pub(super) fn numbers(
        self,
        field: &'static str,
        wrong: &[i64],
        set: impl Fn(&mut T, i64),
    ) -> Self {
        self.each(field, wrong, set)
    }

    pub(super) fn floats(
        self,
        field: &'static str,
        wrong: &[f64],
        set: impl Fn(&mut T, f64),
    ) -> Self {
        self.each(field, wrong, set)
    }

    /// So many bytes.
    pub(super) fn bytes(
        self,
        field: &'static str,
        wrong: &[usize],
        set: impl Fn(&mut T, Vec<u8>),
    ) -> Self {
        let wrong: Vec<_> = wrong.iter().map(|length| vec![7; *length]).collect();
        self.each(field, &wrong, set)
    }

    /// Before the first moment that PostgreSQL knows.
    pub(super) fn moment(self, field: &'static str, set: impl Fn(&mut T, UtcTime)) -> Self {
        let before = UtcTime::FIRST.checked_sub_signed(chrono::TimeDelta::microseconds(1));
        self.with(field, |new| set(new, before.unwrap().into()))
    }
}

pub(super) use door;
