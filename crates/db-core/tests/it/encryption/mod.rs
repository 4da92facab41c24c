//! Encrypted databases: what is in their files, and who gets in.

#[cfg(feature = "sqlcipher")]
mod sqlite;
