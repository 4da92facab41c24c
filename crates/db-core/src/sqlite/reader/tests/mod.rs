//! The pool of readers on real files, with real threads and processes.

mod anchor;
mod closures;
mod exchanged;
mod fairness;
mod files;
mod leaks;
mod support;
