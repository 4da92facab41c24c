//! Where the engines differ on purpose. Each line has its reason, and must be needed: `cargo xtask schema
//! check` says which is not.

/// How the engines differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// SQLite alone has it.
    SqliteOnly,
    /// PostgreSQL alone has it.
    PostgresOnly,
    /// Both have it, and it says different things.
    Differs,
}

/// One exception.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    /// How they differ.
    pub side: Where,
    /// The subject; `*` stands for anything.
    pub subject: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// All of them; `migrations/README.md` tells the writers of migrations.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        side: Where::SqliteOnly,
        subject: "table audit_context",
        reason: "PostgreSQL hands over who did it in settings of the transaction",
    },
    Exception {
        side: Where::SqliteOnly,
        subject: "check *_json",
        reason: "JSONB holds nothing but JSON",
    },
    Exception {
        side: Where::SqliteOnly,
        subject: "check *_bool",
        reason: "BOOLEAN holds nothing but true and false",
    },
    Exception {
        side: Where::SqliteOnly,
        subject: "trigger *_append_only_replace",
        reason: "only SQLite has REPLACE, which fires no delete trigger",
    },
    Exception {
        side: Where::PostgresOnly,
        subject: "trigger *_append_only_truncate",
        reason: "only PostgreSQL has TRUNCATE, which fires no row triggers",
    },
    Exception {
        side: Where::PostgresOnly,
        subject: "trigger *.audit_*_truncate",
        reason: "only PostgreSQL has TRUNCATE, which fires no row triggers",
    },
    Exception {
        side: Where::PostgresOnly,
        subject: "index world_objects.idx_world_objects_position",
        reason: "SQLite has no GIN; there expression indexes serve ranges",
    },
    Exception {
        side: Where::Differs,
        subject: "check world_objects.ck_world_objects_position_*",
        reason: "the functions that look into JSON differ",
    },
    Exception {
        side: Where::Differs,
        subject: "index usage_config.idx_usage_config_active",
        reason: "truth is 1 in SQLite, and itself in PostgreSQL",
    },
];

/// Why the engines differ in a subject, as in `check bets.ck_bets_is_won_bool`, if they do so on purpose.
#[must_use]
pub fn reason(side: Where, subject: &str) -> Option<&'static str> {
    let mut exceptions = EXCEPTIONS.iter();
    let exception = exceptions.find(|one| one.side == side && one.covers(subject))?;
    Some(exception.reason)
}

impl Exception {
    /// Whether it is about this subject.
    #[must_use]
    pub fn covers(&self, subject: &str) -> bool {
        let mut rest = subject;
        let mut parts = self.subject.split('*');
        let Some(after) = parts.next().and_then(|start| rest.strip_prefix(start)) else {
            return false;
        };
        rest = after;
        let mut starred = false;
        for part in parts {
            starred = true;
            match rest.rfind(part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        // A star at the end takes all; otherwise nothing may be left.
        rest.is_empty() || (starred && self.subject.ends_with('*'))
    }
}

#[cfg(test)]
mod tests {
    use super::{Exception, Where};

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, subject, covers) in [
            ("table a", "table a", true),
            ("table a", "table ab", false),
            ("check *_json", "check t.ck_t_x_json", true),
            ("check *_json", "check t.ck_t_json_x", false),
            ("check *_json", "index t.x_json", false),
            (
                "trigger *.audit_*_truncate",
                "trigger t.audit_t_truncate",
                true,
            ),
            (
                "trigger *.audit_*_truncate",
                "trigger t.audit_t_insert",
                false,
            ),
            ("check t.ck_p_*", "check t.ck_p_x", true),
            ("check t.ck_p_*", "check t.ck_q_x", false),
        ] {
            let exception = Exception {
                side: Where::Differs,
                subject: pattern,
                reason: "",
            };
            assert_eq!(exception.covers(subject), covers, "{pattern} {subject}");
        }
    }
}
