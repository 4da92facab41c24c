//! An object as a stream of bytes, the next piece on its way while one is read.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use object_store::{Error as Said, GetOptions, GetRange, ObjectMeta, ObjectStore};

use super::client::Client;
use crate::error::Error;

/// Bytes of one request. Each is tried again by itself if the connection is lost.
const PIECE: u64 = 4 << 20;

type Piece = Result<Vec<u8>, Said>;

pub(super) struct Reader {
    client: Arc<Client>,
    name: String,
    meta: ObjectMeta,
    /// Up to here has been asked for.
    asked: u64,
    coming: Option<Receiver<Piece>>,
    piece: Vec<u8>,
    /// How much of the piece has been read.
    read: usize,
}

impl Reader {
    pub(super) fn new(client: Arc<Client>, name: &str, meta: ObjectMeta) -> Self {
        let mut reader = Self {
            client,
            name: name.to_owned(),
            meta,
            asked: 0,
            coming: None,
            piece: Vec::new(),
            read: 0,
        };
        reader.coming = reader.ask();
        reader
    }

    /// Asks for the next piece.
    fn ask(&mut self) -> Option<Receiver<Piece>> {
        let range = self.asked..self.meta.size.min(self.asked + PIECE);
        if range.is_empty() {
            return None;
        }
        self.asked = range.end;
        let options = GetOptions {
            // Pieces of two different objects are worse than an error.
            if_match: self.meta.e_tag.clone(),
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let (objects, path) = (Arc::clone(&self.client.objects), self.meta.location.clone());
        let (sender, receiver) = mpsc::sync_channel(1);
        self.client.spawn(async move {
            let piece = async {
                let found = objects.get_opts(&path, options).await?;
                Ok(Vec::from(found.bytes().await?))
            };
            // Whoever reads may have stopped.
            drop(sender.send(piece.await));
        });
        Some(receiver)
    }

    fn told(&self, error: &Said) -> Error {
        match error {
            Said::Precondition { .. } | Said::NotModified { .. } => {
                Error::damaged(&self.name, "it was replaced while it was read")
            }
            error => self.client.told(&self.name, error),
        }
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() {
            let Some(coming) = self.coming.take() else {
                return Ok(0);
            };
            let piece = self.client.receive(&coming).map_err(io::Error::other)?;
            self.piece = piece.map_err(|e| io::Error::other(self.told(&e)))?;
            self.read = 0;
            if self.piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.coming = self.ask();
        }
        let rest = &self.piece[self.read..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}
