//! Holds the files of a base backup against PostgreSQL's own list while they pass, so that they need
//! not be put down for it.
//!
//! It is what `pg_verifybackup` does with a folder (sizes, CRC-32C, nothing missing, nothing too much,
//! the list's own checksum, the log read by `pg_waldump`). Only the list and the log are unpacked.
//!
//! The sums are those that PostgreSQL takes by default. They tell what is altered by accident between the
//! server's disk and here; the SHA-256 of our manifest, taken of the same bytes in the same pass, guards
//! them from then on. SHA-256 for each file too would be computed by the server and again here.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use crc_fast::CrcAlgorithm;
use db_core::Interrupt;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::account::Account;
use super::base::{LARGEST_LIST, LIST, WalRange};
use super::child::Run;
use super::tools::Tools;
use super::unpack::{hostile, unpack_but, unreadable};
use crate::error::Error;
use crate::manifest::hex;

/// The log, of which the list names at most what was archived of it: `pg_waldump` reads it.
const LOG: &str = "pg_wal";

/// What a server may write into its folder by itself, and the list does not name either.
const UNLISTED: [&str; 3] = ["postgresql.auto.conf", "recovery.signal", "standby.signal"];

/// The only sum that is asked for.
pub(super) const ALGORITHM: &str = "CRC32C";

/// Bytes of one step.
const CHUNK: usize = 1 << 18;

/// So many faults are named; the rest adds nothing.
const MOST_FINDINGS: usize = 20;

/// The files of an archive that has passed.
#[derive(Debug)]
pub(super) struct Passed(BTreeMap<PathBuf, Seen>);

/// A file that has passed.
#[derive(Debug)]
struct Seen {
    bytes: u64,
    crc: u32,
}

impl Seen {
    /// Reads a file to its end.
    fn read(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<Self> {
        let mut sum = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
        let mut bytes = 0;
        loop {
            match from.read(buffer) {
                Ok(0) => {
                    let crc = u32::try_from(sum.finalize()).map_err(io::Error::other)?;
                    return Ok(Self { bytes, crc });
                }
                Ok(read) => {
                    sum.update(&buffer[..read]);
                    bytes += read as u64;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether this is the sum that a list names, in the order of bytes of the server's machine.
    fn has_sum(&self, listed: &str) -> bool {
        [self.crc.to_le_bytes(), self.crc.to_be_bytes()]
            .iter()
            .any(|bytes| hex(bytes).eq_ignore_ascii_case(listed))
    }
}

#[derive(Debug, Deserialize)]
struct List {
    #[serde(rename = "Files")]
    files: Vec<Listed>,
    #[serde(rename = "WAL-Ranges")]
    ranges: Vec<WalRange>,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

#[derive(Debug, Deserialize)]
struct Listed {
    /// None for a name that is no UTF-8, of which the archive has none.
    #[serde(rename = "Path")]
    path: Option<PathBuf>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: String,
    #[serde(rename = "Checksum")]
    checksum: String,
}

impl Passed {
    /// Reads an archive to its end. The list and the log are unpacked into this empty folder.
    pub(super) fn read(archive: impl Read, into: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let mut buffer = vec![0; CHUNK];
        let mut take = |path: &Path, from: &mut dyn Read| {
            if path == Path::new(LIST) || path.starts_with(LOG) {
                return Ok(false);
            }
            let seen = Seen::read(from, &mut buffer).map_err(|e| unreadable(&e))?;
            match files.insert(path.to_owned(), seen) {
                None => Ok(true),
                Some(_) => Err(hostile(format!("{} comes twice", path.display()))),
            }
        };
        unpack_but(archive, (into, Account::Own), u64::MAX, &mut take)?;
        Ok(Self(files))
    }

    /// Holds what has passed against the list, and reads the log of its ranges.
    pub(super) fn check(
        &self,
        tools: &Tools,
        folder: &Path,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let path = folder.join(LIST);
        let mut text = Vec::new();
        let file = std::fs::File::open(&path).map_err(|e| Error::io("read", &path, e))?;
        file.take(LARGEST_LIST)
            .read_to_end(&mut text)
            .map_err(|e| Error::io("read", &path, e))?;
        let list: List =
            serde_json::from_slice(&text).map_err(|e| Error::damaged(LIST, e.to_string()))?;
        let mut findings = self.compare(&list, &text);
        if findings.is_empty() {
            for range in &list.ranges {
                findings.extend(read_log(range, tools, folder, interrupt)?);
            }
        }
        if findings.is_empty() {
            return Ok(());
        }
        findings.truncate(MOST_FINDINGS);
        Err(Error::Unsound {
            name: "the base backup".to_owned(),
            findings,
        })
    }

    fn compare(&self, list: &List, text: &[u8]) -> Vec<String> {
        let mut findings = Vec::new();
        if own_sum(text) != list.checksum {
            findings.push("the list of its files has another SHA-256".to_owned());
        }
        let mut listed: BTreeMap<&Path, &Listed> = BTreeMap::new();
        for one in &list.files {
            let Some(path) = one.path.as_deref() else {
                findings.push("a file has a name that is no UTF-8".to_owned());
                continue;
            };
            if path.starts_with(LOG) {
                continue;
            }
            listed.insert(path, one);
            let shown = path.display();
            match self.0.get(path) {
                None => findings.push(format!("{shown} is missing")),
                Some(seen) if seen.bytes != one.size => findings.push(format!(
                    "{shown} has {} bytes, and should have {}",
                    seen.bytes, one.size
                )),
                Some(_) if one.algorithm != ALGORITHM => {
                    findings.push(format!("{shown} is listed without a CRC-32C"));
                }
                Some(seen) if !seen.has_sum(&one.checksum) => {
                    findings.push(format!("{shown} has another CRC-32C"));
                }
                Some(_) => {}
            }
        }
        for path in self.0.keys().map(PathBuf::as_path) {
            let may_be = UNLISTED.iter().any(|name| Path::new(name) == path);
            if !may_be && !listed.contains_key(path) {
                findings.push(format!("{} is not in the list", path.display()));
            }
        }
        findings
    }
}

/// The sum of all lines of the list but the last, which holds it.
fn own_sum(text: &[u8]) -> String {
    let lines = text.strip_suffix(b"\n").unwrap_or(text);
    let end = lines.iter().rposition(|byte| *byte == b'\n');
    hex(&Sha256::digest(&text[..end.map_or(0, |at| at + 1)]))
}

/// Reads all records of a range; what is wrong is a finding.
fn read_log(
    range: &WalRange,
    tools: &Tools,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Option<String>, Error> {
    let mut command = Command::new(tools.path("pg_waldump"));
    command
        .arg("--quiet")
        .arg("--path")
        .arg(folder.join(LOG))
        .args(range.arguments());
    Run::verdict(&mut command, interrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of one folder with these files.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn list(files: &[(&str, &[u8])]) -> Vec<u8> {
        let entries: Vec<String> = files
            .iter()
            .map(|(name, bytes)| {
                format!(
                    r#"{{"Path": "{name}", "Size": {}, "Last-Modified": "x",
                    "Checksum-Algorithm": "CRC32C", "Checksum": "{}"}}"#,
                    bytes.len(),
                    hex(&crc_fast::crc32_iscsi(bytes).to_le_bytes())
                )
            })
            .collect();
        let head = format!(
            "{{\"Files\": [{}],\n\"WAL-Ranges\": [],\n",
            entries.join(",\n")
        );
        let sum = hex(&Sha256::digest(head.as_bytes()));
        format!("{head}\"Manifest-Checksum\": \"{sum}\"}}\n").into_bytes()
    }

    fn findings(files: &[(&str, &[u8])], list: &[u8]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let passed = Passed::read(&archive(files)[..], folder.path()).unwrap();
        passed.compare(&serde_json::from_slice(list).unwrap(), list)
    }

    const FILES: [(&str, &[u8]); 2] = [("PG_VERSION", b"15"), ("one", b"content")];

    #[test]
    fn what_is_as_it_is_listed_passes() {
        assert_eq!(findings(&FILES, &list(&FILES)), [""; 0]);
        let archived = [&FILES[..], &[("pg_wal/archive_status/1.done", b"")]].concat();
        assert_eq!(findings(&FILES, &list(&archived)), [""; 0]);
        let with_own = [&FILES[..], &[("postgresql.auto.conf", b"x")]].concat();
        assert_eq!(findings(&with_own, &list(&FILES)), [""; 0]);
    }

    #[test]
    fn what_is_altered_missing_or_too_much_is_named() {
        let good = list(&FILES);
        for (files, finding) in [
            (
                vec![FILES[0], ("one", &b"contenT"[..])],
                "one has another CRC-32C",
            ),
            (
                vec![FILES[0], ("one", b"conten")],
                "one has 6 bytes, and should have 7",
            ),
            (vec![FILES[0]], "one is missing"),
            (
                vec![FILES[0], FILES[1], ("two", b"")],
                "two is not in the list",
            ),
        ] {
            assert_eq!(findings(&files, &good), [finding]);
        }
        let text = String::from_utf8(good).unwrap();
        let touched = text.replace("\"x\"", "\"y\"");
        assert_eq!(
            findings(&FILES, touched.as_bytes()),
            ["the list of its files has another SHA-256"]
        );
        let weaker = text.replace("CRC32C", "NONE");
        let weaker = findings(&FILES, weaker.as_bytes());
        assert!(weaker.iter().any(|one| one.contains("without a CRC-32C")));
    }

    #[test]
    fn the_sum_is_that_of_the_standard_in_either_order_of_bytes() {
        // The check value of CRC-32C (RFC 3720, appendix B.4 has others).
        let seen = Seen::read(&mut &b"123456789"[..], &mut [0; 4]).unwrap();
        assert_eq!((seen.bytes, seen.crc), (9, 0xE306_9283));
        assert!(seen.has_sum("839206e3") && seen.has_sum("E3069283"));
        assert!(!seen.has_sum("e3069282") && !seen.has_sum(""));
    }

    #[test]
    fn a_file_that_comes_twice_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let twice = archive(&[FILES[0], FILES[0]]);
        let error = Passed::read(&twice[..], folder.path()).unwrap_err();
        assert!(error.to_string().contains("comes twice"), "{error}");
    }

    #[test]
    fn the_list_and_the_log_are_put_down_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(LOG)).unwrap();
        let files = [
            FILES[0],
            (LIST, b"{}"),
            ("pg_wal/000000010000000000000001", b"log"),
        ];
        Passed::read(&archive(&files)[..], folder.path()).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [LIST, LOG]);
    }
}
