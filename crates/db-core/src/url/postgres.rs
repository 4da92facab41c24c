//! PostgreSQL URLs, checked before libpq sees them: it quotes what it does not understand, and that
//! is often a piece of the password.
//!
//! The form is <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>.

use std::borrow::Cow;

const CHARACTERS: &str = "the user or password has characters that must be percent-encoded \
     (@ is %40, / is %2F, ? is %3F, # is %23, % is %25, a space is %20)";
const PARAMETERS: &str = "what follows '?' must be key=value&key=value with plain keys, and values \
     in which special characters are percent-encoded (& is %26, = is %3D, % is %25, a space is %20)";
const PORT: &str = "the port is not a number; if it is a part of the password, the host is missing \
     (postgres://USER:PASSWORD@HOST/NAME), or the password has characters that must be \
     percent-encoded (@ is %40, / is %2F, ? is %3F, # is %23)";

/// Where a server listens if nothing else is said.
const DEFAULT_PORT: &str = "5432";

/// Parameters whose value may hold an '@' without being the rest of a password.
const WITH_AT: [&str; 6] = [
    "user",
    "password",
    "options",
    "application_name",
    "passfile",
    "sslpassword",
];

/// The parts of a URL, none of them decoded.
struct Parts<'u> {
    user_info: Option<&'u str>,
    hosts: &'u str,
    path: &'u str,
    query: Option<&'u str>,
    /// Whether the authority ended in '?' or '#', which may belong to a password.
    open_ended: bool,
}

/// Refuses what libpq would refuse or misread with a part of the password in its words.
///
/// # Errors
/// A sentence that shows nothing of the URL.
pub(super) fn check(url: &str) -> Result<(), &'static str> {
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(CHARACTERS);
    }
    let parts = split(url);
    let user_info = parts.user_info.unwrap_or_default();
    if user_info.contains('@') || decode(user_info).is_none() {
        return Err(CHARACTERS);
    }
    let query = parts.query.unwrap_or_default();
    if parts.path.contains('@') || (parts.open_ended && query.contains('@')) {
        return Err(CHARACTERS);
    }
    if !parts.hosts.split(',').all(has_port_or_none) {
        return Err(PORT);
    }
    if parts.query.is_some_and(|q| !q.is_empty()) {
        check_parameters(query, &parts)?;
    }
    Ok(())
}

fn check_parameters(query: &str, parts: &Parts<'_>) -> Result<(), &'static str> {
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').ok_or(PARAMETERS)?;
        let is_plain =
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_plain || value.contains('=') || decode(value).is_none() {
            return Err(PARAMETERS);
        }
        // `u:1/x?y=z@h`: the password, and not the port 1 of a host u.
        let may_be_password = parts.user_info.is_none() && parts.hosts.contains(':');
        if may_be_password && value.contains('@') && !WITH_AT.contains(&key) {
            return Err(CHARACTERS);
        }
    }
    Ok(())
}

/// Every form of a password in the URL, as it is and decoded.
pub(super) fn secrets(url: &str) -> Vec<String> {
    let parts = split(url);
    let password = parts.user_info.and_then(|info| info.split_once(':'));
    let parameters = parts.query.unwrap_or_default().split('&');
    let secret = parameters
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| key.to_ascii_lowercase().ends_with("password"));
    let mut all = Vec::new();
    for (_, raw) in password.into_iter().chain(secret) {
        all.push(raw.to_owned());
        if let Some(plain) = decode(raw) {
            all.push(plain.into_owned());
        }
    }
    all
}

/// The value of a parameter of the URL, decoded; of several the last, as libpq takes it.
pub(crate) fn parameter(url: &str, key: &str) -> Option<String> {
    let pairs = split(url).query?.split('&');
    let (_, raw) = pairs
        .filter_map(|pair| pair.split_once('='))
        .rfind(|(name, _)| *name == key)?;
    decode(raw).map(Cow::into_owned)
}

/// The URL without its password, and the one that libpq would use, decoded.
pub(super) fn without_password(url: &str) -> (String, Option<String>) {
    let parts = split(url);
    let in_authority = parts.user_info.and_then(|info| info.split_once(':'));
    let password = parameter(url, "password").or_else(|| {
        let (_, raw) = in_authority?;
        decode(raw).map(Cow::into_owned)
    });
    let plain = match in_authority {
        // The first ':' of the user info is the first one after the scheme.
        Some((user, raw)) => {
            let start = url.find("://").map_or(0, |at| at + "://".len()) + user.len();
            format!("{}{}", &url[..start], &url[start + 1 + raw.len()..])
        }
        None => url.to_owned(),
    };
    (without_parameter(&plain, "password"), password)
}

/// The servers that are asked, as `host:port,host:port`.
pub(super) fn servers(url: &str) -> String {
    let listed = parameter(url, "host").filter(|hosts| !hosts.is_empty());
    let ports = parameter(url, "port").unwrap_or_default();
    let ports: Vec<&str> = ports.split(',').collect();
    let hosts = listed.as_deref().unwrap_or(split(url).hosts).split(',');
    let servers = hosts.enumerate().map(|(at, host)| {
        // An address of IPv6 has colons of its own, and a folder of sockets is no host.
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if listed.is_none() && !port.contains(']') => (name, port),
            _ => (host, ""),
        };
        let name = match decode(name).unwrap_or(Cow::Borrowed(name)).as_ref() {
            "" => "localhost".to_owned(),
            name => name.to_ascii_lowercase(),
        };
        let port = match (port, ports.get(at).or(ports.last())) {
            ("", Some(port)) if !port.is_empty() => port,
            ("", _) => DEFAULT_PORT,
            (port, _) => port,
        };
        format!("{name}:{port}")
    });
    servers.collect::<Vec<_>>().join(",")
}

/// Who connects, if the URL says it.
pub(super) fn user(url: &str) -> Option<String> {
    let in_authority = || {
        let info = split(url).user_info?;
        let name = info.split_once(':').map_or(info, |(user, _)| user);
        decode(name).map(Cow::into_owned)
    };
    parameter(url, "user").or_else(in_authority)
}

/// The URL with another database.
pub(super) fn with_database(url: &str, name: &str) -> String {
    let url = without_parameter(url, "dbname");
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[start..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |at| start + at);
    let query = url[end..].find('?').map_or("", |at| &url[end + at..]);
    let mut full = format!("{}/", &url[..end]);
    encode(name, &mut full);
    full.push_str(query);
    full
}

/// The name of the database.
pub(super) fn database_name(url: &str) -> Option<String> {
    let in_path = || {
        let name = decode(split(url).path.strip_prefix('/')?)?;
        (!name.is_empty()).then(|| name.into_owned())
    };
    parameter(url, "dbname").or_else(in_path)
}

/// The URL without a parameter.
pub(crate) fn without_parameter(url: &str, key: &str) -> String {
    let Some((start, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| pair.split_once('=').is_none_or(|(name, _)| name != key))
        .collect();
    format!("{start}?{}", kept.join("&"))
}

/// Adds those parameters, plain values, that the URL leaves open.
pub(crate) fn with_parameters(url: &str, parameters: &[(&str, String)]) -> String {
    let mut full = url.to_owned();
    for (key, value) in parameters {
        if parameter(url, key).is_none() {
            match full.find('?') {
                None => full.push('?'),
                Some(at) if at + 1 == full.len() => {}
                Some(_) => full.push('&'),
            }
            full.push_str(key);
            full.push('=');
            encode(value, &mut full);
        }
    }
    full
}

/// Appends the text with everything but letters, digits, `-`, `.`, `_` and `~` as `%xx`.
fn encode(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn split(url: &str) -> Parts<'_> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let open_ended = rest.starts_with(['?', '#']);
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let (user_info, hosts) = match authority.rsplit_once('@') {
        Some((info, hosts)) => (Some(info), hosts),
        None => (None, authority),
    };
    Parts {
        user_info,
        hosts,
        path,
        query,
        open_ended,
    }
}

/// `host`, `host:`, `host:5432` or `[::1]:5432`.
fn has_port_or_none(host: &str) -> bool {
    let after_address = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    after_address
        .split_once(':')
        .is_none_or(|(_, port)| port.chars().all(|c| c.is_ascii_digit()))
}

/// The text with each `%xx` replaced; none for a `%` that begins no such thing, or a NUL.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let code = u8::try_from(digit()? * 16 + digit()?).ok()?;
        if code == 0 {
            return None;
        }
        bytes.push(code);
    }
    Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DatabaseUrl;

    #[test]
    fn what_libpq_would_quote_is_refused_in_our_own_words() {
        for url in [
            "postgres://u:hun%zzter2@127.0.0.1:1/d",
            "postgres://u:hunter2%@127.0.0.1:1/d",
            "postgres://u:hunter2%00@127.0.0.1:1/d",
            "postgres://u:hunter2 x@127.0.0.1:1/d",
            "postgres://u:hun@ter2@127.0.0.1:1/d",
            "postgres://u:hun/ter2@127.0.0.1:1/d",
            "postgres://u:1/ter2@127.0.0.1:1/d",
            "postgres://u:p@h/ter2@127.0.0.1:1/d",
            "postgres://u:hun?ter2@127.0.0.1:1/d",
            "postgres://u:1?ter2=x@127.0.0.1:1/d",
            "postgres://u:1/hun?ter2=x@127.0.0.1:1/d",
            "postgres://u:hun#ter2@127.0.0.1:1/d",
            "postgres://hunter2%zz@127.0.0.1:1/d",
            "postgres://u:hunter2",
            "postgres://u:hunter2/d",
            "postgresql://h/d?pass%77ord=hunter2",
            "postgresql://h/d?password=hun%zzter2",
            "postgresql://h/d?password=hun=ter2",
            "postgresql://h/d?password=hun&ter2",
            "postgresql://h/d?password=hun ter2",
            "postgresql://h/d?hunter2",
        ] {
            let error = DatabaseUrl::parse(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("hun") && !shown.contains("ter2"),
                "{url}: {shown}"
            );
            assert!(shown.contains("percent-encoded"), "{url}: {shown}");
        }
    }

    #[test]
    fn what_is_encoded_is_taken() {
        for url in [
            "postgres://u:hun%40%2F%3f%23%25%20ter2@h:5/d",
            "postgres://u:a:b;c=d&e+f@h/d",
            "postgres://u@[::1]:5432/d",
            "postgres://u:p@a:1,b:2,[::1]:/d?target_session_attrs=any",
            "postgres://u@%2Ftmp/d?dbname=x",
            "postgres:///d?host=/run&user=me@there",
            "postgres://h:5432/d?user=me@there&password=x@y",
            "postgres://h?sslmode=require",
            "postgres://h/d?",
            "postgres://",
            "postgres://h/d?options=-csearch_path%3Da",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_password_has_its_forms() {
        assert_eq!(
            secrets("postgres://u:a%40b@h/d?x=1&sslpassword=c%20d"),
            ["a%40b", "a@b", "c%20d", "c d"]
        );
        assert!(secrets("postgres://u@h:5/d").is_empty());
    }
}
