//! Salvage: what is damaged where, what is read all the same, and what nobody may lose.

mod damage;
#[cfg(feature = "sqlcipher")]
mod encrypted;
mod hostile;
mod pages;
mod random;
mod world;
