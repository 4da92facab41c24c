//! What has to be true of the data, as a check.

use db_core::{Conn, Error};
use diesel::Connection as _;

use super::{Cost, Examiner, Verdict};
use crate::Invariant;

impl Examiner {
    /// The same with a check of the invariant's name, which fails when it does not hold and says what is
    /// wrong. It looks in one snapshot, so that sums fit together beside writes that go on.
    #[must_use]
    pub fn with_invariant(self, cost: Cost, invariant: Invariant) -> Self {
        self.with_check(invariant.name().to_owned(), cost, move |conn, _| {
            let found = in_one_snapshot(conn, |conn| invariant.told(conn))?;
            Ok(match found.len() {
                0 => Verdict::ok("nothing is wrong"),
                1 => Verdict::fail(found.into_iter().next().unwrap_or_default()),
                count => Verdict::fail(format!("{count} things are wrong")).names(found),
            })
        })
    }
}

fn in_one_snapshot(
    conn: &mut Conn<'_>,
    look: impl FnOnce(&mut Conn<'_>) -> Result<Vec<String>, Error>,
) -> Result<Vec<String>, Error> {
    match conn {
        Conn::Sqlite(c) => c.transaction(|c| look(&mut c.into())),
        Conn::Postgres(c) => c
            .build_transaction()
            .repeatable_read()
            .read_only()
            .run(|c| look(&mut c.into())),
    }
}
