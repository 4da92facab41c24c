//! Worlds and the objects in them.

mod space;

use db_core::Database;
use db_repo::{Error, WorldRepository};
use db_schema::rows::{
    NewWorld, NewWorldObject, Position, World, WorldChanges, WorldObjectChanges,
};
use db_schema::types::Json;
use db_testkit::{TestDb, both_engines};
use serde_json::json;

use crate::rows::{new_world, object};
use crate::support::{after_a_rival, all_pages, at, open, read, refusal, write};

#[track_caller]
fn world(database: &Database, name: &str) -> World {
    let new = new_world(name);
    write(database, |conn| WorldRepository::create(conn, &new))
}

both_engines! {
    fn a_world_is_found_by_key_and_name(db: TestDb) {
        let database = open(&db);
        let made = world(&database, "Midgard");
        assert_eq!((made.description.as_deref(), made.updated_at), (Some("two\nlines"), at(1)));
        assert_eq!(read(&database, |conn| WorldRepository::find(conn, made.id)), Some(made.clone()));
        assert_eq!(read(&database, |conn| WorldRepository::get(conn, made.id)), made);
        let named = read(&database, |conn| WorldRepository::find_by_name(conn, "Midgard"));
        assert_eq!(named, Some(made.clone()));
        assert_eq!(read(&database, |conn| WorldRepository::find_by_name(conn, "midgard")), None);
        assert!(read(&database, |conn| WorldRepository::exists(conn, made.id)));
        assert!(!read(&database, |conn| WorldRepository::exists(conn, made.id + 1)));
        let missing = database.read(|conn| WorldRepository::get(conn, 99)).unwrap_err();
        assert_eq!(missing.to_string(), "there is no world 99");
    }

    fn a_name_is_taken_once(db: TestDb) {
        let database = open(&db);
        world(&database, "a");
        let other = world(&database, "b");
        let same = NewWorld { name: "a".into(), description: None, created_at: at(1) };
        let refused = refusal(&database, |conn| WorldRepository::create(conn, &same));
        assert!(matches!(refused, Error::WorldNameTaken(ref name) if name == "a"), "{refused:?}");
        let changes = WorldChanges { name: Some("a".into()), description: None };
        let refused = refusal(&database, |conn| WorldRepository::update(conn, other.id, &changes, at(2)));
        assert!(matches!(refused, Error::WorldNameTaken(_)), "{refused:?}");
        for (field, wrong) in [
            ("name", NewWorld { name: String::new(), ..same.clone() }),
            ("name", NewWorld { name: "x".repeat(256), ..same.clone() }),
            ("description", NewWorld { description: Some("\0".into()), ..same }),
        ] {
            let changes = WorldChanges {
                name: Some(wrong.name.clone()),
                description: Some(wrong.description.clone()),
            };
            for refused in [
                refusal(&database, |conn| WorldRepository::create(conn, &wrong).map(drop)),
                refusal(&database, |conn| {
                    WorldRepository::update(conn, other.id, &changes, at(2)).map(drop)
                }),
            ] {
                assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
            }
        }
    }

    fn a_world_that_goes_meanwhile_is_missing(db: TestDb) {
        let database = open(&db);
        for others in [0, 1] {
            let ids = ["a", "b"].map(|name| world(&database, name).id);
            let new: Vec<_> =
                ids[..=others].iter().map(|&id| object(id, "oak", Position::default())).collect();
            let lost = after_a_rival(
                &db,
                |conn| WorldRepository::delete(conn, ids[0]),
                |conn| WorldRepository::create_objects(conn, &new),
            );
            let named = format!("world_id: there is no world {}", ids[0]);
            assert_eq!(lost.unwrap_err().to_string(), named);
            write(&database, |conn| WorldRepository::delete(conn, ids[1]));
        }
    }

    fn worlds_are_listed_changed_and_removed(db: TestDb) {
        let database = open(&db);
        for name in ["c", "a", "é", "B", "b"] {
            world(&database, name);
        }
        let names: Vec<_> =
            all_pages(&database, 2, WorldRepository::list).into_iter().map(|w| w.name).collect();
        assert_eq!(names, ["B", "a", "b", "c", "é"]);
        assert_eq!(read(&database, WorldRepository::count), 5);
        let a = read(&database, |conn| WorldRepository::find_by_name(conn, "a")).unwrap();
        let changes = WorldChanges { name: None, description: Some(None) };
        let changed = write(&database, |conn| WorldRepository::update(conn, a.id, &changes, at(2)));
        assert_eq!((changed.name.as_str(), changed.description, changed.updated_at), ("a", None, at(2)));
        let tree = object(a.id, "oak", Position::new(1.0, 2.0, 3.0));
        let tree = write(&database, |conn| WorldRepository::create_object(conn, &tree));
        write(&database, |conn| WorldRepository::delete(conn, a.id));
        assert_eq!(read(&database, |conn| WorldRepository::find_object(conn, tree.id)), None);
        for refused in [
            refusal(&database, |conn| WorldRepository::delete(conn, a.id)),
            refusal(&database, |conn| WorldRepository::update(conn, a.id, &changes, at(3)).map(drop)),
        ] {
            assert_eq!(refused.to_string(), format!("there is no world {}", a.id));
        }
    }

    fn an_object_comes_back_as_it_was_put(db: TestDb) {
        let database = open(&db);
        let id = world(&database, "w").id;
        // Numbers whose shortest text has seventeen digits, or none after the point.
        let place = Position::new(0.1 + 0.2, -5e-324, 1e308);
        let made = write(&database, |conn| {
            WorldRepository::create_object(conn, &object(id, "oak", place))
        });
        assert_eq!((made.position, made.object_type.as_str()), (place, "tree"));
        assert_eq!(made.properties.0, json!({"height": 3.5}));
        let found = read(&database, |conn| WorldRepository::get_object(conn, made.id));
        assert_eq!(found, made);
        assert_eq!(found.position.x.to_bits(), (0.1_f64 + 0.2).to_bits());

        let there = Position::new(-1.0, 0.0, 7.0);
        write(&database, |conn| WorldRepository::move_object(conn, made.id, there, at(2)));
        let moved = read(&database, |conn| WorldRepository::get_object(conn, made.id));
        assert_eq!((moved.position, moved.updated_at), (there, at(2)));
        let changes = WorldObjectChanges {
            properties: Some(Json(json!({"felled": true}))),
            ..WorldObjectChanges::default()
        };
        let changed = write(&database, |conn| {
            WorldRepository::update_object(conn, made.id, &changes, at(3))
        });
        assert_eq!((changed.position, changed.properties.0.clone()), (there, json!({"felled": true})));
        assert_eq!(read(&database, |conn| WorldRepository::get_object(conn, made.id)), changed);
        write(&database, |conn| WorldRepository::delete_object(conn, made.id));
        assert_eq!(read(&database, |conn| WorldRepository::find_object(conn, made.id)), None);
        for refused in [
            refusal(&database, |conn| WorldRepository::get_object(conn, made.id).map(drop)),
            refusal(&database, |conn| WorldRepository::move_object(conn, made.id, there, at(4))),
            refusal(&database, |conn| {
                WorldRepository::update_object(conn, made.id, &changes, at(4)).map(drop)
            }),
            refusal(&database, |conn| WorldRepository::delete_object(conn, made.id)),
        ] {
            assert_eq!(refused.to_string(), format!("there is no world object {}", made.id));
        }
    }

    fn objects_are_listed_by_world_and_type(db: TestDb) {
        let database = open(&db);
        let (first, second) = (world(&database, "w").id, world(&database, "v").id);
        let new: Vec<_> = (0_i32..2_100)
            .map(|n| NewWorldObject {
                object_type: if n % 100 == 0 { "rock" } else { "tree" }.into(),
                ..object(if n % 3 == 0 { second } else { first }, &n.to_string(), Position::new(f64::from(n), 0.0, 0.0))
            })
            .collect();
        assert_eq!(write(&database, |conn| WorldRepository::create_objects(conn, &new)), 2_100);
        let names = |of: Vec<db_schema::rows::WorldObject>| -> Vec<_> {
            of.into_iter().map(|object| object.name).collect()
        };
        let all = names(all_pages(&database, 300, |conn, page| {
            WorldRepository::list_objects(conn, first, page)
        }));
        assert_eq!(all, (0..2_100).filter(|n| n % 3 != 0).map(|n| n.to_string()).collect::<Vec<_>>());
        let rocks = names(all_pages(&database, 2, |conn, page| {
            WorldRepository::list_objects_by_type(conn, second, "rock", page)
        }));
        assert_eq!(rocks, (0..2_100).filter(|n| n % 300 == 0).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    fn objects_need_a_world_and_a_place(db: TestDb) {
        let database = open(&db);
        let id = world(&database, "w").id;
        let lost = object(id + 7, "oak", Position::default());
        let right = object(id, "oak", Position::default());
        for refused in [
            refusal(&database, |conn| WorldRepository::create_object(conn, &lost).map(drop)),
            refusal(&database, |conn| {
                WorldRepository::create_objects(conn, &[right.clone(), lost.clone()]).map(drop)
            }),
        ] {
            assert_eq!(refused.to_string(), format!("world_id: there is no world {}", id + 7));
        }
        let all = all_pages(&database, 9, |conn, page| WorldRepository::list_objects(conn, id, page));
        assert_eq!(all, []);
        let nan = Position::new(0.0, f64::NAN, 0.0);
        for (field, wrong) in [
            ("position", object(id, "oak", nan)),
            ("position", object(id, "oak", Position::new(0.0, 0.0, f64::NEG_INFINITY))),
            ("name", object(id, "", Position::default())),
            ("object_type", NewWorldObject { object_type: String::new(), ..right.clone() }),
            ("properties", NewWorldObject { properties: Json(json!(null)), ..right.clone() }),
        ] {
            let changes = WorldObjectChanges {
                object_type: Some(wrong.object_type.clone()),
                name: Some(wrong.name.clone()),
                position: Some(wrong.position),
                properties: Some(wrong.properties.clone()),
            };
            for refused in [
                refusal(&database, |conn| WorldRepository::create_object(conn, &wrong).map(drop)),
                refusal(&database, |conn| {
                    WorldRepository::create_objects(conn, std::slice::from_ref(&wrong)).map(drop)
                }),
                refusal(&database, |conn| {
                    WorldRepository::update_object(conn, 1, &changes, at(2)).map(drop)
                }),
            ] {
                assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
            }
        }
        let refused = refusal(&database, |conn| WorldRepository::move_object(conn, 1, nan, at(2)));
        assert!(matches!(refused, Error::Invalid { field: "position", .. }), "{refused:?}");
    }
}
