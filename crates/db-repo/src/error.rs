//! What can go wrong, by name.

use db_core::DatabaseFailure;
use db_schema::rows::GameState;
use db_schema::types::BetId;
use diesel::result::Error as DieselError;

/// Why a repository refused, or what the database said.
///
/// After any of them roll the transaction back: PostgreSQL has ended it already if a statement failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database's own.
    #[error(transparent)]
    Database(#[from] db_core::Error),

    /// A value that cannot be, found before the database was asked.
    #[error("{field}: {rule}")]
    Invalid {
        /// The field, as the column is called.
        field: &'static str,
        /// What it has to be.
        rule: String,
    },

    /// A row that has to be there is not.
    #[error("there is no {entity} {key}")]
    NotFound {
        /// What kind of thing.
        entity: &'static str,
        /// Its key.
        key: String,
    },

    /// A row refers to one that is not there.
    #[error("{field}: there is no {entity} {key}")]
    MissingParent {
        /// The column that refers.
        field: &'static str,
        /// What kind of thing is missing.
        entity: &'static str,
        /// Its key.
        key: String,
    },

    /// The key is taken.
    #[error("there is a {entity} {key} already")]
    AlreadyExists {
        /// What kind of thing.
        entity: &'static str,
        /// Its key.
        key: String,
    },

    /// Others refer to the row, so it cannot go.
    #[error("{entity} {key} is still referred to")]
    InUse {
        /// What kind of thing.
        entity: &'static str,
        /// Its key.
        key: String,
    },

    /// Another player has this name.
    #[error("the username {0} is taken")]
    UsernameTaken(String),

    /// The bet has been settled before.
    #[error("bet {0} is settled already")]
    AlreadyResolved(BetId),

    /// The file of anchors cannot be read or written.
    #[error("{}: {why}", path.display())]
    AnchorFile {
        /// The file.
        path: std::path::PathBuf,
        /// What kind of trouble; `InvalidData` for a line that is no anchor.
        kind: std::io::ErrorKind,
        /// What is wrong.
        why: String,
    },

    /// A reference was used by something that ended with an error and was committed nevertheless.
    #[error("{kind} {reference} was begun, and there is no answer to it")]
    AnswerLost {
        /// What kind of operation.
        kind: &'static str,
        /// Given by the caller.
        reference: String,
    },

    /// Another asset lies there.
    #[error("the location {0} is taken")]
    AssetLocationTaken(String),

    /// The events of a game do not follow from each other.
    #[error("game {game}, event {version}: {why}")]
    BrokenHistory {
        /// The game.
        game: String,
        /// The first event that does not fit.
        version: i64,
        /// What is wrong with it.
        why: String,
    },

    /// What has ended cannot go on.
    #[error("{entity} {key} has ended")]
    Ended {
        /// What kind of thing.
        entity: &'static str,
        /// Its key.
        key: String,
    },

    /// The game has ended.
    #[error("game {game} is {state}")]
    GameClosed {
        /// Its key.
        game: String,
        /// How it ended.
        state: GameState,
    },

    /// The house cannot pay.
    #[error("the house has {available}, which is less than {needed}")]
    HouseShort {
        /// What it has to pay, smallest unit of CRAP.
        needed: i64,
        /// What it has.
        available: i64,
    },

    /// Others change a balance faster than it can be looked at. Ask again.
    #[error("the balance of {owner} changes too fast; ask again")]
    Contended {
        /// A player or an account.
        owner: String,
    },

    /// Less is held for a player than is to be given back: somebody changed the balance by hand.
    #[error("the {balance} of {user} is {held}, which is less than {needed}: reconcile")]
    Imbalance {
        /// The player.
        user: String,
        /// The column.
        balance: &'static str,
        /// What was to be taken from it, smallest unit of CRAP.
        needed: i64,
        /// What it is.
        held: i64,
    },

    /// A player has not enough that is available.
    #[error("user {user} has {available}, which is less than {needed}")]
    InsufficientFunds {
        /// The player.
        user: String,
        /// What was to be taken, smallest unit of CRAP.
        needed: i64,
        /// What is available.
        available: i64,
    },

    /// A relay was too slow: others may have claimed the entry of the outbox since.
    #[error("the lease of outbox entry {id} was lost")]
    LeaseLost {
        /// Its key.
        id: i64,
    },

    /// The file of anchors says nothing about a trail that was sealed before.
    #[error("{}: it holds no anchor, and the audit trail has seals", path.display())]
    NoAnchors {
        /// The file, which may be missing.
        path: std::path::PathBuf,
    },

    /// Too few votes for any one hash to decide the round.
    #[error("round {round} has {votes} votes for one hash and needs {needed}")]
    NoQuorum {
        /// Number of the round.
        round: i64,
        /// Votes for the hash that has most.
        votes: i64,
        /// Strictly more than two thirds of the voters.
        needed: i64,
    },

    /// A game cannot end while bets are open that its end does not settle.
    #[error("game {game} has {count} open bets that are not settled")]
    OpenBets {
        /// The game.
        game: String,
        /// How many.
        count: u64,
    },

    /// More than a 64-bit number holds.
    #[error("{owner} would have more than can be counted")]
    Overflow {
        /// A player or an account.
        owner: String,
    },

    /// No connection is made to a banned peer.
    #[error("peer {0} is banned")]
    PeerBanned(String),

    /// What was staked has been given back before.
    #[error("staking position {0} is closed already")]
    PositionClosed(String),

    /// A pot holds less than it should: somebody changed it by hand.
    #[error("the pot of game {game} has {available}, which is less than {needed}: reconcile")]
    PotShort {
        /// The game.
        game: String,
        /// What was to be taken, smallest unit of CRAP.
        needed: i64,
        /// What it has.
        available: i64,
    },

    /// The reference was used with another content.
    #[error("there was a {kind} under the reference {reference} with another content")]
    ReferenceConflict {
        /// What kind of operation.
        kind: &'static str,
        /// Given by the caller.
        reference: String,
    },

    /// The round has been decided.
    #[error("round {0} is decided")]
    RoundFinalized(i64),

    /// A setting holds something else than was asked for.
    #[error("setting {key}: {reason}")]
    SettingMismatch {
        /// Name of the setting.
        key: String,
        /// What does not fit.
        reason: String,
    },

    /// Another player has this Telegram account.
    #[error("the Telegram account {0} is taken")]
    TelegramIdTaken(i64),

    /// The audit trail is not what its anchor says.
    #[error("the audit trail is broken: {0}")]
    TrailBroken(#[source] crate::Fault),

    /// The treasury cannot pay.
    #[error("the treasury has {available}, which is less than {needed}")]
    TreasuryShort {
        /// What it has to pay, smallest unit of CRAP.
        needed: i64,
        /// What it has.
        available: i64,
    },

    /// A voter has voted in this round already, for whatever.
    #[error("{voter} has voted in round {round} already")]
    VotedTwice {
        /// Number of the round.
        round: i64,
        /// Who voted.
        voter: String,
    },

    /// Another world has this name.
    #[error("the world name {0} is taken")]
    WorldNameTaken(String),

    /// The game is not as far as it has to be, or farther.
    #[error("game {game} is {state}, not {wanted}")]
    WrongState {
        /// The game.
        game: String,
        /// How far it is.
        state: GameState,
        /// How far it has to be.
        wanted: GameState,
    },

    /// A game's events are at another version than the caller expected.
    #[error("game {game}: its events are at version {found}, not {expected}")]
    WrongVersion {
        /// The game.
        game: String,
        /// What the caller expected.
        expected: i64,
        /// What it is.
        found: i64,
    },
}

impl Error {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a key is a number or borrowed text, and handing it over reads better"
    )]
    pub(crate) fn not_found(entity: &'static str, key: impl ToString) -> Self {
        Self::NotFound {
            entity,
            key: key.to_string(),
        }
    }

    /// Whether a rule was broken, rather than the database being in trouble. Whether the transaction
    /// still stands it does not say: on PostgreSQL a rule that a constraint refused by name has ended
    /// it. Who goes on has to know that the rule was found broken by reading.
    pub(crate) const fn is_domain(&self) -> bool {
        !matches!(self, Self::Database(_))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a key is a number or borrowed text, and handing it over reads better"
    )]
    pub(crate) fn ended(entity: &'static str, key: impl ToString) -> Self {
        Self::Ended {
            entity,
            key: key.to_string(),
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a key is a number or borrowed text, and handing it over reads better"
    )]
    pub(crate) fn already_exists(entity: &'static str, key: impl ToString) -> Self {
        Self::AlreadyExists {
            entity,
            key: key.to_string(),
        }
    }
}

/// So that `?` works after a statement whose refusal needs no name of its own.
impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        Self::Database(error.into())
    }
}

impl DatabaseFailure for Error {
    fn database_error(&self) -> Option<&db_core::Error> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}
