//! Why a transaction failed, and what the metrics may say of it.
//!
//! An error that comes out of a closure is of the caller's own type, in which nobody here can look.
//! But most of them began as an error of the database, which was converted on the thread that runs
//! the closure: there its kind is noted.

use std::cell::Cell;

use crate::condemned;
use crate::error::{Error, ErrorKind};

thread_local! {
    /// The kind of the database's error that was converted last, in the closure that runs.
    static CONVERTED: Cell<Option<ErrorKind>> = const { Cell::new(None) };
}

/// An error of this crate, or one of the caller's own.
pub(crate) enum Failure<E> {
    Ours(Error),
    /// With the kind of the last error of the database that its closure met, if it met one.
    Callers(E, Option<ErrorKind>),
}

impl<E> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// Notes that an error of the database was converted.
pub(crate) fn note(kind: ErrorKind) {
    CONVERTED.set(Some(kind));
}

/// Runs a caller's closure, on the thread where its errors are converted.
pub(crate) fn of_caller<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<T, Failure<E>> {
    let outer = CONVERTED.take();
    let result = condemned::judged(|| run().map_err(Verdict::Own), Verdict::Condemned);
    let met = CONVERTED.get();
    // An error of a call inside a closure may become that closure's own.
    if result.is_ok() || met.is_none() {
        CONVERTED.set(outer);
    }
    result.map_err(|verdict| match verdict {
        Verdict::Own(error) => Failure::Callers(error, met),
        Verdict::Condemned(error) => Failure::Ours(error),
    })
}

/// Why a closure's work is not committed.
enum Verdict<E> {
    Own(E),
    Condemned(Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(result: Result<(), Failure<&str>>) -> Option<ErrorKind> {
        match result {
            Err(Failure::Callers(_, met)) => met,
            Err(Failure::Ours(error)) => panic!("{error}"),
            Ok(()) => panic!("it is well"),
        }
    }

    #[test]
    fn a_kind_belongs_to_the_closure_that_met_it() {
        note(ErrorKind::Busy);
        assert_eq!(met(of_caller(|| Err("own"))), None);
        let constraint = of_caller(|| {
            note(ErrorKind::Constraint);
            Err("converted")
        });
        assert_eq!(met(constraint), Some(ErrorKind::Constraint));
        let passed_on = of_caller(|| {
            drop(of_caller(|| {
                note(ErrorKind::Deadlock);
                Err::<(), _>("inner")
            }));
            Err("outer")
        });
        assert_eq!(met(passed_on), Some(ErrorKind::Deadlock));
        let inner_was_well = of_caller(|| {
            drop(of_caller(|| {
                note(ErrorKind::Deadlock);
                Ok::<_, ()>(())
            }));
            Err("outer")
        });
        assert_eq!(met(inner_was_well), None);
    }
}
