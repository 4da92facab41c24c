//! As much of HTTP as a test needs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Asks a service, on a connection for each request.
pub(crate) struct Client {
    pub(crate) address: String,
}

impl Client {
    /// Status and body; none if nobody answers.
    pub(crate) fn post(&self, path: &str, key: Option<&str>, body: &str) -> Option<(u16, String)> {
        let key = key.map_or_else(String::new, |key| format!("idempotency-key: {key}\r\n"));
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{key}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// Status and body; none if nobody answers.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
        ))
    }

    /// A client who never says the rest.
    pub(crate) fn half_a_request(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let half = "POST /players HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
        stream.write_all(half.as_bytes()).unwrap();
        stream
    }

    fn ask(&self, request: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }
}
