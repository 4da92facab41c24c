//! A place of its own in the bucket on the S3-compatible test server.

use uuid::Uuid;

/// The environment variable that names the test server: `http://KEY:SECRET@127.0.0.1:PORT`.
pub const BUCKET_VARIABLE: &str = "BITCRAPS_TEST_S3_URL";

/// A prefix that no other test uses, in the bucket `bitcraps`. The server forgets all when it ends.
#[derive(Debug, Clone)]
pub struct TestBucket {
    url: String,
    key: String,
    secret: String,
    port: u16,
}

impl TestBucket {
    /// A new place.
    ///
    /// # Panics
    /// If there is no test server.
    #[must_use]
    #[track_caller]
    pub fn create() -> Self {
        let server = std::env::var(BUCKET_VARIABLE).unwrap_or_default();
        let parts = || {
            let (user, host) = server.strip_prefix("http://")?.rsplit_once('@')?;
            let (key, secret) = user.split_once(':')?;
            let port = host.trim_end_matches('/').rsplit_once(':')?.1;
            Some((key, secret, port.parse().ok()?))
        };
        let Some((key, secret, port)) = parts() else {
            panic!(
                "this test needs an S3-compatible server: run `cargo xtask test`, which starts \
                 one, or set {BUCKET_VARIABLE} to http://KEY:SECRET@127.0.0.1:PORT"
            )
        };
        Self {
            url: format!("s3://bitcraps/{}", Uuid::new_v4().simple()),
            key: key.to_owned(),
            secret: secret.to_owned(),
            port,
        }
    }

    /// `s3://bitcraps/` and the prefix.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port of the server, for a [`Proxy`](crate::Proxy).
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What must not show in any output.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The variables that lead to it by a port: its own, or that of a [`Proxy`](crate::Proxy).
    #[must_use]
    pub fn variables(&self, port: u16) -> Vec<(String, String)> {
        [
            ("AWS_ACCESS_KEY_ID", self.key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}
