//! A key in a file.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

use super::{EncryptionKey, HOW_TO_MAKE_ONE, mask, read_key};
use crate::error::{Error, ErrorKind};

/// Reads the key, if nobody else can.
pub(super) fn read(path: &Path) -> Result<EncryptionKey, Error> {
    let failed = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => {
                ErrorKind::Configuration
            }
            _ => ErrorKind::Io,
        };
        let failed = wrong(kind, path, &error.to_string());
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => {
                failed.with_hint(HOW_TO_MAKE_ONE)
            }
            _ => failed,
        }
    };
    // Asked before it is opened: opening a pipe waits until somebody writes into it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(wrong(
            ErrorKind::Configuration,
            path,
            "it is no regular file",
        ));
    }
    let mut file = File::open(path).map_err(failed)?;
    if let Some(mode) = open_to_others(&file.metadata().map_err(failed)?) {
        let reason = format!("its mode is {mode:04o}, so that others than its owner have access");
        return Err(wrong(ErrorKind::Configuration, path, &reason)
            .with_hint(format!("chmod 600 {}", path.display())));
    }
    read_key(&mut file).map_err(failed)
}

fn wrong(kind: ErrorKind, path: &Path, reason: &str) -> Error {
    let path = path.display().to_string();
    Error::new(kind, format!("the key file {}: {reason}", mask(&path)))
}

/// The mode, if it lets others than the owner in.
#[cfg(unix)]
fn open_to_others(meta: &Metadata) -> Option<u32> {
    const OTHERS: u32 = 0o077;
    let mode = std::os::unix::fs::MetadataExt::mode(meta);
    (mode & OTHERS != 0).then_some(mode & 0o7777)
}

#[cfg(not(unix))]
fn open_to_others(_meta: &Metadata) -> Option<u32> {
    None
}
