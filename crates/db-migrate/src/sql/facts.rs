//! What a runner must know about a statement before it sends it.

use db_core::Engine;

use super::script::{Kind, Script, Token};

/// What is special about one statement; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each asked for alone"
)]
pub struct Facts {
    /// SQLite: it sets `PRAGMA foreign_keys`, which does nothing inside a transaction.
    pub sets_foreign_keys: bool,
    /// It begins, ends or marks a transaction, savepoints included.
    pub controls_transaction: bool,
    /// The engine refuses it inside a transaction, or inside one that has written.
    pub refuses_transaction: bool,
    /// PostgreSQL: the index it builds with `CREATE INDEX CONCURRENTLY`.
    pub concurrent_index: Option<IndexName>,
    /// It inserts, updates, deletes or merges rows.
    pub changes_rows: bool,
}

/// Which index a `CREATE INDEX CONCURRENTLY` builds; names are folded as PostgreSQL does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexName {
    /// The schema named with the table, in which the index is made too.
    pub schema: Option<String>,
    /// The name of the index, if the statement gives one.
    pub name: Option<String>,
    /// The table.
    pub on_table: String,
    /// Whether `IF NOT EXISTS` is given, which keeps an invalid index as it is.
    pub if_not_exists: bool,
}

/// Says what is special about a statement.
///
/// A text that cannot be split has no facts, and of several statements only the first counts.
#[must_use]
pub fn facts(engine: Engine, statement: &str) -> Facts {
    let Ok(script) = Script::parse(engine, statement) else {
        return Facts::default();
    };
    let Some(tokens) = script.statements().next() else {
        return Facts::default();
    };
    let words = Words(tokens);
    match engine {
        Engine::Sqlite => {
            let pragma = words.pragma();
            let set = |names: &[&str]| {
                pragma
                    .as_ref()
                    .is_some_and(|(name, set)| *set && names.contains(&name.as_str()))
            };
            let checkpoint = pragma
                .as_ref()
                .is_some_and(|(name, _)| name == "wal_checkpoint");
            Facts {
                sets_foreign_keys: set(&["foreign_keys"]),
                controls_transaction: words.start_with_any(&[
                    "begin",
                    "commit",
                    "end",
                    "rollback",
                    "savepoint",
                    "release",
                ]),
                refuses_transaction: words.start_with_any(&["vacuum", "attach", "detach"])
                    || set(&["journal_mode", "synchronous", "temp_store"])
                    || checkpoint,
                concurrent_index: None,
                changes_rows: words.change_rows(&["insert", "update", "delete", "replace"]),
            }
        }
        Engine::Postgres => Facts {
            sets_foreign_keys: false,
            controls_transaction: words.start_with_any(&[
                "begin",
                "commit",
                "end",
                "rollback",
                "abort",
                "savepoint",
                "release",
            ]) || words.start("start transaction")
                || words.start("prepare transaction"),
            refuses_transaction: words.refuse_transaction(),
            concurrent_index: words.concurrent_index(),
            changes_rows: words.change_rows(&["insert", "update", "delete", "merge"]),
        },
    }
}

/// The tokens of one statement, to be asked for words.
#[derive(Clone, Copy)]
struct Words<'t, 'a>(&'t [Token<'a>]);

impl Words<'_, '_> {
    /// Whether it starts with these words, given in lower case and with spaces between.
    fn start(self, phrase: &str) -> bool {
        let mut tokens = self.0.iter();
        phrase
            .split(' ')
            .all(|word| tokens.next().is_some_and(|token| token.is_word(word)))
    }

    fn start_with_any(self, words: &[&str]) -> bool {
        self.0[0].is_any(words)
    }

    fn skip(self, count: usize) -> Self {
        Self(&self.0[count.min(self.0.len())..])
    }

    /// Leaves out the phrase if it is there.
    fn without(self, phrase: &str) -> Self {
        if self.start(phrase) {
            self.skip(phrase.split(' ').count())
        } else {
            self
        }
    }

    /// The name of a pragma, and whether a value follows.
    fn pragma(self) -> Option<(String, bool)> {
        if !self.start("pragma") {
            return None;
        }
        let mut rest = self.skip(1);
        if rest.0.get(1).is_some_and(|token| token.is_symbol(".")) {
            rest = rest.skip(2);
        }
        let name = name(rest.0.first()?).to_ascii_lowercase();
        let set = rest
            .0
            .get(1)
            .is_some_and(|next| next.is_symbol("=") || next.is_symbol("("));
        Some((name, set))
    }

    /// Whether the main verb, or that of a `WITH` part, is one of these.
    fn change_rows(self, verbs: &[&str]) -> bool {
        const QUERIES: [&str; 3] = ["select", "values", "table"];
        if !self.start("with") {
            return self.start_with_any(verbs);
        }
        let mut depth = 0_usize;
        for (at, token) in self.0.iter().enumerate().skip(1) {
            let before = &self.0[at - 1];
            if token.is_symbol("(") {
                depth += 1;
            } else if token.is_symbol(")") {
                depth = depth.saturating_sub(1);
            } else if depth == 0 {
                // A part may be called like a verb: `WITH a AS (…), insert AS (…)`.
                let names_a_part = before.is_symbol(",") || before.is_any(&["with", "recursive"]);
                if !names_a_part && token.is_any(verbs) {
                    return true;
                }
                if !names_a_part && token.is_any(&QUERIES) {
                    return false;
                }
            } else if depth == 1 && before.is_symbol("(") && token.is_any(verbs) {
                // The parenthesis that opens a part follows AS or AS [NOT] MATERIALIZED; one
                // that opens its column list follows a name.
                let opens = at.checked_sub(2).map(|at| &self.0[at]);
                if opens.is_some_and(|token| token.is_any(&["as", "materialized"])) {
                    return true;
                }
            }
        }
        false
    }

    /// The statements for which PostgreSQL says "cannot run inside a transaction block".
    ///
    /// Left out is what only the server can tell: `REINDEX` of a partitioned table, procedures
    /// that commit, subscriptions with a slot of their own.
    fn refuse_transaction(self) -> bool {
        const PHRASES: [&str; 12] = [
            "vacuum",
            "create database",
            "drop database",
            "create tablespace",
            "drop tablespace",
            "alter system",
            "create index concurrently",
            "create unique index concurrently",
            "drop index concurrently",
            "discard all",
            "commit prepared",
            "rollback prepared",
        ];
        PHRASES.iter().any(|phrase| self.start(phrase))
            || (self.start("cluster") && self.0.len() == 1)
            || (self.start("alter database") && self.contains("set tablespace"))
            || (self.start("alter table") && self.detaches_concurrently())
            || (self.start("reindex") && self.reindexes_outside())
    }

    fn contains(self, phrase: &str) -> bool {
        (0..self.0.len()).any(|at| self.skip(at).start(phrase))
    }

    /// `DETACH PARTITION name CONCURRENTLY`, where the name may have a schema.
    fn detaches_concurrently(self) -> bool {
        self.contains("detach partition")
            && self
                .0
                .last()
                .is_some_and(|token| token.is_word("concurrently"))
    }

    /// `REINDEX` of more than one table, or `CONCURRENTLY` as an option or behind the kind.
    fn reindexes_outside(self) -> bool {
        let mut rest = self.skip(1);
        if rest.0.first().is_some_and(|token| token.is_symbol("(")) {
            let close = rest.0.iter().position(|token| token.is_symbol(")"));
            let (options, after) = rest.0.split_at(close.map_or(rest.0.len(), |at| at + 1));
            let chosen = options.windows(2).any(|pair| {
                let off = pair[1].is_any(&["false", "off"]) || pair[1].text == "0";
                pair[0].is_word("concurrently") && !off
            });
            if chosen {
                return true;
            }
            rest = Words(after);
        }
        let Some(kind) = rest.0.first() else {
            return false;
        };
        kind.is_any(&["schema", "database", "system"]) || rest.skip(1).start("concurrently")
    }

    fn concurrent_index(self) -> Option<IndexName> {
        if !self.start("create") {
            return None;
        }
        let rest = self.skip(1).without("unique");
        if !rest.start("index concurrently") {
            return None;
        }
        let rest = rest.skip(2);
        let if_not_exists = rest.start("if not exists");
        let mut rest = rest.without("if not exists");
        let mut index = None;
        if !rest.start("on") {
            index = Some(name(rest.0.first()?));
            rest = rest.skip(1);
        }
        if !rest.start("on") {
            return None;
        }
        let rest = rest.skip(1).without("only");
        let first = name(rest.0.first()?);
        let (schema, on_table) = match rest.0.get(1) {
            Some(dot) if dot.is_symbol(".") => (Some(first), name(rest.0.get(2)?)),
            _ => (None, first),
        };
        Some(IndexName {
            schema,
            name: index,
            on_table,
            if_not_exists,
        })
    }
}

/// What a name means: unquoted ones in lower case, quoted ones without their quotes.
///
/// The escapes of `U&"…"` stay as they are written.
fn name(token: &Token<'_>) -> String {
    if token.kind != Kind::QuotedName {
        return token.plain().into_owned();
    }
    let text = token.text.trim_start_matches(['U', 'u', '&']);
    let inner = text.get(1..text.len() - 1).unwrap_or_default();
    match text.as_bytes().first() {
        Some(b'"') => inner.replace("\"\"", "\""),
        Some(b'`') => inner.replace("``", "`"),
        _ => inner.to_owned(),
    }
}
