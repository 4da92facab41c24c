//! The schema passes its checks, and each check finds the one fault that was made for it.

use db_core::Engine;
use db_migrate::catalog::model::{Action, Model, Table};
use db_testkit::schema_check::{Finding, Live, declared, invariants, parity, snapshot, tables};
use db_testkit::{TestDb, both_engines};

fn table<'m>(model: &'m mut Model, name: &str) -> &'m mut Table {
    model
        .tables
        .iter_mut()
        .find(|table| table.name == name)
        .unwrap()
}

/// The one finding, as a line.
#[track_caller]
fn only(mut found: Vec<Finding>) -> String {
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).to_string()
}

/// A fault, and the subject that its finding has to name.
type Fault = (&'static str, fn(&mut Model));

both_engines! {
    fn a_broken_rule_of_the_house_is_found(db: TestDb) {
        let engine = db.engine();
        let good = Live::migrated(engine).model;
        assert_eq!(invariants::check(engine, &good), []);
        let faults: [Fault; 10] = [
            ("table peers: it has no primary key", |m| table(m, "peers").primary_key = None),
            ("foreign key outbox.user_id: no index", |m| {
                table(m, "outbox").indexes.retain(|i| i.name != "idx_outbox_user_id");
            }),
            // A partial index does not serve every deletion of a parent.
            ("foreign key outbox.user_id: no index", |m| {
                let outbox = table(m, "outbox");
                let index = outbox.indexes.iter_mut().find(|i| i.name == "idx_outbox_user_id");
                index.unwrap().predicate = Some("status = 'x'".to_owned());
            }),
            ("foreign key bets.game_id: it is deferrable", |m| {
                table(m, "bets").foreign_keys[0].deferrable = true;
            }),
            ("check peers.(unnamed): it has no name", |m| {
                table(m, "peers").checks[0].name = None;
            }),
            ("check peers.peers_check: it should be named ck_peers_*", |m| {
                table(m, "peers").checks[0].name = Some("peers_check".to_owned());
            }),
            ("primary key users.users_pkey: it should be named pk_users", |m| {
                table(m, "users").primary_key.as_mut().unwrap().name = Some("users_pkey".into());
            }),
            ("unique constraint users.uq_users_id", |m| {
                table(m, "users").uniques[0].name = Some("uq_users_id".to_owned());
            }),
            ("foreign key games.(unnamed): it has no name", |m| {
                table(m, "games").foreign_keys[0].name = None;
            }),
            ("index games.games_by_state: it should be named idx_games_*", |m| {
                table(m, "games").indexes[0].name = "games_by_state".to_owned();
            }),
        ];
        for (expected, fault) in faults {
            let mut bad = good.clone();
            fault(&mut bad);
            let line = only(invariants::check(engine, &bad));
            assert!(line.starts_with(expected), "{line}");
        }
        let mut bad = good;
        let (expected, found) = match engine {
            Engine::Sqlite => {
                table(&mut bad, "bets").strict = false;
                ("table bets: it is not STRICT", invariants::check(engine, &bad))
            }
            Engine::Postgres => {
                table(&mut bad, "bets").comment = None;
                ("table bets: it has no comment", invariants::check(engine, &bad))
            }
        };
        assert_eq!(only(found), expected);
    }

    fn an_object_that_changed_since_the_snapshot_is_found(db: TestDb) {
        let live = Live::migrated(db.engine());
        let committed = snapshot::committed(db.engine());
        assert_eq!(snapshot::compare(&committed, &live.catalog), []);

        let changed = committed.replacen("columns (id, username, ", "columns (id, nickname, ", 1);
        let line = only(snapshot::compare(&changed, &live.catalog));
        assert!(line.starts_with("table users: it is no longer as in the snapshot"), "{line}");
        let fewer = committed.replacen("== column users.username\n", "== column users.nick\n", 1);
        let lines: Vec<_> = snapshot::compare(&fewer, &live.catalog)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            lines,
            [
                "column users.nick: it is in the snapshot only",
                "column users.username: it is not in the snapshot"
            ]
        );
    }

    fn a_declaration_that_does_not_fit_is_found(db: TestDb) {
        let engine = db.engine();
        let live = Live::migrated(engine).model;
        let text = std::fs::read_to_string(tables::path()).unwrap();
        let good = declared::read(&text);
        assert_eq!(tables::fits(&good, engine, &live), []);
        assert!(good.len() > 20, "the file was understood");

        let at = |name: &str| good.iter().position(|table| table.name == name).unwrap();
        let mut bad = good.clone();
        bad[at("users")].columns[3].sql_type = "Text".to_owned();
        let line = only(tables::fits(&bad, engine, &live));
        assert!(line.starts_with("column users.reputation: declared is Text, it is "), "{line}");

        let mut bad = good.clone();
        bad[at("users")].columns[1].nullable = true;
        assert_eq!(
            only(tables::fits(&bad, engine, &live)),
            "column users.username: declared nullable, it is not nullable"
        );

        let mut bad = good.clone();
        bad[at("users")].columns.swap(0, 1);
        let line = only(tables::fits(&bad, engine, &live));
        assert!(line.starts_with("table users: declared are the columns username, id"), "{line}");

        let mut bad = good.clone();
        bad[at("users")].primary_key = vec!["username".to_owned()];
        let line = only(tables::fits(&bad, engine, &live));
        assert_eq!(line, "table users: declared is the key (username), it is (id)");

        let mut bad = good.clone();
        bad.remove(at("outbox"));
        assert_eq!(only(tables::fits(&bad, engine, &live)), "table outbox: it is not declared");

        let mut bad = good.clone();
        bad[at("outbox")].name = "inbox".to_owned();
        assert_eq!(tables::fits(&bad, engine, &live).len(), 2);
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn a_32_bit_integer_needs_both_bounds() {
        let good = declared::read(&std::fs::read_to_string(tables::path()).unwrap());
        for (name, column, check) in [
            ("outbox", "attempts", "attempts >= 0"),
            ("outbox", "attempts", "attempts <= 1000000"),
            (
                "outbox",
                "attempts",
                "attempts >= 0 AND attempts <= 2147483648",
            ),
            ("outbox", "attempts", "attempts >= 0 AND id <= 1000000"),
        ] {
            let mut live = Live::migrated(Engine::Sqlite).model;
            let checks = &mut table(&mut live, name).checks;
            let of = Some(format!("ck_{name}_{column}"));
            let at = checks.iter().position(|each| each.name == of).unwrap();
            checks[at].expression = check.to_owned();
            assert_eq!(
                only(tables::fits(&good, Engine::Sqlite, &live)),
                format!(
                    "column {name}.{column}: Integer needs a check with a lower and an upper bound"
                ),
            );
        }
    }

    #[test]
    fn what_storage_alone_would_let_pass_needs_a_check() {
        let good = declared::read(&std::fs::read_to_string(tables::path()).unwrap());
        for (name, check, sql_type) in [
            ("transactions", "ck_transactions_metadata_json", "JsonDoc"),
            ("notifications", "ck_notifications_is_read_bool", "Bool"),
        ] {
            let mut live = Live::migrated(Engine::Sqlite).model;
            let checks = &mut table(&mut live, name).checks;
            checks.retain(|each| each.name.as_deref() != Some(check));
            let line = only(tables::fits(&good, Engine::Sqlite, &live));
            assert!(
                line.ends_with(&format!("{sql_type} needs the check {check}")),
                "{line}"
            );
        }
    }
}

mod postgres {
    use super::*;
    use db_migrate::catalog::Catalog;
    use db_testkit::schema_check::check;

    #[test]
    fn the_schema_is_as_it_should_be() {
        let lines: Vec<_> = check().iter().map(ToString::to_string).collect();
        assert_eq!(lines, Vec::<String>::new());
    }

    #[test]
    fn a_difference_between_the_engines_is_found() {
        let sqlite = Live::migrated(Engine::Sqlite).model;
        let postgres = Live::migrated(Engine::Postgres).model;
        assert_eq!(parity::compare(&sqlite, &postgres), []);
        let faults: [Fault; 20] = [
            ("table peer_connections", |m| {
                m.tables.retain(|table| table.name != "peer_connections");
            }),
            ("column users.reputation", |m| {
                table(m, "users").columns.remove(3);
            }),
            ("table users", |m| table(m, "users").columns.swap(1, 2)),
            ("column users.username", |m| {
                table(m, "users").columns[1].nullable = true;
            }),
            ("column games.pot_size", |m| {
                table(m, "games").columns[2].default = None;
            }),
            ("column games.pot_size", |m| {
                table(m, "games").columns[2].default = Some("1".to_owned());
            }),
            ("primary key of games", |m| {
                table(m, "games").primary_key.as_mut().unwrap().columns[0] = "state".to_owned();
            }),
            ("unique constraint users.uq_users_username", |m| {
                table(m, "users").uniques.clear();
            }),
            ("foreign key games.fk_games_winner_id", |m| {
                table(m, "games").foreign_keys[0].on_delete = Action::Cascade;
            }),
            ("foreign key games.fk_games_winner_id", |m| {
                table(m, "games").foreign_keys[0].on_update = Action::SetNull;
            }),
            ("check games.ck_games_pot_size", |m| {
                table(m, "games").checks.clear();
            }),
            // One word more in a closed vocabulary.
            ("check peers.ck_peers_state", |m| {
                let checks = &mut table(m, "peers").checks;
                let name = Some("ck_peers_state".to_owned());
                let check = checks.iter_mut().find(|check| check.name == name).unwrap();
                check.expression.push_str(" OR state = 'lost'");
            }),
            ("check bets.ck_bets_amount", |m| {
                table(m, "bets").checks[0].expression = "amount >= 0".to_owned();
            }),
            ("check games.ck_games_pot_size", |m| {
                table(m, "games").checks[0].expression = "created_at >= 0".to_owned();
            }),
            ("index world_objects.idx_world_objects_world_id_y", |m| {
                let indexes = &mut table(m, "world_objects").indexes;
                let name = "idx_world_objects_world_id_y";
                let index = indexes.iter_mut().find(|i| i.name == name).unwrap();
                index.keys[1].expression = Some("json_extract(position, '$.z')".to_owned());
            }),
            ("index games.idx_games_active", |m| {
                table(m, "games")
                    .indexes
                    .retain(|i| i.name != "idx_games_active");
            }),
            ("index games.idx_games_active", |m| {
                let indexes = &mut table(m, "games").indexes;
                let index = indexes.iter_mut().find(|i| i.name == "idx_games_active");
                index.unwrap().predicate = None;
            }),
            ("index games.idx_games_created_at", |m| {
                let indexes = &mut table(m, "games").indexes;
                let index = indexes
                    .iter_mut()
                    .find(|i| i.name == "idx_games_created_at");
                index.unwrap().unique = true;
            }),
            ("trigger users.audit_users_insert", |m| {
                table(m, "users")
                    .triggers
                    .retain(|t| t.name != "audit_users_insert");
            }),
            // An exception is for as long as it is needed.
            ("exception for table audit_context", |m| {
                m.tables.retain(|table| table.name != "audit_context");
            }),
        ];
        for (subject, fault) in faults {
            let mut bad = sqlite.clone();
            fault(&mut bad);
            let line = only(parity::compare(&bad, &postgres));
            assert!(line.starts_with(&format!("{subject}: ")), "{line}");
        }
    }

    #[test]
    fn a_key_or_index_that_orders_by_language_is_found() {
        let live = Live::migrated(Engine::Postgres);
        assert_eq!(invariants::collations(&live.model, &live.catalog), []);
        for column in [
            "users.username",
            "users.id",
            "games.winner_id",
            "games.state",
        ] {
            let subject = format!("column {column}");
            let mut objects = live.catalog.clone().into_objects();
            let object = objects
                .iter_mut()
                .find(|o| o.to_string() == subject)
                .unwrap();
            object.strict = object.strict.replace(" COLLATE \"C\"", "");
            let bad = Catalog::from_objects(objects);
            assert_eq!(
                only(invariants::collations(&live.model, &bad)),
                format!("{subject}: it is in a key or index without COLLATE \"C\"")
            );
        }
    }

    #[test]
    fn an_edited_or_stale_file_of_declarations_is_found() {
        let postgres = Live::migrated(Engine::Postgres).model;
        let text = std::fs::read_to_string(tables::path()).unwrap();
        assert_eq!(tables::is_generated(&text, &postgres), []);
        assert_eq!(
            tables::is_generated(&text.replace('\n', "\r\n"), &postgres),
            []
        );

        let edited = text.replacen("state -> Text", "state -> Nullable<Text>", 1);
        let line = only(tables::is_generated(&edited, &postgres));
        assert!(line.contains("run `cargo xtask schema generate`"), "{line}");
        assert_eq!(tables::is_generated("", &postgres).len(), 1);
    }

    #[test]
    fn a_type_without_a_declaration_is_named() {
        let mut postgres = Live::migrated(Engine::Postgres).model;
        let column = &mut table(&mut postgres, "users").columns[1];
        column.declared_type = "inet".to_owned();
        column.logical_type = db_migrate::catalog::model::LogicalType::Other("inet".to_owned());
        let line = only(declared::write(&postgres).unwrap_err());
        assert_eq!(
            line,
            "column users.username: the type inet has no SQL type in Rust"
        );
    }
}
