//! Which pages a write-ahead log has newer than the database, as far as its checksums hold
//! (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::collections::HashMap;
use std::fs::File;

use db_core::Interrupt;

use super::pages::{Overlay, read_some, u32_at};
use crate::Error;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The two values that a log in order begins with; the last bit says how checksums are computed.
const MAGIC: u32 = 0x377f_0682;

/// Reads the frames up to the last commit that is whole; `None` if there is none.
pub(super) fn read(log: &File, interrupt: &Interrupt) -> Result<Option<Overlay>, Error> {
    let mut head = [0; HEADER];
    if read_some(log, &mut head, 0)? < HEADER {
        return Ok(None);
    }
    let magic = u32_at(&head, 0);
    let page_size = u32_at(&head, 8);
    if magic & !1 != MAGIC || !page_size.is_power_of_two() || !(512..=65_536).contains(&page_size) {
        return Ok(None);
    }
    let is_big = magic & 1 == 1;
    let mut sum = add((0, 0), &head[..24], is_big);
    if sum != (u32_at(&head, 24), u32_at(&head, 28)) {
        return Ok(None);
    }
    let mut wal = Overlay {
        page_size,
        pages: 0,
        content: HashMap::new(),
        ends_the_file: false,
    };
    let mut pending = HashMap::new();
    let mut frame = vec![0; FRAME_HEADER + page_size as usize];
    let mut at = HEADER as u64;
    while read_some(log, &mut frame, at)? == frame.len() {
        if interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        sum = add(sum, &frame[..8], is_big);
        sum = add(sum, &frame[FRAME_HEADER..], is_big);
        let is_of_this_log = frame[8..16] == head[16..24];
        if !is_of_this_log || sum != (u32_at(&frame, 16), u32_at(&frame, 20)) {
            break;
        }
        pending.insert(u32_at(&frame, 0), at + FRAME_HEADER as u64);
        let pages = u32_at(&frame, 4);
        if pages != 0 {
            wal.pages = pages;
            wal.content.extend(pending.drain());
        }
        at += frame.len() as u64;
    }
    Ok((wal.pages > 0).then_some(wal))
}

/// SQLite's checksum of 32-bit words, continued.
fn add((mut first, mut second): (u32, u32), bytes: &[u8], is_big: bool) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let big = u32_at(pair, at);
            if is_big { big } else { big.swap_bytes() }
        };
        first = first.wrapping_add(word(0)).wrapping_add(second);
        second = second.wrapping_add(word(4)).wrapping_add(first);
    }
    (first, second)
}
