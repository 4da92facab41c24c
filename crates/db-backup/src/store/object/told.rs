//! What a service says, as an error of ours. Its own words can hold addresses with signatures, so
//! that only codes and the words of the system are passed on.

use std::error::Error as _;
use std::io;

use object_store::Error as Said;

use crate::error::{self, Error};

/// Codes of a service for credentials that are wrong, unknown or too old.
const WRONG_CREDENTIALS: [&str; 11] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidClientTokenId",
    "AuthFailure",
    "ExpiredToken",
    "TokenRefreshRequired",
    "InvalidToken",
    "UnrecognizedClientException",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "AuthorizationHeaderMalformed",
];

/// Codes for what one may not do. Not each request has them as a kind of its own.
const FORBIDDEN: [&str; 4] = [
    "status code: 403",
    "AccessDenied",
    "AuthorizationPermissionMismatch",
    "AuthorizationFailure",
];

/// Codes for a bucket that is not there.
const MISSING: [&str; 4] = [
    "NoSuchBucket",
    "ContainerNotFound",
    "The specified bucket does not exist",
    "FilesystemNotFound",
];

/// Where instances of a cloud ask for their credentials.
const METADATA: [&str; 3] = ["169.254.169.254", "169.254.170.2", "metadata.google"];

/// Longer than any message of the system.
const LONGEST: usize = 200;

/// An error of a service about an object of this name.
pub(super) fn told(place: &str, name: &str, error: &Said) -> Error {
    let text = chain(error);
    let has = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
    let place = place.to_owned();
    if has(&WRONG_CREDENTIALS) || matches!(error, Said::Unauthenticated { .. }) {
        let code = WRONG_CREDENTIALS.iter().find(|code| text.contains(**code));
        let code = code.map_or(String::new(), |code| format!(" ({code})"));
        return Error::Credentials {
            place,
            reason: format!("the service does not accept the credentials{code}"),
        };
    }
    if has(&METADATA) {
        return Error::Credentials {
            place,
            reason: "the environment holds no credentials".to_owned(),
        };
    }
    if has(&MISSING) {
        return Error::Store {
            place,
            reason: error::NO_BUCKET.to_owned(),
        };
    }
    match error {
        Said::NotFound { .. } => Error::NotFound {
            name: name.to_owned(),
            place,
        },
        Said::AlreadyExists { .. } | Said::Precondition { .. } => Error::io(
            "write",
            format!("{place}/{name}"),
            io::ErrorKind::AlreadyExists.into(),
        ),
        _ if has(&FORBIDDEN) || matches!(error, Said::PermissionDenied { .. }) => {
            Error::Forbidden {
                place,
                reason: match name {
                    "" => "the service forbids to list it".to_owned(),
                    name => format!("the service forbids it for {name}"),
                },
            }
        }
        _ => Error::Store {
            place,
            reason: reason(error, &text),
        },
    }
}

/// Whether the same request may well succeed later.
pub(super) fn passes(error: &Said) -> bool {
    matches!(error, Said::Generic { .. })
        && !WRONG_CREDENTIALS
            .iter()
            .any(|code| chain(error).contains(code))
}

/// All that an error says. For looking at only.
fn chain(error: &Said) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push('\n');
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A status and a code, or the words of the system.
fn reason(error: &Said, text: &str) -> String {
    if let Some(status) = between(text, "status code: ", |c| !c.is_ascii_digit()) {
        let code = between(text, "<Code>", |c| !c.is_ascii_alphanumeric());
        let code = code.map_or(String::new(), |code| format!(" ({code})"));
        return format!("the service answered {status}{code}");
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let words = innermost.to_string();
    if words.contains("://") || words.len() > LONGEST {
        "the service cannot be reached, or its answer is not understood".to_owned()
    } else {
        words
    }
}

fn between<'t>(text: &'t str, start: &str, ends: impl Fn(char) -> bool) -> Option<&'t str> {
    let rest = text.split_once(start)?.1;
    let found = rest.split(ends).next()?;
    (!found.is_empty() && found.len() <= 60).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Said {
        Said::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn secrets_in_what_a_service_says_stay_there() {
        let secret = "GET https://h/b?X-Amz-Signature=hunter2";
        for error in [
            generic(&format!("{secret}: connection reset")),
            generic(&format!("status code: 503: <Code>SlowDown</Code> {secret}")),
            generic(&format!("<Code>ExpiredToken</Code> {secret}")),
            Said::PermissionDenied {
                path: "p".to_owned(),
                source: secret.into(),
            },
        ] {
            let told = told("s3://b", "x.json", &error);
            assert!(!format!("{told} {told:?}").contains("hunter2"), "{told:?}");
        }
        let slow = generic("status code: 503: <Code>SlowDown</Code>");
        let slow = told("s3://b", "x", &slow).to_string();
        assert_eq!(slow, "s3://b: the service answered 503 (SlowDown)");
    }

    #[test]
    fn codes_decide_what_kind_it_is() {
        let denied = |code: &str| Said::PermissionDenied {
            path: "p".to_owned(),
            source: format!("<Code>{code}</Code>").into(),
        };
        let kind = |error| told("s3://b", "x", &error);
        assert!(matches!(
            kind(denied("AccessDenied")),
            Error::Forbidden { .. }
        ));
        let listing = kind(generic("status code: 403 Forbidden: <Code>X</Code>"));
        assert!(matches!(listing, Error::Forbidden { .. }));
        let wrong = kind(denied("InvalidAccessKeyId"));
        assert!(matches!(wrong, Error::Credentials { .. }));
        let expired = kind(generic("status code: 400 <Code>ExpiredToken</Code>"));
        assert!(matches!(expired, Error::Credentials { .. }));
        let missing = Said::NotFound {
            path: "p".to_owned(),
            source: "<Code>NoSuchBucket</Code>".into(),
        };
        assert!(matches!(kind(missing), Error::Store { .. }));
        assert!(!passes(&generic("<Code>ExpiredToken</Code>")));
        assert!(passes(&generic("connection reset")));
    }
}
