//! Thousands of random damages: none is a panic, a hang or a lie, and no sound page loses a row.

use std::collections::BTreeSet;

use super::world::{PAGE, World, salvage};

/// Damages some pages, and says which.
fn damage(random: &mut fastrand::Rng, bytes: &mut [u8]) -> BTreeSet<usize> {
    let pages = bytes.len() / PAGE;
    let mut damaged = BTreeSet::new();
    for _ in 0..random.usize(1..6) {
        let page = random.usize(1..=pages);
        let start = (page - 1) * PAGE;
        damaged.insert(page);
        match random.u8(0..8) {
            0 => bytes[start..start + PAGE].fill(0),
            1 => bytes[start..start + PAGE].fill(0xff),
            2 => {
                let from = random.usize(0..PAGE);
                let to = random.usize(from..=PAGE);
                for byte in &mut bytes[start + from..start + to] {
                    *byte = random.u8(..);
                }
            }
            3 => {
                // Another page's content, as a lost or misdirected write leaves it.
                let other = (random.usize(1..=pages) - 1) * PAGE;
                bytes.copy_within(other..other + PAGE, start);
            }
            4 => {
                let end = random.usize(0..bytes.len());
                if random.u8(0..10) == 0 {
                    damaged.extend(end / PAGE + 1..=pages);
                    bytes[end..].fill(0);
                }
            }
            _ => {
                // Mostly in the header and the pointers, where it hurts most.
                for _ in 0..random.usize(1..40) {
                    let within = if random.bool() { 40 } else { PAGE };
                    bytes[start + random.usize(0..within)] ^= 1 << random.u8(0..8);
                }
            }
        }
    }
    damaged
}

#[test]
fn no_damage_costs_more_than_its_pages() {
    let world = World::new(4);
    let rounds = db_testkit::size("SALVAGES", 1_000);
    let threads = 2;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let world = &world;
            scope.spawn(move || {
                for seed in (thread..rounds).step_by(usize::try_from(threads).unwrap()) {
                    one(world, seed);
                }
            });
        }
    });
}

fn one(world: &World, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = world.bytes.clone();
    let damaged = damage(&mut random, &mut bytes);
    let salvaged = salvage(&bytes);
    let salvaged = salvaged.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let all: BTreeSet<usize> = salvaged.found.values().flatten().copied().collect();
    for (table, rows) in world.sound(&damaged) {
        let lost: Vec<_> = rows.difference(&all).collect();
        assert!(
            lost.is_empty(),
            "seed {seed}: {table} lost {lost:?} by damage to {damaged:?}\n{:#?}",
            salvaged.report
        );
    }
}
