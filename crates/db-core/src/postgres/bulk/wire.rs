//! libpq's connection, never blocking: each wait looks at the interrupt.
#![expect(
    unsafe_code,
    reason = "libpq's C interface; every block states why it is sound"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::{Duration, Instant};

use diesel::ConnectionError;
use pq_sys::{self as ffi, ConnStatusType, ExecStatusType};

use crate::error::{Error, ErrorKind, Report};
use crate::{DatabaseUrl, Interrupt};

/// How long a wait goes on before the interrupt is looked at again, in microseconds.
const LOOK_AFTER_US: i64 = 50_000;

/// How long a server that was asked to stop may take to answer, before it is left alone.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection of libpq.
pub(super) struct Wire {
    conn: NonNull<ffi::PGconn>,
    interrupt: Interrupt,
    /// When the server was asked to stop what it does now.
    asked: Option<Instant>,
    /// The server did not answer in time: nothing more is said to it.
    abandoned: bool,
}

// SAFETY: libpq lets a connection be used by any thread, one at a time, for which `Send` without
// `Sync` stands. https://www.postgresql.org/docs/current/libpq-threading.html
unsafe impl Send for Wire {}

/// An answer of the server.
pub(super) struct Answer(NonNull<ffi::PGresult>);

/// What [`Wire::read_row`] has found.
pub(super) enum Read {
    /// A row, at this place.
    Row(CopyRow),
    /// All rows have come.
    End,
}

/// A row that libpq has allocated.
pub(super) struct CopyRow {
    start: NonNull<c_char>,
    length: usize,
}

impl Wire {
    pub(super) fn connect(
        url: &DatabaseUrl,
        full: &str,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let refused = |text: String| {
            Err(Error::classify_connect(
                &ConnectionError::BadConnection(text),
                url,
            ))
        };
        let Ok(text) = CString::new(full) else {
            return refused("the URL holds a NUL".to_owned());
        };
        // SAFETY: the text ends in NUL. What comes back is null, or a connection that `Drop` closes.
        let Some(conn) = NonNull::new(unsafe { ffi::PQconnectdb(text.as_ptr()) }) else {
            return Err(Error::new(ErrorKind::OutOfMemory, "out of memory"));
        };
        let wire = Self {
            conn,
            interrupt: interrupt.clone(),
            asked: None,
            abandoned: false,
        };
        // SAFETY: the connection was made just now.
        if unsafe { ffi::PQstatus(conn.as_ptr()) } != ConnStatusType::CONNECTION_OK {
            return refused(wire.words());
        }
        // SAFETY: as above; the function has the signature that libpq documents and needs no data.
        // Without it libpq prints notices.
        unsafe { ffi::PQsetNoticeProcessor(conn.as_ptr(), Some(ignore), ptr::null_mut()) };
        // SAFETY: as above.
        if unsafe { ffi::PQsetnonblocking(conn.as_ptr(), 1) } != 0 {
            return Err(wire.failure());
        }
        Ok(wire)
    }

    /// Sends a query; `Cancelled` if the interrupt is set already.
    pub(super) fn send(&mut self, sql: &str) -> Result<(), Error> {
        // SAFETY: the connection is open until the drop; the text ends in NUL and is copied.
        self.send_by(sql, |conn, text| unsafe {
            ffi::PQsendQuery(conn, text.as_ptr())
        })
    }

    /// Sends one statement by the extended protocol, in which the server refuses more than one.
    pub(super) fn send_one(&mut self, sql: &str) -> Result<(), Error> {
        // SAFETY: the connection is open until the drop; the text ends in NUL and is copied; there
        // are no parameters, for which null may stand.
        self.send_by(sql, |conn, text| unsafe {
            ffi::PQsendQueryParams(
                conn,
                text.as_ptr(),
                0,
                ptr::null(),
                ptr::null(),
                ptr::null(),
                ptr::null(),
                0,
            )
        })
    }

    fn send_by(
        &mut self,
        sql: &str,
        send: impl FnOnce(*mut ffi::PGconn, &CStr) -> c_int,
    ) -> Result<(), Error> {
        if self.interrupt.is_set() {
            return Err(cancelled());
        }
        if self.abandoned {
            let reason = "the server has not answered before";
            return Err(Error::new(ErrorKind::ConnectionLost, reason));
        }
        self.asked = None;
        let text = CString::new(sql)
            .map_err(|_| Error::new(ErrorKind::Statement, "a statement holds a NUL"))?;
        if send(self.conn.as_ptr(), &text) == 0 {
            return Err(self.failure());
        }
        self.flush()
    }

    /// Whether the server said last that a transaction is open, be it one that has failed.
    pub(super) fn in_transaction(&self) -> bool {
        // SAFETY: the connection is open until the drop.
        let status = unsafe { ffi::PQtransactionStatus(self.conn.as_ptr()) };
        matches!(
            status,
            ffi::PGTransactionStatusType::PQTRANS_INTRANS
                | ffi::PGTransactionStatusType::PQTRANS_INERROR
        )
    }

    /// A setting of the kind that the server reports whenever it changes.
    pub(super) fn reported(&self, name: &CStr) -> Option<String> {
        // SAFETY: the connection is open until the drop; the name ends in NUL.
        let value = unsafe { ffi::PQparameterStatus(self.conn.as_ptr(), name.as_ptr()) };
        // SAFETY: it is null or ends in NUL, and is copied before the next call.
        unsafe { text_at(value) }
    }

    /// The next answer to what was sent; none after the last one.
    pub(super) fn result(&mut self) -> Result<Option<Answer>, Error> {
        // SAFETY: the connection is open until the drop, here and below.
        while unsafe { ffi::PQisBusy(self.conn.as_ptr()) } == 1 {
            self.wait(false)?;
            self.consume()?;
        }
        // SAFETY: as above.
        let result = unsafe { ffi::PQgetResult(self.conn.as_ptr()) };
        Ok(NonNull::new(result).map(Answer))
    }

    /// Reads all answers to what was sent; the first failure is the outcome.
    pub(super) fn results(&mut self, mut each: impl FnMut(&Answer)) -> Result<(), Error> {
        let mut outcome = Ok(());
        while let Some(answer) = self.result()? {
            match answer.status() {
                ExecStatusType::PGRES_COPY_IN => {
                    self.end_copy(Some(c"no rows were to be sent"))?;
                }
                ExecStatusType::PGRES_COPY_OUT => while let Read::Row(_) = self.read_row()? {},
                _ => match answer.failure() {
                    Some(report) if outcome.is_ok() => outcome = Err(Error::from_report(report)),
                    Some(_) => {}
                    None => each(&answer),
                },
            }
        }
        outcome
    }

    /// The next row of a COPY TO STDOUT.
    pub(super) fn read_row(&mut self) -> Result<Read, Error> {
        loop {
            let mut row = ptr::null_mut();
            // SAFETY: the connection is open until the drop, and `row` is where libpq puts its
            // allocation.
            let length = unsafe { ffi::PQgetCopyData(self.conn.as_ptr(), &raw mut row, 1) };
            match (usize::try_from(length), NonNull::new(row)) {
                (Ok(length @ 1..), Some(start)) => return Ok(Read::Row(CopyRow { start, length })),
                (Ok(_), _) => {
                    self.wait(false)?;
                    self.consume()?;
                }
                (Err(_), _) if length == -1 => return Ok(Read::End),
                (Err(_), _) => return Err(self.failure()),
            }
        }
    }

    /// Sends a part of the rows of a COPY FROM STDIN, and waits until the server takes it.
    pub(super) fn write_rows(&mut self, data: &[u8]) -> Result<(), Error> {
        if self.interrupt.is_set() {
            return Err(cancelled());
        }
        for part in data.chunks(c_int::MAX as usize) {
            let length = c_int::try_from(part.len()).unwrap_or(c_int::MAX);
            self.patiently(|conn| {
                // SAFETY: the connection is open; so many bytes stand there, and are copied.
                unsafe { ffi::PQputCopyData(conn, part.as_ptr().cast(), length) }
            })?;
        }
        self.flush()
    }

    /// Ends a COPY FROM STDIN, with a reason if it is to fail.
    pub(super) fn end_copy(&mut self, reason: Option<&CStr>) -> Result<(), Error> {
        let reason = reason.map_or(ptr::null(), CStr::as_ptr);
        self.patiently(|conn| {
            // SAFETY: the connection is open; the reason is null or ends in NUL, and is copied.
            unsafe { ffi::PQputCopyEnd(conn, reason) }
        })?;
        self.flush()
    }

    /// Asks the server to end what it does, once for each statement.
    pub(super) fn cancel(&mut self) {
        if self.asked.is_some() {
            return;
        }
        self.asked = Some(Instant::now());
        // SAFETY: the connection is open; what comes back is null or ours until `PQcancelFinish`.
        let request = unsafe { ffi::PQcancelCreate(self.conn.as_ptr()) };
        if request.is_null() {
            return;
        }
        // SAFETY: it was made just now. Null is an answer, too: 0, that it could not be sent.
        if unsafe { ffi::PQcancelBlocking(request) } == 0 {
            tracing::debug!("the server could not be asked to stop");
        }
        // SAFETY: finished once, here.
        unsafe { ffi::PQcancelFinish(request) };
    }

    /// Asks the server to stop if that is what the interrupt asks.
    pub(super) fn obey(&mut self) {
        if self.interrupt.is_set() {
            self.cancel();
        }
    }

    /// Whether there is no use in talking to the server.
    pub(super) fn is_gone(&self) -> bool {
        // SAFETY: the connection is open until the drop.
        self.abandoned
            || unsafe { ffi::PQstatus(self.conn.as_ptr()) } != ConnStatusType::CONNECTION_OK
    }

    /// Calls again while libpq has no room: 0 is to wait, -1 a failure.
    fn patiently(&mut self, call: impl Fn(*mut ffi::PGconn) -> c_int) -> Result<(), Error> {
        loop {
            match call(self.conn.as_ptr()) {
                0 => {
                    self.wait(true)?;
                    self.consume()?;
                }
                -1 => return Err(self.failure()),
                _ => return Ok(()),
            }
        }
    }

    /// Waits until everything is sent, and reads meanwhile, or both sides would wait for ever.
    fn flush(&mut self) -> Result<(), Error> {
        loop {
            // SAFETY: the connection is open until the drop.
            match unsafe { ffi::PQflush(self.conn.as_ptr()) } {
                0 => return Ok(()),
                1 => {
                    self.wait(true)?;
                    self.consume()?;
                }
                // What the server said before it went away stands in its answer.
                _ => return Err(self.failure()),
            }
        }
    }

    /// Waits for the server, and asks it to stop when the interrupt is set.
    fn wait(&mut self, writing: bool) -> Result<(), Error> {
        // SAFETY: the connection is open until the drop.
        let socket = unsafe { ffi::PQsocket(self.conn.as_ptr()) };
        if socket < 0 {
            return Err(self.failure());
        }
        // SAFETY: takes nothing, returns a number.
        let until = unsafe { ffi::PQgetCurrentTimeUSec() }.saturating_add(LOOK_AFTER_US);
        // A signal that comes in between is no failure: whoever waits looks again.
        // SAFETY: the socket is open as long as the connection.
        unsafe { ffi::PQsocketPoll(socket, 1, c_int::from(writing), until) };
        self.obey();
        if self.asked.is_some_and(|asked| asked.elapsed() > PATIENCE) {
            self.abandoned = true;
            return Err(cancelled());
        }
        Ok(())
    }

    /// Reads what has come, without a wait.
    fn consume(&mut self) -> Result<(), Error> {
        // SAFETY: the connection is open until the drop.
        match unsafe { ffi::PQconsumeInput(self.conn.as_ptr()) } {
            1 => Ok(()),
            _ => Err(self.failure()),
        }
    }

    /// What libpq itself says has failed: most often, that the connection is gone.
    fn failure(&self) -> Error {
        let words = self.words();
        // SAFETY: the connection is open until the drop.
        let lost = unsafe { ffi::PQstatus(self.conn.as_ptr()) } != ConnStatusType::CONNECTION_OK;
        let state = lost.then(|| "08006".to_owned());
        Error::from_report(Report {
            sqlstate: state,
            message: words.trim().to_owned(),
            ..Report::default()
        })
    }

    fn words(&self) -> String {
        // SAFETY: the connection is open until the drop.
        let text = unsafe { ffi::PQerrorMessage(self.conn.as_ptr()) };
        // SAFETY: it is null or ends in NUL, and is copied before the next call.
        unsafe { text_at(text) }.unwrap_or_default()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // SAFETY: closed once, here.
        unsafe { ffi::PQfinish(self.conn.as_ptr()) };
    }
}

impl Answer {
    pub(super) fn status(&self) -> ExecStatusType {
        // SAFETY: it is not cleared before the drop, here and below.
        unsafe { ffi::PQresultStatus(self.0.as_ptr()) }
    }

    /// What went wrong, if it is a failure.
    pub(super) fn failure(&self) -> Option<Report> {
        match self.status() {
            ExecStatusType::PGRES_FATAL_ERROR | ExecStatusType::PGRES_BAD_RESPONSE => {}
            _ => return None,
        }
        let message = self.field(ffi::PG_DIAG_MESSAGE_PRIMARY).or_else(|| {
            // SAFETY: as above.
            let whole = unsafe { ffi::PQresultErrorMessage(self.0.as_ptr()) };
            // SAFETY: it is null or ends in NUL, and is copied.
            unsafe { text_at(whole) }.map(|text| text.trim().to_owned())
        });
        let position = self.field(ffi::PG_DIAG_STATEMENT_POSITION);
        Some(Report {
            sqlstate: self.field(ffi::PG_DIAG_SQLSTATE),
            message: message.unwrap_or_default(),
            detail: self.field(ffi::PG_DIAG_MESSAGE_DETAIL),
            hint: self.field(ffi::PG_DIAG_MESSAGE_HINT),
            context: self.field(ffi::PG_DIAG_CONTEXT),
            position: position.and_then(|at| at.parse().ok()),
            table: self.field(ffi::PG_DIAG_TABLE_NAME),
            column: self.field(ffi::PG_DIAG_COLUMN_NAME),
            constraint: self.field(ffi::PG_DIAG_CONSTRAINT_NAME),
        })
    }

    /// How many rows the command was about.
    pub(super) fn rows_done(&self) -> Option<u64> {
        // SAFETY: as above.
        let text = unsafe { ffi::PQcmdTuples(self.0.as_ptr()) };
        // SAFETY: it ends in NUL, belongs to the answer, and is copied.
        unsafe { text_at(text) }?.parse().ok()
    }

    /// The rows of a small answer.
    pub(super) fn rows(&self) -> Vec<Vec<Option<String>>> {
        // SAFETY: as above.
        let rows = unsafe { ffi::PQntuples(self.0.as_ptr()) };
        // SAFETY: as above.
        let columns = unsafe { ffi::PQnfields(self.0.as_ptr()) };
        (0..rows)
            .map(|row| (0..columns).map(|column| self.cell(row, column)).collect())
            .collect()
    }

    fn cell(&self, row: c_int, column: c_int) -> Option<String> {
        // SAFETY: row and column are of this answer, here and below.
        if unsafe { ffi::PQgetisnull(self.0.as_ptr(), row, column) } == 1 {
            return None;
        }
        // SAFETY: as above.
        let start = unsafe { ffi::PQgetvalue(self.0.as_ptr(), row, column) };
        // SAFETY: as above.
        let length = unsafe { ffi::PQgetlength(self.0.as_ptr(), row, column) };
        // SAFETY: so many bytes stand there as long as the answer; they are copied.
        let bytes = unsafe {
            slice::from_raw_parts(
                start.cast::<u8>(),
                usize::try_from(length).unwrap_or_default(),
            )
        };
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn field(&self, code: u8) -> Option<String> {
        // SAFETY: as above.
        let text = unsafe { ffi::PQresultErrorField(self.0.as_ptr(), c_int::from(code)) };
        // SAFETY: it is null or ends in NUL, belongs to the answer, and is copied.
        unsafe { text_at(text) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: cleared once, here.
        unsafe { ffi::PQclear(self.0.as_ptr()) };
    }
}

impl CopyRow {
    pub(super) const fn bytes(&self) -> &[u8] {
        // SAFETY: libpq has put so many bytes there, which stay until the drop.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast::<u8>(), self.length) }
    }
}

impl Drop for CopyRow {
    fn drop(&mut self) {
        // SAFETY: libpq's own allocation, freed once, here.
        unsafe { ffi::PQfreemem(self.start.as_ptr().cast()) };
    }
}

pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "interrupted")
}

/// Notices are for people at a shell.
unsafe extern "C" fn ignore(_data: *mut c_void, _message: *const c_char) {}

/// # Safety
/// `text` is null, or ends in NUL.
unsafe fn text_at(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_string_lossy().into_owned())
}
