//! What to do about an error that says which setting, or which call, it is about.

/// Of a call that is refused because the queue is full.
pub(crate) const MORE_MAY_WAIT: &str = "`max_waiters` is how many may wait";
/// Of a call for which no connection becomes free.
pub(crate) const MORE_CONNECTIONS: &str = "`max_connections` is how many connections there may be, `connection_timeout` how long a call waits \
     for one";
/// Of a call that waits in vain for what there is one of.
pub(crate) const LONGER_WAIT: &str = "`connection_timeout` is how long a call waits";
/// Of a closure that went on behind an error.
pub(crate) const SAVEPOINT: &str = "return the error, or run what may fail in `conn.savepoint(…)`";
/// Of a write in a read.
pub(crate) const USE_WRITE: &str = "a `read` changes nothing: use `write`";
