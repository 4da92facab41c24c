//! Which bucket an address means, and how it is reached.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use crate::error::Error;

/// How the address of a bucket is written.
const FORMS: &str =
    "write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix, and nothing secret";

/// A part of an upload has to pass in this time; the library's 30 seconds ask for 2 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Trouble that passes is tried again for about ten seconds; the waits are random.
const RETRIES: usize = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(4);
const RETRY_TIMEOUT: Duration = Duration::from_secs(150);

/// Whose interface a bucket has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    S3,
    Google,
    Azure,
}

/// A bucket and a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    service: Service,
    bucket: String,
    /// What all names begin with.
    pub(super) prefix: Path,
}

/// The two sides of one client.
pub(super) struct Sides {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) uploads: Arc<dyn MultipartStore>,
}

impl Place {
    /// Reads `s3://bucket/prefix` and its like.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        // What is wrong may hold a password, and is not repeated.
        let wrong = |what: &str| Error::usage(format!("the address of the bucket {what}"), FORMS);
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| wrong("has no scheme"))?;
        let service = match scheme {
            "s3" => Service::S3,
            "gs" => Service::Google,
            "az" => Service::Azure,
            _ => return Err(wrong("has another scheme than s3, gs or az")),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if bucket.is_empty() || bucket.len() > 255 || !bucket.bytes().all(is_plain) {
            return Err(wrong("names no bucket: letters, digits, `.`, `-`, `_`"));
        }
        let prefix = prefix.trim_end_matches('/');
        if prefix.len() > 500 || !prefix.bytes().all(|b| is_plain(b) || b == b'/') {
            return Err(wrong(
                "has a prefix with other characters than letters, digits, `.`, `-`, `_` and `/`",
            ));
        }
        let prefix =
            Path::parse(prefix).map_err(|_| wrong("has a prefix with empty parts or `..`"))?;
        Ok(Self {
            service,
            bucket: bucket.to_owned(),
            prefix,
        })
    }

    /// The address, in one form.
    pub(super) fn location(&self) -> String {
        let scheme = match self.service {
            Service::S3 => "s3",
            Service::Google => "gs",
            Service::Azure => "az",
        };
        let slash = if self.prefix.as_ref().is_empty() {
            ""
        } else {
            "/"
        };
        format!("{scheme}://{}{slash}{}", self.bucket, self.prefix)
    }

    /// The object of a name.
    pub(super) fn object(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    /// A client, with what these variables of the environment say.
    pub(super) fn connect(&self, variables: &[(String, String)]) -> Result<Sides, Error> {
        match self.service {
            Service::S3 => self.s3(variables),
            Service::Google => self.google(variables),
            Service::Azure => self.azure(variables),
        }
    }

    fn s3(&self, variables: &[(String, String)]) -> Result<Sides, Error> {
        let mut builder = AmazonS3Builder::new()
            .with_client_options(options())
            .with_retry(retries())
            .with_checksum_algorithm(Checksum::SHA256);
        for (key, value) in known::<AmazonS3ConfigKey>(variables, "AWS_") {
            builder = builder.with_config(key, value);
        }
        refuse_open(
            builder.get_config_value(&AmazonS3ConfigKey::Endpoint),
            builder.get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)),
            ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP"),
        )?;
        let built = builder.with_bucket_name(&self.bucket).build();
        Ok(sides(built.map_err(|e| self.settings(&e, "AWS"))?))
    }

    fn google(&self, variables: &[(String, String)]) -> Result<Sides, Error> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_client_options(options())
            .with_retry(retries());
        for (key, value) in known::<GoogleConfigKey>(variables, "GOOGLE_") {
            builder = builder.with_config(key, value);
        }
        refuse_open(
            builder.get_config_value(&GoogleConfigKey::BaseUrl),
            builder.get_config_value(&GoogleConfigKey::Client(ClientConfigKey::AllowHttp)),
            ("GOOGLE_BASE_URL", "GOOGLE_ALLOW_HTTP"),
        )?;
        let built = builder.with_bucket_name(&self.bucket).build();
        Ok(sides(built.map_err(|e| self.settings(&e, "GOOGLE"))?))
    }

    fn azure(&self, variables: &[(String, String)]) -> Result<Sides, Error> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_client_options(options())
            .with_retry(retries());
        for (key, value) in known::<AzureConfigKey>(variables, "AZURE_") {
            builder = builder.with_config(key, value);
        }
        refuse_open(
            builder.get_config_value(&AzureConfigKey::Endpoint),
            builder.get_config_value(&AzureConfigKey::Client(ClientConfigKey::AllowHttp)),
            ("AZURE_STORAGE_ENDPOINT", "AZURE_ALLOW_HTTP"),
        )?;
        let built = builder.with_container_name(&self.bucket).build();
        Ok(sides(built.map_err(|e| self.settings(&e, "AZURE"))?))
    }

    /// Settings that make no client. What the library says may repeat them, and is left out.
    fn settings(&self, error: &object_store::Error, prefix: &str) -> Error {
        let key = match error {
            object_store::Error::UnknownConfigurationKey { key, .. } => format!(" ({key})"),
            _ => String::new(),
        };
        Error::usage(
            format!(
                "the settings of {} in the environment are not complete or not valid{key}",
                self.location()
            ),
            format!("look at the variables that begin with {prefix}_"),
        )
    }
}

fn sides<S: ObjectStore + MultipartStore>(client: S) -> Sides {
    let uploads = Arc::new(client);
    let objects: Arc<S> = Arc::clone(&uploads);
    Sides { objects, uploads }
}

/// Refuses an endpoint to which all would go in plain, unless that is allowed.
fn refuse_open(
    endpoint: Option<String>,
    allowed: Option<String>,
    (of_endpoint, of_leave): (&str, &str),
) -> Result<(), Error> {
    let is_open = |endpoint: String| endpoint.trim().to_ascii_lowercase().starts_with("http:");
    if endpoint.is_some_and(is_open) && !allowed.is_some_and(|text| is_true(&text)) {
        return Err(Error::usage(
            format!("the endpoint in {of_endpoint} is not encrypted"),
            format!("use https, or allow http in a network you trust: {of_leave}=true"),
        ));
    }
    Ok(())
}

/// The variables that a service knows.
fn known<'v, K: std::str::FromStr>(
    variables: &'v [(String, String)],
    prefix: &'static str,
) -> impl Iterator<Item = (K, &'v String)> {
    variables
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix))
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
}

fn is_true(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "1" | "true" | "on" | "yes" | "y"
    )
}

fn options() -> ClientOptions {
    ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_WAIT,
            max_backoff: LONGEST_WAIT,
            base: 2.,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_in_one_form() {
        for (given, shown) in [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("gs://my.bucket/a/b/", "gs://my.bucket/a/b"),
            ("az://container/x", "az://container/x"),
        ] {
            assert_eq!(Place::parse(given).unwrap().location(), shown);
        }
        let place = Place::parse("s3://b/p/q").unwrap();
        assert_eq!(place.object("x.json").as_ref(), "p/q/x.json");
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for text in [
            "s3://",
            "s3:///x",
            "s3://key:hunter2@bucket/x",
            "s3://bucket/x?sig=hunter2",
            "s3://bucket/../hunter2",
            "s3://bucket/a//hunter2",
            "https://hunter2/x",
            "hunter2",
        ] {
            let error = Place::parse(text).unwrap_err();
            assert!(matches!(error, Error::Usage { .. }), "{text}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn http_has_to_be_allowed() {
        for (place, leave, settings) in [
            (
                "s3://b",
                "AWS_ALLOW_HTTP",
                [
                    ("AWS_ENDPOINT_URL", "HTTP://127.0.0.1:9"),
                    ("AWS_ACCESS_KEY_ID", "k"),
                    ("AWS_SECRET_ACCESS_KEY", "s"),
                ],
            ),
            (
                "gs://b",
                "GOOGLE_ALLOW_HTTP",
                [
                    ("GOOGLE_BASE_URL", "http://127.0.0.1:9"),
                    ("GOOGLE_SKIP_SIGNATURE", "true"),
                    ("GOOGLE_UNKNOWN", "x"),
                ],
            ),
            (
                "az://b",
                "AZURE_ALLOW_HTTP",
                [
                    ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:9"),
                    ("AZURE_STORAGE_ACCOUNT_NAME", "k"),
                    ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"),
                ],
            ),
        ] {
            let place = Place::parse(place).unwrap();
            let variables = |allow: Option<&str>| {
                let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                let allow = allow.map(|value| (leave, value));
                settings
                    .into_iter()
                    .chain(allow)
                    .map(pair)
                    .collect::<Vec<_>>()
            };
            for refused in [None, Some("false"), Some("0")] {
                let error = place.connect(&variables(refused)).err();
                assert!(
                    matches!(error, Some(Error::Usage { .. })),
                    "{leave} {refused:?}"
                );
            }
            for allowed in ["true", "1", "TRUE"] {
                assert!(place.connect(&variables(Some(allowed))).is_ok(), "{leave}");
            }
        }
    }
}
