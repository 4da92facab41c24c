//! The async door.

mod call;
mod threads;

#[cfg(test)]
mod tests;
