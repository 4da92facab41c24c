//! What does not add up.

use std::fmt;

use serde::Serialize;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A player's available balance with the lines.
    Available,
    /// A player's locked balance with the lines.
    Locked,
    /// A player's staked balance with the lines.
    Staked,
    /// A player's locked balance with open bets and holds.
    OpenBets,
    /// A player's staked balance with active staking positions.
    ActivePositions,
    /// A player's line with the one before.
    Chain,
    /// An account's balance with its lines.
    Account,
    /// An account's line with the one before.
    AccountChain,
    /// What a staking position says it has paid with the reward lines that name it.
    ClaimedRewards,
    /// The pot that a game shows with the account of the pot.
    Pot,
    /// A game that goes on has an account for its pot.
    PotAccount,
    /// The account of the pot of a game that has ended, which holds nothing.
    EndedPot,
    /// Open bets in a game that has ended, of which there are none.
    EndedBets,
    /// A bet in a game with a history has an event that says so.
    BetWithoutEvent,
    /// An event that a bet was placed has its bet, of the player that it says.
    EventWithoutBet,
    /// The stake of a bet with its event.
    Stake,
    /// A bet that was placed by an event and is settled has an event that says so.
    OutcomeWithoutEvent,
    /// An event that a bet was settled has its bet, which is settled.
    EventWithoutOutcome,
    /// The outcome of a bet with its event.
    Outcome,
    /// What a settled bet was paid beyond its stake, as its lines say, with its event.
    Winnings,
    /// An operation on money has its answer.
    Answer,
    /// All balances together with what came in and went out.
    Supply,
}

impl Check {
    /// Every check, in the order in which they are declared.
    pub const ALL: &'static [Self] = &[
        Self::Available,
        Self::Locked,
        Self::Staked,
        Self::OpenBets,
        Self::ActivePositions,
        Self::Chain,
        Self::Account,
        Self::AccountChain,
        Self::ClaimedRewards,
        Self::Pot,
        Self::PotAccount,
        Self::EndedPot,
        Self::EndedBets,
        Self::BetWithoutEvent,
        Self::EventWithoutBet,
        Self::Stake,
        Self::OutcomeWithoutEvent,
        Self::EventWithoutOutcome,
        Self::Outcome,
        Self::Winnings,
        Self::Answer,
        Self::Supply,
    ];
}

/// The outcomes of a bet that have to be the same, as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Outcomes {
    /// What an event says; none without one.
    pub expected: Option<String>,
    /// What is stored; none of a bet that is open or not there.
    pub found: Option<String>,
}

/// Two figures that have to be equal and are not: smallest unit of CRAP, or how many accounts, answers or
/// outcomes there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Difference {
    /// What was compared.
    pub check: Check,
    /// The player, the account, the staking position or the game; of a bet its key and its game; of an
    /// operation its kind and reference.
    pub owner: String,
    /// The line, where lines were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<i64>,
    /// What was recomputed.
    pub expected: i128,
    /// What is stored.
    pub found: i128,
    /// The outcomes, where those were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<Outcomes>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner,
            expected,
            found,
            ..
        } = self;
        let line = self.line.unwrap_or_default();
        let (said, kept) = self.outcomes.as_ref().map_or((None, None), |outcomes| {
            (outcomes.expected.as_deref(), outcomes.found.as_deref())
        });
        let (said, kept) = (said.unwrap_or_default(), kept.unwrap_or_default());
        match self.check {
            Check::Available => write!(f, "{owner}: {found} available, lines say {expected}"),
            Check::Locked => write!(f, "{owner}: {found} locked, lines say {expected}"),
            Check::Staked => write!(f, "{owner}: {found} staked, lines say {expected}"),
            Check::OpenBets => {
                write!(
                    f,
                    "{owner}: {found} locked, open bets and holds say {expected}"
                )
            }
            Check::ActivePositions => {
                write!(
                    f,
                    "{owner}: {found} staked, active positions say {expected}"
                )
            }
            Check::Chain => {
                write!(
                    f,
                    "{owner}: line {line} begins with {found}, the one before left {expected}"
                )
            }
            Check::Account => write!(f, "account {owner}: {found}, its lines say {expected}"),
            Check::AccountChain => write!(
                f,
                "account {owner}: line {line} begins with {found}, the one before left {expected}"
            ),
            Check::Pot => write!(
                f,
                "game {owner}: pot of {found}, its account holds {expected}"
            ),
            Check::ClaimedRewards => write!(
                f,
                "staking position {owner}: {found} claimed, reward lines say {expected}"
            ),
            Check::PotAccount => {
                write!(f, "game {owner}: it goes on without an account for its pot")
            }
            Check::EndedPot => write!(f, "game {owner}: it has ended, and its pot holds {found}"),
            Check::EndedBets => {
                write!(
                    f,
                    "game {owner}: it has ended, and bets of {found} are open"
                )
            }
            Check::BetWithoutEvent => {
                write!(f, "bet {owner}: a stake of {found}, and no event says so")
            }
            Check::EventWithoutBet => write!(
                f,
                "bet {owner}: an event says a stake of {expected}, and there is no such bet"
            ),
            Check::Stake => write!(
                f,
                "bet {owner}: a stake of {found}, its event says {expected}"
            ),
            Check::OutcomeWithoutEvent => {
                write!(f, "bet {owner}: it is {kept}, and no event says so")
            }
            Check::EventWithoutOutcome => write!(
                f,
                "bet {owner}: an event says {said}, and there is no such bet that is settled"
            ),
            Check::Outcome => write!(f, "bet {owner}: it is {kept}, its event says {said}"),
            Check::Winnings => write!(
                f,
                "bet {owner}: its lines pay {found} beyond the stake, its event says {expected}"
            ),
            Check::Answer => write!(
                f,
                "operation {owner}: it was begun, and there is no answer to it"
            ),
            Check::Supply => write!(
                f,
                "{owner} hold {found}, deposits and funds less withdrawals say {expected}"
            ),
        }
    }
}
