//! What a statement that is not [plain](super::plain) can do to its transaction and its session, told
//! by its text.
//!
//! Only the text of a statement can end a transaction that the client began: functions, procedures
//! and DO blocks are refused it. So reading the text costs no question to the server, and misses
//! nothing but what a closure with an instrumentation of its own sends unseen. It errs on one side:
//! a COMMIT that failed counts as one. Strings are read by the standard's rules.

/// What was seen of a closure's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Signs(u8);

impl Signs {
    pub(super) const NONE: Self = Self(0);
    /// BEGIN or START TRANSACTION.
    pub(super) const BEGINS: Self = Self(1);
    /// COMMIT, END, ROLLBACK, ABORT or PREPARE TRANSACTION: another transaction may have followed.
    pub(super) const ENDS: Self = Self(1 << 1);
    /// Prepared statements were made or dropped: nobody can tell Diesel's from others afterwards.
    pub(super) const SPOILS: Self = Self(1 << 2);
    /// A read may have made itself a write.
    pub(super) const WRITES: Self = Self(1 << 3);

    pub(super) const fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What `sql`, one statement or several, shows.
    pub(super) fn of(sql: &str) -> Self {
        let anywhere = words(sql).fold(Self::NONE, |all, word| all.and(word_sign(word)));
        anywhere.and(top_level(sql))
    }
}

/// What a word says wherever it stands, in a function's body for one.
fn word_sign(word: &str) -> Signs {
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    if is("prepare") || is("deallocate") || is("discard") {
        Signs::SPOILS
    } else if is("write") || is("transaction_read_only") || is("default_transaction_read_only") {
        Signs::WRITES
    } else {
        Signs::NONE
    }
}

fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|c: char| !is_word(c))
        .filter(|word| !word.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words that a statement begins with, as far as they matter.
#[derive(Default)]
struct Statement<'s> {
    words: [&'s str; 3],
    count: usize,
}

impl<'s> Statement<'s> {
    fn push(&mut self, word: &'s str) {
        if let Some(place) = self.words.get_mut(self.count) {
            *place = word;
            self.count += 1;
        }
    }

    fn word_is(&self, index: usize, known: &str) -> bool {
        self.words
            .get(index)
            .is_some_and(|word| word.eq_ignore_ascii_case(known))
    }

    fn sign(&self) -> Signs {
        let first = |known: &str| self.word_is(0, known);
        if first("begin") || first("start") {
            Signs::BEGINS
        } else if first("commit") || first("end") || first("abort") {
            Signs::ENDS
        } else if first("rollback") {
            let noise = self.word_is(1, "work") || self.word_is(1, "transaction");
            if self.word_is(1 + usize::from(noise), "to") {
                Signs::NONE
            } else {
                Signs::ENDS
            }
        } else if first("prepare") && self.word_is(1, "transaction") {
            Signs::ENDS
        } else {
            Signs::NONE
        }
    }
}

/// What the statements do to the transaction.
fn top_level(sql: &str) -> Signs {
    let mut signs = Signs::NONE;
    let mut statement = Statement::default();
    // Within parentheses (CREATE RULE), and in the body of a function in standard SQL, a semicolon
    // ends no statement.
    let (mut parentheses, mut is_body) = (0_u32, false);
    let mut last = "";
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let mut word = "";
        match c {
            '-' if rest.starts_with("--") => {
                length = rest.find(['\n', '\r']).unwrap_or(rest.len());
            }
            '/' if rest.starts_with("/*") => length = comment(rest),
            '\'' => length = string(rest, last.eq_ignore_ascii_case("e")),
            '"' => length = rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            '$' => length = dollars(rest).unwrap_or(1),
            '(' => parentheses += 1,
            ')' => parentheses = parentheses.saturating_sub(1),
            ';' if parentheses == 0 && is_body => {
                let next = words(&rest[1..]).next().unwrap_or_default();
                is_body = !next.eq_ignore_ascii_case("end");
            }
            ';' if parentheses == 0 => {
                signs = signs.and(statement.sign());
                statement = Statement::default();
            }
            _ if is_word(c) => {
                // `$` belongs to a word that it does not begin.
                length = rest
                    .find(|c: char| !is_word(c) && c != '$')
                    .unwrap_or(rest.len());
                word = &rest[..length];
                is_body |= word.eq_ignore_ascii_case("atomic")
                    && last.eq_ignore_ascii_case("begin")
                    && statement.count > 1;
                statement.push(word);
            }
            _ => {}
        }
        if !c.is_whitespace() {
            last = word;
        } else if !last.eq_ignore_ascii_case("begin") {
            last = "";
        }
        rest = &rest[length..];
    }
    signs.and(statement.sign())
}

/// The length of the comment at the start of `sql`; they nest.
fn comment(sql: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    sql.len()
}

/// The length of the string at the start of `sql`. A doubled quote ends one and begins another,
/// which comes to the same unless backslashes count.
fn string(sql: &str, has_backslashes: bool) -> usize {
    let bytes = sql.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if has_backslashes => at += 2,
            b'\'' if has_backslashes && bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return at + 1,
            _ => at += 1,
        }
    }
    sql.len()
}

/// The length of the `$tag$…$tag$` at the start of `sql`, if it is one and not a parameter.
fn dollars(sql: &str) -> Option<usize> {
    let end = sql[1..].find(|c: char| !is_word(c))? + 1;
    let tag = &sql[..=end];
    if !tag.ends_with('$') || tag[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let length = sql[tag.len()..].find(tag).map(|at| at + 2 * tag.len());
    Some(length.unwrap_or(sql.len()))
}

#[cfg(test)]
mod tests {
    use super::Signs;

    #[test]
    fn what_ends_a_transaction_is_seen() {
        for sql in [
            "COMMIT",
            " commit work",
            "END",
            "ABORT",
            "ROLLBACK",
            "ROLLBACK AND CHAIN",
            "COMMIT AND CHAIN",
            "INSERT INTO t VALUES (1); ROLLBACK; BEGIN",
            "/* a /* b */ ; */ -- ;\rCOMMIT",
            "-- x\nCOMMIT",
            "SELECT 'a''b';COMMIT",
            r"SELECT E'\'' ; COMMIT --'",
            r"SELECT 'a\'; COMMIT",
            r#"SELECT ";" ; COMMIT"#,
            "DO $a$ ; $b$ $a$; COMMIT",
            "SELECT a$1; COMMIT; SELECT b$1",
            "SELECT $1; COMMIT -- binds: [\"'\"]",
            "SELECT 'größe'; COMMIT",
            "PREPARE TRANSACTION 'x'",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; COMMIT",
            "BEGIN; SELECT 1 AS atomic; COMMIT",
        ] {
            assert!(Signs::of(sql).has(Signs::ENDS), "{sql}");
        }
    }

    #[test]
    fn what_ends_none_is_not_taken_for_it() {
        for sql in [
            "",
            "SAVEPOINT commit",
            "ROLLBACK TO SAVEPOINT a",
            "ROLLBACK WORK TO a",
            "rollback transaction to savepoint a",
            "SELECT 'x; COMMIT;'",
            r"SELECT E'\'; COMMIT'",
            r"SELECT E'''; COMMIT'",
            "SELECT $$; COMMIT; $$",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN; END; $f$",
            "CREATE FUNCTION f() RETURNS int BEGIN  ATOMIC SELECT 1; SELECT 2; END; SELECT 1",
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; COMMIT)",
            "SELECT /* ; COMMIT */ f(1) -- ; COMMIT",
            "SELECT CASE WHEN f(1) THEN 1 END",
            r#"SELECT f("a; COMMIT")"#,
        ] {
            assert!(!Signs::of(sql).has(Signs::ENDS), "{sql}");
        }
    }

    #[test]
    fn other_signs_are_seen() {
        for (sql, sign) in [
            ("BEGIN", Signs::BEGINS),
            ("SELECT 1; start transaction", Signs::BEGINS),
            ("PREPARE p AS SELECT 1", Signs::SPOILS),
            (
                "DO $$ BEGIN EXECUTE 'Deallocate ALL'; END $$",
                Signs::SPOILS,
            ),
            ("SET TRANSACTION READ WRITE", Signs::WRITES),
            (
                "SELECT set_config('Transaction_Read_Only', 'off', true)",
                Signs::WRITES,
            ),
        ] {
            assert!(Signs::of(sql).has(sign), "{sql}");
        }
        for sql in ["SET app.tenant = '7'", "SELECT f(prepared) FROM t"] {
            assert_eq!(Signs::of(sql), Signs::NONE, "{sql}");
        }
    }
}
