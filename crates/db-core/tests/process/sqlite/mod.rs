//! SQLite, which has no server: the processes that share a file are all there is.

mod kills;
mod load;
mod locks;
mod log;
mod neighbours;
mod private;
mod shutdown;
