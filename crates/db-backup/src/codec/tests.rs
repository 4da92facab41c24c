//! Round trips, and what was changed on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use age::secrecy::ExposeSecret;
use db_core::Interrupt;

use super::*;
use crate::manifest::{EngineFacts, FORMAT, Kind, MadeBy, Manifest, Part, Proof};
use crate::progress::Watcher;
use crate::store::{Draft, Lock, Store, StoredFile, WriteMode};

const NAME: &str = "backup_20251122_143005";

/// Files in memory.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    fn put(&self, name: &str, bytes: &[u8]) {
        self.0
            .lock()
            .unwrap()
            .insert(name.to_owned(), bytes.to_vec());
    }
}

impl Store for Memory {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn list(&self) -> Result<Vec<StoredFile>, Error> {
        unreachable!()
    }

    fn read(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
        match self.0.lock().unwrap().get(name) {
            Some(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            None => Err(Error::NotFound {
                name: name.to_owned(),
                place: self.location(),
            }),
        }
    }

    fn publish(
        &self,
        _: Draft,
        _: &str,
        _: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        unreachable!()
    }

    fn write_small(&self, _: &str, _: &[u8], _: WriteMode) -> Result<(), Error> {
        unreachable!()
    }

    fn remove(&self, _: &str) -> Result<(), Error> {
        unreachable!()
    }

    fn draft(&self) -> Result<Draft, Error> {
        Draft::new_in(Path::new("/nowhere"), "")
    }

    fn lock(&self, _: &str) -> Result<Lock, Error> {
        unreachable!()
    }
}

struct Keys {
    codec: Codec,
    identities: Identities,
}

fn keys(level: Option<i32>, encrypted: bool) -> Keys {
    let identity = age::x25519::Identity::generate();
    let text = format!("# a key\n{}\n", identity.to_string().expose_secret());
    Keys {
        codec: Codec {
            level,
            recipients: if encrypted {
                Recipients::parse([identity.to_public().to_string()]).unwrap()
            } else {
                Recipients::default()
            },
        },
        identities: Identities::parse_file("key.txt", &text).unwrap(),
    }
}

/// Pages as of a database: the same again and again, and some noise.
fn content(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(bytes as u64);
    let mut content = vec![0; bytes];
    for chunk in content.chunks_mut(512).step_by(3) {
        random.fill(chunk);
    }
    content
}

fn stored(store: &Memory, codec: &Codec, content: &[u8], parts: usize) -> Manifest {
    let mut encoder = Encoder::new(codec, Vec::new()).unwrap();
    encoder.write_all(content).unwrap();
    let (bytes, encoded) = encoder.finish().unwrap();
    assert_eq!(encoded.stored.bytes, bytes.len() as u64);
    let size = bytes.len().div_ceil(parts).max(1);
    let mut written = Vec::new();
    for (at, chunk) in bytes.chunks(size).enumerate() {
        let name = format!("{NAME}.db.{at}");
        store.put(&name, chunk);
        let (_, hashed) = {
            let mut hashed = Hashed::new(io::sink());
            hashed.write_all(chunk).unwrap();
            hashed.finish()
        };
        if parts == 1 {
            assert_eq!(hashed.sha256, encoded.stored.sha256);
        }
        written.push(Part {
            name,
            bytes: hashed.bytes,
            sha256: hashed.sha256,
        });
    }
    let at = chrono::DateTime::UNIX_EPOCH;
    Manifest {
        format: FORMAT,
        name: NAME.to_owned(),
        kind: Kind::PostgresDump,
        started_at: at,
        finished_at: at,
        duration_ms: 0,
        made_by: MadeBy::this("test"),
        engine: EngineFacts::default(),
        database: String::new(),
        schema: None,
        tables: Vec::new(),
        content: encoded.content,
        parts: written,
        compression: codec.compression(),
        encryption: codec.encryption(),
        proof: Proof::default(),
        requires: Vec::new(),
        sha256: String::new(),
    }
}

fn read_back(store: &Memory, manifest: &Manifest, with: &Identities) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut last = 0;
    let mut progress = |p: crate::Progress| {
        assert!(p.done >= last && p.done <= p.total);
        last = p.done;
    };
    let interrupt = Interrupt::default();
    let mut watcher = Watcher::new(&mut progress, &interrupt);
    decode(store, manifest, with, &mut out, &mut watcher)?;
    Ok(out)
}

fn all_ways() -> impl Iterator<Item = Keys> {
    [
        (None, false),
        (Some(3), false),
        (None, true),
        (Some(1), true),
    ]
    .into_iter()
    .map(|(level, encrypted)| keys(level, encrypted))
}

#[test]
fn what_was_written_is_read_back() {
    for keys in all_ways() {
        for (bytes, parts) in [(1, 1), (70_000, 1), (1 << 20, 1), (1 << 20, 5)] {
            let content = content(bytes);
            let store = Memory::default();
            let manifest = stored(&store, &keys.codec, &content, parts);
            let back = read_back(&store, &manifest, &keys.identities).unwrap();
            assert!(back == content, "{:?}", keys.codec);
        }
    }
}

#[test]
fn flips_cuts_and_additions_are_seen() {
    let mut random = fastrand::Rng::with_seed(19);
    for keys in all_ways() {
        for parts in [1, 3] {
            let content = content(20_000);
            let store = Memory::default();
            let manifest = stored(&store, &keys.codec, &content, parts);
            for part in &manifest.parts {
                let good = store.0.lock().unwrap()[&part.name].clone();
                for _ in 0..200 {
                    let at = random.usize(..good.len());
                    let mut bad = good.clone();
                    match random.u8(..4) {
                        0 => bad.truncate(at),
                        1 => bad.push(random.u8(..)),
                        2 => drop(bad.remove(at)),
                        _ => bad[at] ^= 1 << random.u8(..8),
                    }
                    store.put(&part.name, &bad);
                    let error = read_back(&store, &manifest, &keys.identities).unwrap_err();
                    let found = matches!(error, Error::Damaged { .. } | Error::Identity { .. });
                    assert!(found, "{error}");
                }
                store.put(&part.name, &good);
            }
            store
                .0
                .lock()
                .unwrap()
                .remove(&manifest.parts[parts - 1].name);
            let error = read_back(&store, &manifest, &keys.identities).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
    }
}

#[test]
fn a_bomb_stops_at_the_length_of_the_manifest() {
    let store = Memory::default();
    let codec = keys(Some(19), false).codec;
    let mut manifest = stored(&store, &codec, &vec![0; 64 << 20], 1);
    assert!(manifest.stored_bytes() < 100_000);
    manifest.content.bytes = 4_096;
    let mut written = Hashed::new(io::sink());
    let mut progress = |_| {};
    let interrupt = Interrupt::default();
    let mut watcher = Watcher::new(&mut progress, &interrupt);
    let none = Identities::default();
    let error = decode(&store, &manifest, &none, &mut written, &mut watcher).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(written.finish().1.bytes <= 4_096);
}

#[test]
fn a_header_without_end_is_refused() {
    let store = Memory::default();
    let keys = keys(None, true);
    let manifest = stored(&store, &keys.codec, b"x", 1);
    let mut endless = b"age-encryption.org/v1\n".to_vec();
    for _ in 0..100_000 {
        endless.extend_from_slice(b"-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n");
    }
    let mut hostile = manifest.clone();
    hostile.parts[0].bytes = endless.len() as u64;
    store.put(&manifest.parts[0].name, &endless);
    let error = read_back(&store, &hostile, &keys.identities).unwrap_err();
    assert!(error.to_string().contains("no end"), "{error}");
}

#[test]
fn the_wrong_identity_and_none_are_told_apart_from_damage() {
    let store = Memory::default();
    let with = keys(Some(3), true);
    let manifest = stored(&store, &with.codec, b"secret", 1);
    for identities in [Identities::default(), keys(None, true).identities] {
        let error = read_back(&store, &manifest, &identities).unwrap_err();
        assert!(matches!(error, Error::Identity { .. }), "{error}");
    }
}

#[test]
fn keys_are_never_repeated() {
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string().expose_secret().to_owned();
    let error = Recipients::parse([&secret]).unwrap_err().to_string();
    assert!(!error.contains(&secret[20..40]), "{error}");
    let wrong = secret.replace('1', "2");
    let error = Identities::parse_file("f", &wrong).unwrap_err().to_string();
    assert!(!error.contains(&wrong[20..40]), "{error}");
    Identities::parse_file("f", "# nothing\n").unwrap_err();
    let good = Identities::parse_file("f", &secret).unwrap();
    assert_eq!(format!("{good:?}"), "1 identities");
}

#[test]
fn an_interrupt_stops_it() {
    let store = Memory::default();
    let manifest = stored(&store, &Codec::default(), &content(5 << 20), 1);
    let interrupt = Interrupt::default();
    let stopper = interrupt.clone();
    let mut progress = move |_| stopper.interrupt().unwrap();
    let mut watcher = Watcher::new(&mut progress, &interrupt);
    let mut out = Vec::new();
    let none = Identities::default();
    let error = decode(&store, &manifest, &none, &mut out, &mut watcher).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    assert!(out.len() < 5 << 20);
}

#[test]
fn what_was_hashed_elsewhere_is_what_was_written() {
    let bytes = content(100_000);
    let hashed = |bytes: &[u8]| {
        let mut hashed = Hashed::new(io::sink());
        hashed.write_all(bytes).unwrap();
        hashed.finish().1
    };
    for (level, encrypted) in [
        (None, false),
        (Some(3), false),
        (None, true),
        (Some(1), true),
    ] {
        let Keys { codec, .. } = keys(level, encrypted);
        let mut here = Encoder::new(&codec, Vec::new()).unwrap();
        here.write_all(&bytes).unwrap();
        let (_, here) = here.finish().unwrap();
        let written = || {
            let mut encoder = Encoder::unhashed(&codec, Vec::new()).unwrap();
            encoder.write_all(&bytes).unwrap();
            encoder
        };
        let (_, elsewhere) = written().finish_as(hashed(&bytes)).unwrap();
        assert_eq!(elsewhere.content, here.content);
        if codec.is_plain() {
            assert_eq!(elsewhere.stored, here.stored);
        }
        let error = written().finish_as(hashed(&bytes[1..])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "99999 bytes were hashed, and 100000 written"
        );
    }
}

#[test]
fn levels_have_bounds() {
    for level in [0, 20, -1, i32::MAX] {
        let codec = Codec {
            level: Some(level),
            ..Codec::default()
        };
        Encoder::new(&codec, Vec::new()).unwrap_err();
    }
}
