//! One spelling for many: the text of a catalog entry, made comparable.
//!
//! Both engines rewrite what they store. SQLite's `ALTER TABLE` changes the quotes of names in
//! `sqlite_schema.sql`, and versions differ in how. PostgreSQL deparses expressions, and a dump
//! and restore moves their parentheses and casts once more.

use db_core::Engine;

use super::keywords::is_sqlite_keyword;
use super::script::{Kind, Script, Token, unix_lines};

/// Chooses the tokens of a statement that are written.
type Keep = for<'a> fn(&[Token<'a>]) -> Vec<Token<'a>>;

/// The text on one line: one space between tokens, no comments, words in lower case.
///
/// On SQLite `"name"`, `[name]` and `` `name` `` become `name` where that is a plain
/// lower-case name and no keyword, and `"name"` everywhere else. Line ends inside literals
/// stay. A text that cannot be split comes back as it is, with Unix line ends.
#[must_use]
pub fn canonical(engine: Engine, sql: &str) -> String {
    render(engine, sql, |statement| statement.to_vec())
}

/// As [`canonical`], without parentheses and, on PostgreSQL, without `::type` casts.
///
/// What PostgreSQL deparses before a dump and after its restore is equal in this form, so far
/// as it differs in nesting and casts only: `IN` lists over `varchar`, nested `AND`. Being
/// loose it also equals where operands are grouped differently, so it answers only whether a
/// restored schema may be the same, never whether a live one was changed.
#[must_use]
pub fn loose(engine: Engine, sql: &str) -> String {
    match engine {
        Engine::Sqlite => render(engine, sql, without_parentheses),
        Engine::Postgres => render(engine, sql, |statement| {
            without_parentheses(&without_casts(statement))
        }),
    }
}

fn without_parentheses<'a>(statement: &[Token<'a>]) -> Vec<Token<'a>> {
    let parenthesis = |token: &Token<'_>| token.is_symbol("(") || token.is_symbol(")");
    statement
        .iter()
        .copied()
        .filter(|token| !parenthesis(token))
        .collect()
}

fn without_casts<'a>(statement: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::with_capacity(statement.len());
    let mut rest = statement;
    while let [token, after @ ..] = rest {
        if token.is_symbol("::") {
            rest = &after[type_length(after)..];
        } else {
            kept.push(*token);
            rest = after;
        }
    }
    kept
}

fn render(engine: Engine, sql: &str, keep: Keep) -> String {
    let Ok(script) = Script::parse(engine, sql) else {
        return unix_lines(sql.trim()).into_owned();
    };
    let mut text = String::with_capacity(sql.len());
    for statement in script.statements() {
        if !text.is_empty() {
            text.push_str(" ;");
        }
        for token in keep(statement) {
            if token.continues && text.ends_with('\'') {
                // The engine reads a string on two lines as one, so it is written as one.
                text.pop();
                text.push_str(&token.plain()[1..]);
                continue;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            match token.kind {
                Kind::QuotedName if engine == Engine::Sqlite => push_name(&mut text, &token),
                _ => text.push_str(&token.plain()),
            }
        }
    }
    text
}

/// Writes a quoted name of SQLite in the one spelling that all its quotes share.
fn push_name(text: &mut String, token: &Token<'_>) {
    let quoted = token.plain();
    let inner = &quoted[1..quoted.len() - 1];
    let name = match quoted.as_bytes()[0] {
        b'"' => inner.replace("\"\"", "\""),
        b'`' => inner.replace("``", "`"),
        _ => inner.to_owned(),
    };
    if is_plain_name(&name) {
        text.push_str(&name);
    } else {
        text.push('"');
        text.push_str(&name.replace('"', "\"\""));
        text.push('"');
    }
}

fn is_plain_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.bytes().next().is_some_and(letter)
        && name
            .bytes()
            .all(|byte| letter(byte) || byte.is_ascii_digit())
        && !is_sqlite_keyword(name)
}

/// How many tokens the type name takes that stands at the start of `tokens`.
fn type_length(tokens: &[Token<'_>]) -> usize {
    let is = |at: usize, words: &[&str]| tokens.get(at).is_some_and(|token| token.is_any(words));
    let symbol = |at: usize, mark: &str| tokens.get(at).is_some_and(|token| token.is_symbol(mark));
    let mut at = usize::from(
        tokens
            .first()
            .is_some_and(|token| matches!(token.kind, Kind::Word | Kind::QuotedName)),
    );
    if at == 0 {
        return 0;
    }
    if is(0, &["national"]) && is(1, &["character", "char"]) {
        at += 1;
    }
    if is(at, &["varying"]) || (is(0, &["double"]) && is(at, &["precision"])) {
        at += 1;
    }
    while symbol(at, ".") && at + 1 < tokens.len() {
        at += 2;
    }
    if is(0, &["interval"]) {
        const FIELDS: [&str; 7] = ["year", "month", "day", "hour", "minute", "second", "to"];
        while is(at, &FIELDS) {
            at += 1;
        }
    }
    if symbol(at, "(") {
        at += closing(&tokens[at..], ")");
    }
    if is(at, &["with", "without"]) && is(at + 1, &["time"]) && is(at + 2, &["zone"]) {
        at += 3;
    }
    while symbol(at, "[") {
        at += closing(&tokens[at..], "]");
    }
    at
}

/// How many tokens there are up to and including the first `mark`.
fn closing(tokens: &[Token<'_>], mark: &str) -> usize {
    tokens
        .iter()
        .position(|token| token.is_symbol(mark))
        .map_or(tokens.len(), |at| at + 1)
}
