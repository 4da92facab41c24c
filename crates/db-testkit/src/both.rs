//! The macro that runs one test body on both engines.

/// Turns each function into two tests, `name::sqlite` and `name::postgres`.
///
/// The body gets a new, empty [`TestDb`](crate::TestDb) and may return anything a `#[test]`
/// may return. The names matter: `cargo xtask test sqlite` leaves out every test whose path
/// holds `postgres` as a segment, and the summary counts the two halves by them.
///
/// A function and a module of one name do not clash, so the body stays an ordinary function
/// of the surrounding module and needs no imports of its own. `cfg(test)` tells clippy that it
/// is a test, where `unwrap` is at home.
#[macro_export]
macro_rules! both_engines {
    ($(
        $(#[$meta:meta])*
        fn $name:ident($db:ident: $db_type:ty) $(-> $result:ty)? $body:block
    )+) => {$(
        $(#[$meta])*
        #[cfg(test)]
        fn $name($db: $db_type) $(-> $result)? $body

        mod $name {
            #[test]
            fn sqlite() $(-> $result)? {
                super::$name($crate::TestDb::sqlite())
            }

            #[test]
            fn postgres() $(-> $result)? {
                super::$name($crate::TestDb::postgres())
            }
        }
    )+};
}
