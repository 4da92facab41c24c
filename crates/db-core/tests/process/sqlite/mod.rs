//! SQLite, which has no server: the processes that share a file are all there is.

mod kills;
