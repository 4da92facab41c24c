//! Salvage: what is damaged where, what is read all the same, and what nobody may lose.

mod damage;
mod pages;
mod random;
mod world;
