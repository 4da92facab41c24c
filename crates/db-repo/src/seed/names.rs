//! Names of players.

use fastrand::Rng;

const FIRST: &[&str] = &[
    "amber", "bold", "brisk", "calm", "clever", "copper", "daring", "eager", "gentle", "golden",
    "happy", "hidden", "jolly", "keen", "lucky", "mellow", "nimble", "proud", "quick", "quiet",
    "rapid", "royal", "rusty", "silent", "silver", "sly", "smooth", "sunny", "swift", "wild",
];

const SECOND: &[&str] = &[
    "badger", "bear", "crane", "deer", "eagle", "falcon", "ferret", "finch", "fox", "gecko",
    "heron", "horse", "ibis", "jackal", "koala", "lark", "lynx", "marten", "moose", "newt",
    "otter", "owl", "panda", "raven", "robin", "seal", "stoat", "tiger", "viper", "wolf",
];

/// A name that no other player of this seed has.
pub(super) fn of(rng: &mut Rng, prefix: &str, number: u64) -> String {
    let first = FIRST[rng.usize(..FIRST.len())];
    let second = SECOND[rng.usize(..SECOND.len())];
    format!("{first}_{second}_{prefix}_{number}")
}
