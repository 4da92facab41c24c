//! The repositories' SQL by the `postgres` crate: a connection per client, statements prepared
//! once, and COPY for what comes in bulk.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use bench_load::repo::{self, ACTOR, Bet, PLACE_BET, Runner, STAKE, Value, now_micros};
use bench_load::{Figures, Job, clients, once};
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use postgres::{Client, NoTls, Row, Statement, Transaction};

/// Unix microseconds of 2000-01-01, from where the server counts.
const EPOCH: i64 = 946_684_800_000_000;

/// What is copied.
const COLUMNS: &str =
    "bets (id, game_id, player_id, bet_type, amount, outcome, created_at, resolved_at)";

/// How rows are copied.
#[derive(Clone, Copy)]
pub(crate) enum Copy {
    Binary,
    Text,
}

pub(crate) fn run(job: &Job, work: repo::Work, copy: Copy) -> Result<Figures> {
    match work {
        repo::Work::PlaceBet => clients(job, |_| {
            let mut client = Client::connect(job.url()?, NoTls)?;
            let mut statements: [Option<Statement>; PLACE_BET.len()] = Default::default();
            let (mut bet, mut documents) = (Bet::default(), String::new());
            Ok(move |number| {
                let mut raw = Raw {
                    transaction: client.transaction()?,
                    statements: &mut statements,
                };
                let bet = bet.of(number, job.players);
                repo::place_bet(&mut raw, bet, &mut documents)?;
                raw.transaction.commit()?;
                Ok(())
            })
        }),
        repo::Work::Bulk { bets } => {
            let mut client = Client::connect(job.url()?, NoTls)?;
            once(job, bets, || {
                let mut statements = Default::default();
                let mut raw = Raw {
                    transaction: client.transaction()?,
                    statements: &mut statements,
                };
                let now = now_micros();
                let actor = [
                    Value::Text("bench"),
                    Value::Text(ACTOR.0),
                    Value::Text(ACTOR.1),
                    Value::Int(now),
                ];
                raw.execute(0, &actor)?;
                let copied = match copy {
                    Copy::Binary => binary(&mut raw.transaction, bets, job.players, now)?,
                    Copy::Text => text(&mut raw.transaction, bets, job.players, now)?,
                };
                ensure!(copied == bets, "{copied} of {bets} rows");
                raw.transaction.commit()?;
                Ok(())
            })
        }
        repo::Work::Find
        | repo::Work::List
        | repo::Work::Leaderboard { .. }
        | repo::Work::Balance => bail!("not measured"),
    }
}

fn binary(transaction: &mut Transaction<'_>, bets: u64, players: u64, now: i64) -> Result<u64> {
    let out = transaction.copy_in(&format!("COPY {COLUMNS} FROM STDIN (FORMAT binary)"))?;
    let types = [
        Type::BYTEA,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
    ];
    let mut out = BinaryCopyInWriter::new(out, &types);
    let moment = Value::Time(now);
    let moment = Bound(&moment);
    let mut bet = Bet::default();
    for number in 0..bets {
        let bet = bet.at(number, players, now);
        out.write(&[
            &bet.id().as_slice(),
            &bet.game(),
            &bet.player(),
            &"pass",
            &STAKE,
            &"lost",
            &moment,
            &moment,
        ])?;
    }
    Ok(out.finish()?)
}

fn text(transaction: &mut Transaction<'_>, bets: u64, players: u64, now: i64) -> Result<u64> {
    let moment: String = transaction
        .query_one(
            "SELECT CAST(CAST($1 AS TIMESTAMPTZ) AS TEXT)",
            &[&Bound(&Value::Time(now))],
        )?
        .try_get(0)?;
    let mut out = transaction.copy_in(&format!("COPY {COLUMNS} FROM STDIN"))?;
    let mut bet = Bet::default();
    let mut lines = String::new();
    for number in 0..bets {
        let bet = bet.at(number, players, now);
        lines.push_str("\\\\x");
        for byte in bet.id() {
            // Writing to a String cannot fail.
            let _infallible = write!(lines, "{byte:02x}");
        }
        let (game, player) = (bet.game(), bet.player());
        let _infallible = writeln!(
            lines,
            "\t{game}\t{player}\tpass\t{STAKE}\tlost\t{moment}\t{moment}"
        );
        if lines.len() > 1 << 16 {
            out.write_all(lines.as_bytes())?;
            lines.clear();
        }
    }
    out.write_all(lines.as_bytes())?;
    Ok(out.finish()?)
}

/// Runs the statements of a bet.
struct Raw<'a> {
    transaction: Transaction<'a>,
    statements: &'a mut [Option<Statement>; PLACE_BET.len()],
}

/// A value as the server takes it.
#[derive(Debug)]
struct Bound<'a>(&'a Value<'a>);

impl Bound<'_> {
    const fn of_type(&self) -> Type {
        match self.0 {
            Value::Text(_) => Type::TEXT,
            Value::Int(_) => Type::INT8,
            Value::Bytes(_) => Type::BYTEA,
            Value::Time(_) => Type::TIMESTAMPTZ,
            Value::Json(_) => Type::JSONB,
        }
    }
}

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self.0 {
            Value::Text(text) => text.to_sql(kind, out),
            Value::Int(number) => number.to_sql(kind, out),
            Value::Bytes(bytes) => bytes.to_sql(kind, out),
            Value::Time(micros) => (micros - EPOCH).to_sql(&Type::INT8, out),
            Value::Json(None) => Ok(IsNull::Yes),
            Value::Json(Some(text)) => {
                // The version of the format.
                out.extend_from_slice(&[1]);
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Raw<'_> {
    fn prepared(&mut self, step: usize, values: &[Bound<'_>]) -> Result<Statement> {
        if let Some(statement) = &self.statements[step] {
            return Ok(statement.clone());
        }
        let sql = PLACE_BET[step].postgres().context("not of PostgreSQL")?;
        let types: Vec<Type> = values.iter().map(Bound::of_type).collect();
        let statement = self.transaction.prepare_typed(&sql, &types)?;
        self.statements[step] = Some(statement.clone());
        Ok(statement)
    }

    fn one(&mut self, step: usize, values: &[Value<'_>]) -> Result<Row> {
        let values: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        let statement = self.prepared(step, &values)?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|one| one as _).collect();
        Ok(self.transaction.query_one(&statement, &values)?)
    }
}

impl Runner for Raw<'_> {
    const POSTGRES: bool = true;

    fn execute(&mut self, step: usize, values: &[Value<'_>]) -> Result<u64> {
        let values: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        let statement = self.prepared(step, &values)?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|one| one as _).collect();
        Ok(self.transaction.execute(&statement, &values)?)
    }

    fn numbers<const N: usize>(&mut self, step: usize, values: &[Value<'_>]) -> Result<[i64; N]> {
        let row = self.one(step, values)?;
        let mut numbers = [0; N];
        for (number, at) in numbers.iter_mut().zip(0..) {
            *number = row.try_get::<usize, i64>(at)?;
        }
        Ok(numbers)
    }

    fn text(&mut self, step: usize, values: &[Value<'_>]) -> Result<String> {
        Ok(self.one(step, values)?.try_get(0)?)
    }
}
