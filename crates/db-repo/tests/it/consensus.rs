//! Rounds, votes and quorum.

use std::sync::Barrier;

use db_core::Database;
use db_repo::{ConsensusRepository, Error};
use db_schema::rows::{ConsensusVote, NewConsensusRound};
use db_testkit::{TestDb, both_engines};

use crate::rows::{round, vote};
use crate::support::{all_pages, at, open, read, refusal, write};

#[track_caller]
fn start(database: &Database, number: i64) {
    write(database, |conn| {
        ConsensusRepository::start_round(conn, &round(number))
    });
}

#[track_caller]
fn votes(database: &Database, round: i64, voters: &[&str], hash: u8) {
    for voter in voters {
        write(database, |conn| {
            ConsensusRepository::vote(conn, &vote(round, voter, hash))
        });
    }
}

/// Opens a game, whose repository is not what is tested here.
#[track_caller]
fn game(database: &Database, id: &str) {
    let sql = format!("INSERT INTO games (id, state, phase) VALUES ('{id}', 'active', 'come_out')");
    write(database, |conn| {
        conn.batch_execute(&sql).map_err(Error::from)
    });
}

both_engines! {
    fn a_round_starts_once(db: TestDb) {
        let database = open(&db);
        game(&database, "g1");
        let new = NewConsensusRound { game_id: Some("g1".into()), ..round(7) };
        let made = write(&database, |conn| ConsensusRepository::start_round(conn, &new));
        assert_eq!((made.vote_count, made.finalized, made.finalized_at), (0, false, None));
        assert_eq!((made.game_id.as_deref(), made.created_at), (Some("g1"), at(7)));
        assert_eq!(read(&database, |conn| ConsensusRepository::find(conn, 7)), Some(made.clone()));
        assert_eq!(read(&database, |conn| ConsensusRepository::get(conn, 7)), made);
        assert_eq!(read(&database, |conn| ConsensusRepository::find(conn, 8)), None);
        let refused = refusal(&database, |conn| ConsensusRepository::start_round(conn, &new));
        assert_eq!(refused.to_string(), "there is a consensus round 7 already");
        let lost = NewConsensusRound { game_id: Some("g9".into()), ..round(8) };
        let refused = refusal(&database, |conn| ConsensusRepository::start_round(conn, &lost));
        assert_eq!(refused.to_string(), "game_id: there is no game g9");
        let missing = database.read(|conn| ConsensusRepository::get(conn, 8)).unwrap_err();
        assert_eq!(missing.to_string(), "there is no consensus round 8");
        for (field, wrong) in [
            ("round_number", round(-1)),
            ("proposer_id", NewConsensusRound { proposer_id: String::new(), ..round(8) }),
            ("proposal_hash", NewConsensusRound { proposal_hash: vec![1; 15], ..round(8) }),
        ] {
            let refused = refusal(&database, |conn| ConsensusRepository::start_round(conn, &wrong));
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
        }
    }

    fn rounds_are_listed_by_game_and_while_open(db: TestDb) {
        let database = open(&db);
        game(&database, "g1");
        for number in 0..12 {
            let game_id = (number % 2 == 0).then(|| "g1".to_owned());
            let new = NewConsensusRound { game_id, created_at: at(number / 4), ..round(number) };
            write(&database, |conn| ConsensusRepository::start_round(conn, &new));
        }
        votes(&database, 3, &["a"], 1);
        write(&database, |conn| ConsensusRepository::finalize(conn, 3, 1, at(50)));
        let of_game: Vec<_> = all_pages(&database, 4, |conn, page| {
            ConsensusRepository::list_by_game(conn, "g1", page)
        })
        .into_iter()
        .map(|round| round.round_number)
        .collect();
        assert_eq!(of_game, [10, 8, 6, 4, 2, 0]);
        let open: Vec<_> = all_pages(&database, 4, ConsensusRepository::list_open)
            .into_iter()
            .map(|round| round.round_number)
            .collect();
        assert_eq!(open, [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11]);
    }

    fn a_voter_votes_once_in_a_round(db: TestDb) {
        let database = open(&db);
        start(&database, 1);
        start(&database, 2);
        let first = vote(1, "a", 1);
        assert_eq!(write(&database, |conn| ConsensusRepository::vote(conn, &first)), 1);
        for again in [first.clone(), vote(1, "a", 2), ConsensusVote { id: "new".into(), ..first.clone() }] {
            let refused = refusal(&database, |conn| ConsensusRepository::vote(conn, &again));
            assert!(
                matches!(refused, Error::VotedTwice { round: 1, ref voter } if voter == "a"),
                "{refused:?}"
            );
        }
        assert_eq!(write(&database, |conn| ConsensusRepository::vote(conn, &vote(1, "b", 1))), 2);
        assert_eq!(write(&database, |conn| ConsensusRepository::vote(conn, &vote(2, "a", 1))), 1);
        assert_eq!(read(&database, |conn| ConsensusRepository::get(conn, 1)).vote_count, 2);
        assert_eq!(read(&database, |conn| ConsensusRepository::find_vote(conn, 1, "a")), Some(first.clone()));
        assert_eq!(read(&database, |conn| ConsensusRepository::find_vote(conn, 1, "z")), None);
        // The key of a vote is nobody else's.
        let theirs = ConsensusVote { voter_id: "c".into(), ..first };
        let refused = refusal(&database, |conn| ConsensusRepository::vote(conn, &theirs));
        assert!(matches!(refused, Error::AlreadyExists { entity: "vote", .. }), "{refused:?}");
        assert_eq!(read(&database, |conn| ConsensusRepository::get(conn, 1)).vote_count, 2);
        let refused = refusal(&database, |conn| ConsensusRepository::vote(conn, &vote(9, "a", 1)));
        assert_eq!(refused.to_string(), "there is no consensus round 9");
        for (field, wrong) in [
            ("id", ConsensusVote { id: String::new(), ..vote(1, "z", 1) }),
            ("voter_id", ConsensusVote { voter_id: String::new(), ..vote(1, "z", 1) }),
            ("vote_hash", ConsensusVote { vote_hash: vec![], ..vote(1, "z", 1) }),
            ("signature", ConsensusVote { signature: vec![], ..vote(1, "z", 1) }),
        ] {
            let refused = refusal(&database, |conn| ConsensusRepository::vote(conn, &wrong));
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
        }
        let ids: Vec<_> = all_pages(&database, 1, |conn, page| {
            ConsensusRepository::list_votes(conn, 1, page)
        })
        .into_iter()
        .map(|vote| vote.voter_id)
        .collect();
        assert_eq!(ids, ["a", "b"]);
    }

    fn a_quorum_is_more_than_two_thirds_for_one_hash(db: TestDb) {
        let database = open(&db);
        start(&database, 1);
        let quorum = |voters| read(&database, |conn| ConsensusRepository::quorum(conn, 1, voters));
        assert_eq!((quorum(3).vote_hash, quorum(3).votes), (None, 0));
        for voters in 1..=200_u32 {
            // By the definition: the least number of votes of which three times is more than twice
            // the voters.
            let least = (0..=voters).find(|votes| 3 * votes > 2 * voters).unwrap();
            assert_eq!(quorum(voters).needed, i64::from(least), "{voters}");
        }
        assert_eq!(quorum(u32::MAX).needed, 2_863_311_531);
        // Two thirds exactly are too few, and votes for another hash do not help.
        votes(&database, 1, &["a", "b", "c", "d"], 1);
        votes(&database, 1, &["e", "f"], 2);
        assert_eq!((quorum(6).votes, quorum(6).needed, quorum(6).is_reached()), (4, 5, false));
        assert_eq!(quorum(6).vote_hash, Some(vec![1; 32]));
        let refused = refusal(&database, |conn| ConsensusRepository::finalize(conn, 1, 6, at(9)));
        assert!(matches!(refused, Error::NoQuorum { round: 1, votes: 4, needed: 5 }), "{refused:?}");
        assert!(!read(&database, |conn| ConsensusRepository::get(conn, 1)).finalized);
        votes(&database, 1, &["g"], 1);
        assert!(quorum(7).is_reached());
        let refused = refusal(&database, |conn| ConsensusRepository::finalize(conn, 1, 0, at(9)));
        assert!(matches!(refused, Error::Invalid { field: "voters", .. }), "{refused:?}");
        let missing = refusal(&database, |conn| ConsensusRepository::quorum(conn, 9, 3));
        assert_eq!(missing.to_string(), "there is no consensus round 9");
        let missing = refusal(&database, |conn| ConsensusRepository::finalize(conn, 9, 3, at(9)));
        assert_eq!(missing.to_string(), "there is no consensus round 9");
    }

    fn a_round_is_decided_once_and_takes_no_votes_then(db: TestDb) {
        let database = open(&db);
        start(&database, 1);
        votes(&database, 1, &["a", "b", "c"], 1);
        let (decided, quorum) =
            write(&database, |conn| ConsensusRepository::finalize(conn, 1, 4, at(9)));
        assert_eq!((decided.finalized, decided.finalized_at, decided.vote_count), (true, Some(at(9)), 3));
        assert_eq!((quorum.vote_hash, quorum.votes, quorum.needed), (Some(vec![1; 32]), 3, 3));
        for refused in [
            refusal(&database, |conn| ConsensusRepository::finalize(conn, 1, 4, at(10)).map(drop)),
            refusal(&database, |conn| ConsensusRepository::finalize(conn, 1, 400, at(10)).map(drop)),
            refusal(&database, |conn| ConsensusRepository::vote(conn, &vote(1, "d", 1)).map(drop)),
            refusal(&database, |conn| ConsensusRepository::vote(conn, &vote(1, "a", 1)).map(drop)),
        ] {
            assert!(matches!(refused, Error::RoundFinalized(1)), "{refused:?}");
        }
        let round = read(&database, |conn| ConsensusRepository::get(conn, 1));
        assert_eq!((round.vote_count, round.finalized_at), (3, Some(at(9))));
    }

    fn votes_at_once_are_all_counted_and_one_decides(db: TestDb) {
        let database = open(&db);
        start(&database, 1);
        let together = Barrier::new(8);
        let mut twice = 0;
        let mut decided = 0;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| {
                let (database, together) = (&database, &together);
                scope.spawn(move || {
                    together.wait();
                    // Each of four voters tries from two threads, each of which has two of its own.
                    let own = [format!("v{n}"), format!("w{n}"), format!("shared{}", n / 2)];
                    own.map(|voter| {
                        let vote = ConsensusVote { id: format!("{n}/{voter}"), ..vote(1, &voter, 1) };
                        match database.write(|conn| ConsensusRepository::vote(conn, &vote)) {
                            Ok(_) => 0,
                            Err(Error::VotedTwice { .. }) => 1,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
            }).collect();
            for thread in threads {
                twice += thread.join().unwrap().iter().sum::<i64>();
            }
        });
        assert_eq!(twice, 4);
        assert_eq!(read(&database, |conn| ConsensusRepository::get(conn, 1)).vote_count, 20);
        let all = all_pages(&database, 7, |conn, page| ConsensusRepository::list_votes(conn, 1, page));
        assert_eq!(all.len(), 20);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| {
                let database = &database;
                scope.spawn(move || {
                    match database.write(|conn| ConsensusRepository::finalize(conn, 1, 20, at(9))) {
                        Ok(_) => 1,
                        Err(Error::RoundFinalized(1)) => 0,
                        Err(error) => panic!("{error}"),
                    }
                })
            }).collect();
            for thread in threads {
                decided += thread.join().unwrap();
            }
        });
        assert_eq!(decided, 1);
    }
}
