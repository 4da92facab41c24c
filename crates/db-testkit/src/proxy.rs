//! A network that fails on request, between a test and its server.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a connection looks whether it is to end.
const LOOK: Duration = Duration::from_millis(10);

/// Passes bytes between a port of the loopback interface and a server.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<Accepting>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    holding: Mutex<bool>,
    /// Bytes that clients have sent, and how many of them pass before it holds by itself.
    sent: AtomicU64,
    hold_after: AtomicU64,
    changed: Condvar,
    links: Mutex<Vec<Weak<Link>>>,
}

/// One connection: the client's side and the server's.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    cut: AtomicBool,
}

#[derive(Debug)]
struct Accepting {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Proxy {
    /// Starts to pass everything on to a port of the loopback interface.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    #[track_caller]
    pub fn to(port: u16) -> Self {
        let shared = Arc::new(Shared {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            holding: Mutex::new(false),
            sent: AtomicU64::new(0),
            hold_after: AtomicU64::new(u64::MAX),
            changed: Condvar::new(),
            links: Mutex::default(),
        });
        let listener = listen(0);
        let port = listener
            .local_addr()
            .unwrap_or_else(|e| panic!("a listener without an address: {e}"))
            .port();
        let accepting = Some(accept(listener, &shared));
        Self {
            port,
            shared,
            accepting,
        }
    }

    /// The port to connect to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A black hole: nothing passes, in either direction, until [`pass`](Self::pass).
    pub fn hold(&self) {
        *lock(&self.shared.holding) = true;
    }

    /// Becomes a black hole once clients have sent so many bytes in all.
    pub fn hold_after(&self, bytes: u64) {
        self.shared.hold_after.store(bytes, Ordering::Release);
    }

    /// Bytes that clients have sent and that have passed, since it was started.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Acquire)
    }

    /// Whether nothing passes.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        *lock(&self.shared.holding)
    }

    /// Resets every connection: both ends see ECONNRESET.
    pub fn reset(&self) {
        for link in lock(&self.shared.links).drain(..) {
            if let Some(link) = link.upgrade() {
                link.cut.store(true, Ordering::Release);
            }
        }
        self.shared.changed.notify_all();
    }

    /// Resets every connection and refuses new ones until [`pass`](Self::pass).
    pub fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.stop.store(true, Ordering::Release);
            // It wakes up for this one, and looks.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
            drop(accepting.thread.join());
        }
        self.reset();
    }

    /// Lets everything pass again.
    ///
    /// # Panics
    /// If another program has taken the port.
    #[track_caller]
    pub fn pass(&mut self) {
        self.hold_after(u64::MAX);
        *lock(&self.shared.holding) = false;
        self.shared.changed.notify_all();
        if self.accepting.is_none() {
            self.accepting = Some(accept(listen(self.port), &self.shared));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        *lock(&self.shared.holding) = false;
        self.refuse();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .unwrap_or_else(|e| panic!("cannot listen on port {port}: {e}"))
}

fn accept(listener: TcpListener, shared: &Arc<Shared>) -> Accepting {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, shared) = (Arc::clone(&stop), Arc::clone(shared));
    let thread = thread::spawn(move || {
        for client in listener.incoming() {
            if stopped.load(Ordering::Acquire) {
                return;
            }
            if let Ok(client) = client
                && let Ok(server) = TcpStream::connect(shared.target)
            {
                join(&shared, client, server);
            }
        }
    });
    Accepting { stop, thread }
}

fn join(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    for stream in [&client, &server] {
        // One that cannot be set up is one that has ended.
        drop(stream.set_nodelay(true));
        drop(stream.set_read_timeout(Some(LOOK)));
    }
    let link = Arc::new(Link {
        client,
        server,
        cut: AtomicBool::new(false),
    });
    lock(&shared.links).push(Arc::downgrade(&link));
    for up in [true, false] {
        let (shared, link) = (Arc::clone(shared), Arc::clone(&link));
        thread::spawn(move || {
            let (from, to) = if up {
                (&link.client, &link.server)
            } else {
                (&link.server, &link.client)
            };
            pump(&shared, &link, (from, to), up);
        });
    }
}

/// Copies bytes until one side ends or the link is cut. The sockets close with the last of the two
/// directions, with a reset if it was cut.
fn pump(shared: &Shared, link: &Link, (mut from, mut to): (&TcpStream, &TcpStream), up: bool) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer);
        shared.wait_to_pass(link);
        if link.cut.load(Ordering::Acquire) {
            for stream in [&link.client, &link.server] {
                // No linger: closing sends RST instead of FIN.
                let _ended = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
            }
            return;
        }
        match read {
            Ok(0) => break,
            Ok(count) => {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
                if up {
                    shared.count(count as u64);
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

impl Shared {
    /// Counts what a client has sent.
    fn count(&self, bytes: u64) {
        let sent = self.sent.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if sent >= self.hold_after.load(Ordering::Acquire) {
            *lock(&self.holding) = true;
        }
    }

    fn wait_to_pass(&self, link: &Link) {
        let mut holding = lock(&self.holding);
        while *holding && !link.cut.load(Ordering::Acquire) {
            holding = self
                .changed
                .wait(holding)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
