//! SQLite, which has no server: the processes that share a file are all there is.

mod descriptors;
mod faults;
mod full;
mod idle;
mod kills;
mod load;
mod locks;
mod log;
mod moved;
mod neighbours;
mod power;
mod private;
mod shutdown;
mod stopped;
