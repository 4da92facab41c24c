//! Files that are larger than memory, in and out again.
//!
//! `BITCRAPS_TEST_LARGE_MIB` says how large, and `BITCRAPS_TEST_PROGRAM` which program, since a release
//! build is ten times faster. Half as much again of the disk below `TMPDIR` is needed.

use std::ffi::OsString;
use std::io::{BufWriter, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use db_testkit::{TestDb, size};

use crate::support::BINARY;

/// What SQLite's cache may take, and what a program of a few megabytes may need besides.
const MORE: u64 = (64 + 32) << 20;

/// Rows of a file of CSV, one after the other, of about 500 bytes each.
struct Rows {
    next: u64,
    line: Vec<u8>,
    at: usize,
    left: u64,
}

impl Rows {
    fn new(bytes: u64) -> Self {
        Self {
            next: 0,
            line: b"id,name,amount,data\r\n".to_vec(),
            at: 0,
            left: bytes,
        }
    }
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.line.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.next += 1;
            self.line.clear();
            let (id, mixed) = (self.next, self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            write!(
                self.line,
                "{id},\"name, \"\"{mixed:x}\"\"\",{}.5,\\x",
                mixed >> 40
            )?;
            for part in 0..14_u64 {
                write!(
                    self.line,
                    "{:016x}{:016x}",
                    mixed ^ part,
                    mixed.rotate_left(7) ^ part
                )?;
            }
            self.line.extend_from_slice(b"\r\n");
            self.left = self.left.saturating_sub(self.line.len() as u64);
            self.at = 0;
        }
        let count = buffer.len().min(self.line.len() - self.at);
        buffer[..count].copy_from_slice(&self.line[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn program(db: &TestDb, words: &[&str]) -> Child {
    let program =
        std::env::var_os("BITCRAPS_TEST_PROGRAM").unwrap_or_else(|| OsString::from(BINARY));
    Command::new(program)
        .args(["--database-url", &db.url()])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The most memory that a process has had, which only grows; none when it is gone.
fn most_memory(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// Does what is wanted with a running program, and tells how much memory it has needed, and how long.
pub(super) fn watched(mut child: Child, work: impl FnOnce(&mut Child)) -> (u64, Duration) {
    let began = Instant::now();
    let id = child.id();
    let watch = thread::spawn(move || {
        let mut most = 0;
        while let Some(now) = most_memory(id) {
            most = now;
            thread::park_timeout(Duration::from_millis(20));
        }
        most
    });
    work(&mut child);
    assert!(child.wait().unwrap().success());
    (watch.join().unwrap(), began.elapsed())
}

/// Brings so many bytes in and out again, and returns the memory of both ways.
fn there_and_back(bytes: u64) -> [(u64, Duration); 2] {
    let db = TestDb::sqlite();
    db.connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, amount REAL, data BLOB)");
    let words = ["import", "-", "--format", "csv", "--table", "t"];
    let there = watched(program(&db, &words), |child| {
        let mut to = BufWriter::with_capacity(1 << 16, child.stdin.take().unwrap());
        std::io::copy(&mut Rows::new(bytes), &mut to).unwrap();
        to.flush().unwrap();
    });
    let words = ["export", "--format", "csv", "--table", "t"];
    let back = watched(program(&db, &words), |child| {
        let mut from = child.stdout.take().unwrap();
        let mut rows = Rows::new(bytes);
        let (mut found, mut wanted) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut all = 0;
        loop {
            let count = from.read(&mut found).unwrap();
            rows.read_exact(&mut wanted[..count]).unwrap();
            assert!(found[..count] == wanted[..count], "after {all} bytes");
            all += count as u64;
            if count == 0 {
                break;
            }
        }
        assert_eq!(
            rows.read(&mut wanted).unwrap(),
            0,
            "more than {all} bytes were stored"
        );
    });
    [there, back]
}

#[cfg(target_os = "linux")]
#[test]
#[expect(
    clippy::print_stdout,
    reason = "the figures are what a large run is for"
)]
fn memory_does_not_grow_with_the_file() {
    let small = there_and_back(0);
    let bytes = size("LARGE_MIB", 128) << 20;
    let large = there_and_back(bytes);
    for (way, ((large, time), (small, _))) in ["in", "out"].iter().zip(large.iter().zip(&small)) {
        println!("{way}: {bytes} bytes in {time:?}, {large} bytes of memory, {small} for none");
        assert!(
            *large < small + MORE,
            "{way}: {large}, and {small} for none"
        );
    }
}
