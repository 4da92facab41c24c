//! Random operations on money, on each engine and in a model in memory: all have to agree.
//!
//! Compared are each answer, and after each history all balances, accounts, games, bets, positions, games
//! against the house and the statistics of players and games; in the end every page of every leaderboard.
//!
//! Both engines get the same operations, so they agree with each other as well. The number of
//! operations and the seed come from outside: `BITCRAPS_TEST_OPERATIONS=1000000
//! BITCRAPS_TEST_SEED=7 cargo xtask test -- oracle`.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on must fail, and say where"
)]
#![expect(clippy::print_stdout, reason = "a seed, to begin again with")]

mod books;
mod driver;
mod model;
mod operation;
mod statistics;

use std::cell::RefCell;

use db_testkit::{TestDb, both_engines, size};
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use self::driver::Driver;

/// Operations of one history: long enough for bets to be placed, settled, and asked for again.
const LENGTH: u64 = 250;

both_engines! {
    fn every_history_agrees_with_the_model(db: TestDb) {
        let operations = size("OPERATIONS", 100_000);
        let seed = size("SEED", 1);
        let cases = u32::try_from(operations.div_ceil(LENGTH)).unwrap();
        println!("{cases} histories of {LENGTH} operations, BITCRAPS_TEST_SEED={seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(
            Config { cases, failure_persistence: None, max_shrink_iters: size("SHRINKS", 300).try_into().unwrap(), ..Config::default() },
            TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
        );
        let driver = RefCell::new(Driver::open(&db));
        let length = usize::try_from(LENGTH).unwrap();
        let outcome = runner.run(&vec(operation::any(), length), |history| {
            driver.borrow_mut().history(&history).map_err(TestCaseError::fail)
        });
        if let Err(error) = outcome {
            panic!("BITCRAPS_TEST_SEED={seed}: {error}");
        }
        println!("{}", driver.borrow().summary());
        let players = driver.borrow().leaderboards().unwrap();
        println!("{players} players in the order of every leaderboard");
    }
}
