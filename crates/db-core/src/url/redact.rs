//! Hiding passwords, in connection strings and in what others say of them.

/// What stands in for a password wherever a URL is shown.
pub(super) const MASK: &str = "***";

/// Masks every password in a connection string: `user:secret@` and `password=secret`.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut shown = mask_parameters(text);
    for key in ["sslpassword", "password"] {
        shown = mask_parameter(&shown, key);
    }
    // Parameters come first: an '@' in one of them is not the end of an authority.
    // The authority ends at the first '/', '?' or '#', but an unescaped password may hold any of
    // them: the last '@' is the safe side to cut at.
    let scheme = shown.find("://");
    let start = scheme.map_or(0, |at| at + "://".len());
    if let Some(at) = shown.rfind('@').filter(|at| *at >= start) {
        if let Some(colon) = shown[start..at].find(':') {
            shown.replace_range(start + colon + 1..at, MASK);
        }
    } else if scheme.is_some()
        && let Some(port) = false_port(&shown[start..])
    {
        shown.replace_range(start + port.., MASK);
    }
    shown
}

/// Where in an authority without '@' a port begins that is none: a password whose host was
/// forgotten. What follows may be a part of it.
fn false_port(authority: &str) -> Option<usize> {
    let host = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let bracket = authority[..host].rfind(']').unwrap_or(0);
    let port = bracket + authority[bracket..host].find(':')? + 1;
    let is_port = |c: char| c.is_ascii_digit() || matches!(c, ',' | ':' | '.');
    let several = authority[..host].contains(',');
    (!several && !authority[port..host].chars().all(is_port)).then_some(port)
}

/// Masks the values of parameters after '?' whose key sounds secret, or is not to be read.
fn mask_parameters(text: &str) -> String {
    let Some((before, query)) = text.split_once('?').filter(|_| text.contains("://")) else {
        return text.to_owned();
    };
    let mut out = format!("{before}?");
    for pair in query.split_inclusive('&') {
        match pair.split_once('=') {
            Some((key, _)) if sounds_secret(key) => {
                let end = if pair.ends_with('&') { "&" } else { "" };
                out.extend([key, "=", MASK, end]);
            }
            _ => out.push_str(pair),
        }
    }
    out
}

fn sounds_secret(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    lower != "passfile"
        && (lower.contains('%')
            || ["pass", "pwd", "secret", "token", "_key"]
                .iter()
                .any(|part| lower.contains(part)))
}

/// Replaces every secret in a text of someone else's.
///
/// One of fewer than three characters is left: masking each `a` would hide the whole message, and
/// nothing is kept secret by it.
pub(crate) fn scrub(text: &str, secrets: &[String]) -> String {
    let mut by_length: Vec<&String> = secrets.iter().filter(|s| s.chars().count() > 2).collect();
    // A secret may be a part of a longer one, of which nothing must be left over.
    by_length.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    by_length.into_iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret.as_str(), MASK)
    })
}

/// Masks the value of `key=value` in a query string or a libpq keyword list.
fn mask_parameter(text: &str, key: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower[from..].find(key).map(|at| from + at) {
        let before = lower[..found].chars().next_back();
        let rest = &lower[found + key.len()..];
        let spaces = rest.len() - rest.trim_start().len();
        let value = found + key.len() + spaces + 1;
        let is_key = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
        if !is_key || !rest.trim_start().starts_with('=') {
            out.push_str(&text[from..found + key.len()]);
            from = found + key.len();
            continue;
        }
        let value = value + text[value..].len() - text[value..].trim_start().len();
        out.push_str(&text[from..value]);
        out.push_str(MASK);
        from = value_end(text, value);
    }
    out.push_str(&text[from..]);
    out
}

/// Where the value that starts at `from` ends: at a closing quote, `&`, or white space.
fn value_end(text: &str, from: usize) -> usize {
    let value = &text[from..];
    if let Some(quoted) = value.strip_prefix('\'') {
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                '\'' if !escaped => return from + 1 + at + 1,
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        return text.len();
    }
    value
        .find(|c: char| c == '&' || c.is_whitespace())
        .map_or(text.len(), |at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_everywhere() {
        for text in [
            "postgres://u:hunter2@h/d",
            "postgres://u:hunter2@x/y@h:5/d",
            "postgres://h/d?user=u&password=hunter2&sslmode=require",
            "postgres://h/d?sslpassword=hunter2",
            "host=h password=hunter2 dbname=d",
            "host=h password = 'hunter2 \\' hunter2' dbname=d",
            "host=h PASSWORD=hunter2",
            "u:hunter2@h/d",
            "postgres://u:hunter2",
            "postgres://u:a/hunter2",
            "postgres://h/d?pass%77ord=hunter2",
            "postgres://h/d?passwordd=hunter2",
            "postgres://h:5/d?password=a@hunter2",
            "postgres://u:p@h/d?x=1&scram_client_key=hunter2",
        ] {
            let shown = redact(text);
            assert!(!shown.contains("hunter2"), "{text} -> {shown}");
        }
        for plain in [
            "postgres://u@h/d",
            "postgres://h:5432/d",
            "postgres://[::1]:5432/d",
            "postgres://a:1,b:2/d",
            "postgres://u@h/d?sslmode=require&passfile=/x",
        ] {
            assert_eq!(redact(plain), plain);
        }
        assert_eq!(redact("passwords are kept"), "passwords are kept");
        let url = crate::DatabaseUrl::parse("postgres://u:hunter2@h/d").unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://u:***@h/d postgres://u:***@h/d"
        );
    }
    #[test]
    fn secrets_are_scrubbed_whole() {
        let secrets = ["hun".to_owned(), "hunter2".to_owned(), "e".to_owned()];
        assert_eq!(scrub("see hunter2 and hun", &secrets), "see *** and ***");
    }
}
