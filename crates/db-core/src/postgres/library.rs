//! The version of the libpq that is linked.
#![expect(
    unsafe_code,
    reason = "libpq's C interface; the block states why it is sound"
)]

/// The version, as people write it: since PostgreSQL 10 a major and a minor number.
pub(crate) fn library_version() -> String {
    // SAFETY: takes no argument, and only returns a number of the library.
    let version = unsafe { pq_sys::PQlibVersion() };
    format!("{}.{}", version / 10_000, version % 10_000)
}
