//! What only a server can do.

mod home;
