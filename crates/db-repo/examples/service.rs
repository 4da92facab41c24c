//! A casino behind HTTP, with axum: `cargo run -p db-repo --example service [URL] [ADDRESS]`.
//!
//! Without arguments it keeps `sqlite://casino.db` and listens on 127.0.0.1:8080. A thread delivers
//! the outbox, here to the terminal, and another removes what was delivered a week ago.
//!
//! Ctrl-C and SIGTERM end it: no new request is taken, those under way are answered, the outbox is
//! delivered, and what is left of it is said. All of that within ten seconds, or by a second signal
//! without waiting for requests; it exits with 0.
//!
//! There is no authentication: whoever reaches it is every player and the cashier. Put your own
//! before it, and take the player from there instead of from the request.
//!
//! An `idempotency-key` is a player's own, of printable ASCII without a colon: two players may use
//! the same one. With the player's key before it, it has at most 128 characters.
//!
//! ```sh
//! curl -X POST 127.0.0.1:8080/players -H 'content-type: application/json' -d '{"id":"ada"}'
//! curl -X POST 127.0.0.1:8080/players/ada/deposits -H 'content-type: application/json' \
//!      -H 'idempotency-key: d1' -d '{"amount":500}'
//! curl -X POST 127.0.0.1:8080/games -H 'content-type: application/json' -d '{"id":"g1"}'
//! curl -X POST 127.0.0.1:8080/games/g1/bets -H 'content-type: application/json' \
//!      -H 'idempotency-key: b1' -d '{"player":"ada","bet_type":"pass","amount":20}'
//! curl 127.0.0.1:8080/leaderboard
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use db_core::{
    Access, AsyncDatabase, Clock, Conn, Connection, Database, DatabaseConfig, ErrorKind,
    RetryPolicy, SystemClock,
};
use db_migrate::{Migrator, Source};
use db_repo::money::{self, Balances, PlacedBet};
use db_repo::{
    Actor, ClaimedEntry, Error, GameRepository, LeaderboardOrder, OutboxRelay, OutboxRepository,
    PageRequest, Retained, RetentionTask, StatsRepository, UserRepository,
};
use db_schema::migrations::{POSTGRES, SQLITE};
use db_schema::rows::{BetType, Game, NewGame, NewUser, PlayerStatistics, User};
use db_schema::types::{BetId, UtcTime};
use serde::Deserialize;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Characters of a client's name that the audit trail holds.
const AGENT_LENGTH: usize = 512;

/// How long the service may take to end: requests that are under way, the outbox, the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of that requests may take; the rest is for the outbox and the database.
const FOR_REQUESTS: Duration = Duration::from_secs(7);

/// How long the relay rests when there is nothing to deliver.
const PAUSE: Duration = Duration::from_secs(1);

/// How long entries that were delivered are kept.
const KEPT: Duration = Duration::from_hours(7 * 24);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next();
    let url = url.unwrap_or_else(|| "sqlite://casino.db".to_owned());
    let address = arguments.next();
    let address: SocketAddr = address.as_deref().unwrap_or("127.0.0.1:8080").parse()?;

    let config = DatabaseConfig::new(url);
    let mut connection = Connection::open_configured(&config, Access::Create)?;
    Migrator::new(Source::embedded(SQLITE, POSTGRES)).run(connection.conn())?;
    drop(connection);

    let listener = tokio::net::TcpListener::bind(address).await?;
    let database = Database::open(&config)?;
    let retention = RetentionTask::new(database.clone(), Arc::new(SystemClock))
        .keep(Retained::DeliveredOutbox, KEPT)
        .start(Duration::from_hours(1))?;
    let (end, ended) = mpsc::channel();
    let relayed = database.clone();
    let relay = thread::spawn(move || relay(&relayed, &ended));

    let signal = asked_to_end()?;
    println!("listening on {}", listener.local_addr()?);
    let until = serve(listener, app(database.clone()), signal).await?;

    retention.stop();
    // Only requests that were cut off may add to the outbox still.
    if end.send(until).is_err() || relay.join().is_err() {
        return Err("the relay has panicked".into());
    }
    if let Some(oldest) = database.read(OutboxRepository::oldest_waiting)? {
        println!("events wait for the next start, the oldest of {oldest}");
    }
    database.close(left(until).max(Duration::from_secs(1)))?;
    println!("ended");
    Ok(())
}

fn app(database: Database) -> Router {
    Router::new()
        .route("/players", post(create_player))
        .route("/players/{id}", get(player))
        .route("/players/{id}/deposits", post(deposit))
        .route("/games", post(create_game))
        .route("/games/{id}/bets", post(place_bet))
        .route("/leaderboard", get(leaderboard))
        .with_state(AsyncDatabase::new(database))
}

/// Serves until the first signal, and then until what is under way is answered or somebody loses
/// patience; when the rest has to be done.
async fn serve(
    listener: tokio::net::TcpListener,
    app: Router,
    signal: impl Future<Output = ()>,
) -> Result<Instant, Box<dyn std::error::Error>> {
    let (stop, stopped) = oneshot::channel::<()>();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        drop(stopped.await);
    });
    let server = tokio::spawn(server.into_future());
    signal.await;
    let until = Instant::now() + PATIENCE;
    let again = asked_to_end()?;
    drop(stop);
    // A client may hold a request open for ever.
    tokio::select! {
        served = server => served??,
        () = tokio::time::sleep(FOR_REQUESTS) => println!("requests are cut off"),
        () = again => println!("requests are cut off"),
    }
    Ok(until)
}

/// Waits for Ctrl-C or, where there is such a thing, SIGTERM, which service managers send. Whoever has
/// called this is not ended by a signal any more.
#[cfg(unix)]
fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Delivers what is in the outbox, until it is told when it has to be over: then what is there yet, as
/// far as the time reaches. What is not delivered by then is the next start's.
fn relay(database: &Database, ended: &Receiver<Instant>) {
    let relay = OutboxRelay::new();
    let mut until = None;
    loop {
        let found = match relay.run_once(database, &SystemClock, deliver) {
            Ok(report) => report.claimed > 0,
            Err(error) => {
                tracing::warn!(%error, "could not deliver the outbox");
                false
            }
        };
        if let Some(until) = until {
            if !found || left(until).is_zero() {
                return;
            }
            continue;
        }
        // There may be more.
        let pause = if found { Duration::ZERO } else { PAUSE };
        match ended.recv_timeout(pause) {
            Ok(moment) => until = Some(moment),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Tells the outside. It may be told twice: the key of the entry is how it knows.
#[expect(
    clippy::unnecessary_wraps,
    reason = "a queue or a webhook, in the place of the terminal, can fail"
)]
fn deliver(entry: &ClaimedEntry) -> Result<(), Infallible> {
    let ClaimedEntry {
        lease,
        outbox_type,
        payload,
        ..
    } = entry;
    println!("event {}: {outbox_type} {}", lease.id, payload.0);
    Ok(())
}

/// Who asks: what the audit trail will say.
struct Caller(Actor);

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    AsyncDatabase: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let address = ConnectInfo::<SocketAddr>::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        let mut actor = Actor::new()
            .user("service")
            .address(address.ip().to_string());
        if let Some(agent) = parts.headers.get(header::USER_AGENT) {
            actor = actor.agent(shown(&String::from_utf8_lossy(agent.as_bytes())));
        }
        Ok(Self(actor))
    }
}

/// What an audit trail can hold of what a client says of itself, which is no reason to refuse it.
fn shown(text: &str) -> String {
    let letters = text.chars().filter(|letter| !letter.is_control());
    letters.take(AGENT_LENGTH).collect()
}

/// A write by the caller; it is run again if the engine says that this may help.
async fn write<T: Send + 'static>(
    database: &AsyncDatabase,
    Caller(actor): Caller,
    mut f: impl FnMut(&mut Conn<'_>, UtcTime) -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    let now = UtcTime::from(SystemClock.now());
    let policy = RetryPolicy::default();
    let write = database.write_with_retry(&policy, move |conn| {
        actor.acts(conn, now, |conn| f(conn, now))
    });
    Ok(write.await?)
}

/// What a client calls its request, so that it can ask again without a second effect. References
/// are everybody's, so the player's key is part of it; the last colon ends that.
fn reference(player: &str, headers: &HeaderMap) -> Result<String, Refusal> {
    let key = headers.get("idempotency-key");
    let key = key.and_then(|key| key.to_str().ok());
    let key = key.filter(|key| !key.is_empty() && !key.contains(':'));
    key.map(|key| format!("{player}:{key}")).ok_or_else(|| {
        Refusal(
            StatusCode::BAD_REQUEST,
            "needs an idempotency-key without a colon".to_owned(),
        )
    })
}

#[derive(Deserialize)]
struct NewPlayer {
    id: String,
}

async fn create_player(
    State(database): State<AsyncDatabase>,
    caller: Caller,
    Json(body): Json<NewPlayer>,
) -> Result<(StatusCode, Json<User>), Refusal> {
    let user = write(&database, caller, move |conn, now| {
        let new = NewUser {
            id: body.id.clone(),
            username: body.id.clone(),
            public_key: vec![7; 32],
            created_at: now,
        };
        UserRepository::create(conn, &new)
    });
    Ok((StatusCode::CREATED, Json(user.await?)))
}

async fn player(
    State(database): State<AsyncDatabase>,
    Path(id): Path<String>,
) -> Result<Json<User>, Refusal> {
    let user = database.read(move |conn| UserRepository::get(conn, &id));
    Ok(Json(user.await?))
}

#[derive(Deserialize)]
struct Amount {
    amount: i64,
}

async fn deposit(
    State(database): State<AsyncDatabase>,
    caller: Caller,
    Path(user_id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Amount>,
) -> Result<Json<Balances>, Refusal> {
    let request = money::Deposit {
        reference: reference(&user_id, &headers)?,
        user_id,
        amount: body.amount,
    };
    let balances = write(&database, caller, move |conn, now| {
        money::deposit(conn, &request, now)
    });
    Ok(Json(balances.await?))
}

#[derive(Deserialize)]
struct OpenGame {
    id: String,
}

async fn create_game(
    State(database): State<AsyncDatabase>,
    caller: Caller,
    Json(body): Json<OpenGame>,
) -> Result<(StatusCode, Json<Game>), Refusal> {
    let game = write(&database, caller, move |conn, now| {
        let new = NewGame {
            id: body.id.clone(),
            created_at: now,
        };
        GameRepository::create(conn, &new)
    });
    Ok((StatusCode::CREATED, Json(game.await?)))
}

#[derive(Deserialize)]
struct Bet {
    player: String,
    bet_type: BetType,
    amount: i64,
}

async fn place_bet(
    State(database): State<AsyncDatabase>,
    caller: Caller,
    Path(game_id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Bet>,
) -> Result<Json<PlacedBet>, Refusal> {
    let reference = reference(&body.player, &headers)?;
    let request = money::PlaceBet {
        // The same request has to name the same bet.
        bet_id: BetId(bet_of(&reference)),
        reference,
        game_id,
        player_id: body.player,
        bet_type: body.bet_type,
        amount: body.amount,
    };
    let placed = write(&database, caller, move |conn, now| {
        money::place_bet(conn, &request, now)
    });
    Ok(Json(placed.await?))
}

/// The key of the bet that was asked for under this reference: its SHA-256, cut to a UUID.
fn bet_of(reference: &str) -> Uuid {
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(reference);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

async fn leaderboard(
    State(database): State<AsyncDatabase>,
) -> Result<Json<Vec<PlayerStatistics>>, Refusal> {
    let page = database.read(|conn| {
        StatsRepository::leaderboard(conn, LeaderboardOrder::TotalWon, &PageRequest::first(10))
    });
    Ok(Json(page.await?.items))
}

/// What a client is told. What the database said is for the log, and not for clients.
struct Refusal(StatusCode, String);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Error::NotFound { .. } | Error::MissingParent { .. } => StatusCode::NOT_FOUND,
            Error::Database(error) => {
                tracing::error!(%error, "a request failed");
                let status = match error.kind() {
                    ErrorKind::Overloaded | ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                return Self(status, "the database cannot answer".to_owned());
            }
            // In words of our own: the errors' tell balances, of the house and of other players.
            error => {
                let said = match error {
                    Error::InsufficientFunds { .. } => "not enough is available",
                    Error::AlreadyExists { .. } | Error::UsernameTaken(_) => {
                        "the key or name is taken"
                    }
                    Error::GameClosed { .. } | Error::WrongState { .. } => {
                        "the game does not take this now"
                    }
                    Error::ReferenceConflict { .. } => {
                        "the idempotency-key was used for another request"
                    }
                    Error::Contended { .. } => "too much at once; ask again",
                    _ => "this cannot be done now",
                };
                tracing::info!(%error, "a request was refused");
                return Self(StatusCode::CONFLICT, said.to_owned());
            }
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}
