//! How the data survives: backups that are proven, restores, health, maintenance, salvage.
//!
//! A backup is one artifact (a database file, a dump, a tar; compressed and encrypted if wanted) and
//! a [`Manifest`] that is written last: without its manifest a backup does not exist. Nothing is
//! published that was not checked, and nothing is put in the place of a database that was not
//! decoded, compared with its hashes and checked before.
//!
//! | to change | look in |
//! |---|---|
//! | what a backup is called | `name` |
//! | what is written down of it | `manifest` |
//! | compression, encryption, hashes | `codec` |
//! | where backups are kept | `store` |
//! | which of them belong together | `series` |
//! | the order of steps, engine by engine | `backup`, `verify`, `restore` |
//! | what is checked of a live database | [`health`] |

mod backup;
mod catalog;
mod codec;
mod error;
pub mod health;
mod invariant;
mod looked;
pub mod maintenance;
mod manifest;
mod name;
mod options;
pub mod postgres;
mod priority;
mod progress;
pub mod prune;
mod records;
mod remove;
mod replace;
mod restore;
pub mod retention;
mod room;
pub mod salvage;
pub mod schedule;
mod series;
mod shrunk;
mod sqlite;
mod status;
mod store;
mod tolerated;
mod verify;
mod withheld;

pub use backup::{BackupOptions, Method, Source, create};
pub use catalog::{Entry, Listing, Selector, find, latest, list};
pub use codec::{
    Codec, DEFAULT_LEVEL, Decoded, Encoded, Encoder, Identities, LEVELS, Recipients, decode,
};
pub use error::{Error, brief};
pub use invariant::{Checked, HALF_COPY, Invariant, Observation, Unchecked, half_copy};
pub use manifest::{
    Compression, Content, Depth, Encryption, EngineFacts, FORMAT, FORMAT_UNSOUND, Failure, Kind,
    Level, MadeBy, Manifest, Part, Proof, SchemaFacts, TableRows, Verification,
};
pub use name::{BackupName, FileName};
pub use priority::lower_priority;
pub use progress::{Phase, Progress, Watcher};
pub use remove::{RemovedBackup, remove, remove_last};
pub use replace::Replacement;
pub use restore::{RestoreOptions, Restored, finish_restore, place_of_waiting, restore};
pub use series::{Series, Wanted, is_future};
pub use shrunk::{Shrunk, shrunk};
pub use status::{SeriesStatus, Status, of as status_of, status};
#[cfg(feature = "object-store")]
pub use store::object::BucketStore;
pub use store::{
    Draft, Finished, Lock, Resumed, Store, StoredFile, Waiting, WriteMode, local::LocalStore,
};
pub use verify::{Verified, VerifyOptions, drill, verify};
