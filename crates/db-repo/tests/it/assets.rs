//! Assets.

use db_repo::{AssetRepository, Error};
use db_schema::rows::{AssetChanges, NewAsset};
use db_schema::types::Json;
use db_testkit::{TestDb, both_engines};
use serde_json::json;

use crate::rows::asset;
use crate::support::{all_pages, at, open, read, refusal, write};

both_engines! {
    fn an_asset_is_found_by_key_and_place(db: TestDb) {
        let database = open(&db);
        let made = write(&database, |conn| AssetRepository::create(conn, &asset("sky", "s3://a/1")));
        assert_eq!((made.size_bytes, made.hash.clone()), (5_000_000_000, vec![0xAB; 32]));
        assert_eq!((made.metadata.0.clone(), made.created_at), (json!({"mips": 4}), at(1)));
        assert_eq!(read(&database, |conn| AssetRepository::find(conn, made.id)), Some(made.clone()));
        assert_eq!(read(&database, |conn| AssetRepository::get(conn, made.id)), made);
        let there = read(&database, |conn| AssetRepository::find_by_location(conn, "s3://a/1"));
        assert_eq!(there, Some(made.clone()));
        assert_eq!(read(&database, |conn| AssetRepository::find_by_location(conn, "s3://A/1")), None);
        assert!(read(&database, |conn| AssetRepository::exists(conn, made.id)));
        assert!(!read(&database, |conn| AssetRepository::exists(conn, made.id + 1)));
        assert_eq!(read(&database, |conn| AssetRepository::find(conn, made.id + 1)), None);
        let missing = database.read(|conn| AssetRepository::get(conn, 99)).unwrap_err();
        assert_eq!(missing.to_string(), "there is no asset 99");
    }

    fn a_place_holds_one_asset(db: TestDb) {
        let database = open(&db);
        write(&database, |conn| AssetRepository::create(conn, &asset("sky", "a")));
        let refused = refusal(&database, |conn| AssetRepository::create(conn, &asset("sea", "a")));
        assert!(matches!(refused, Error::AssetLocationTaken(ref place) if place == "a"), "{refused:?}");
        let other = write(&database, |conn| AssetRepository::create(conn, &asset("sea", "b")));
        let changes = AssetChanges { location: Some("a".into()), ..AssetChanges::default() };
        let refused =
            refusal(&database, |conn| AssetRepository::update(conn, other.id, &changes, at(2)));
        assert!(matches!(refused, Error::AssetLocationTaken(_)), "{refused:?}");
    }

    fn changes_are_made_in_parts(db: TestDb) {
        let database = open(&db);
        let made = write(&database, |conn| AssetRepository::create(conn, &asset("sky", "a")));
        let changes = AssetChanges {
            size_bytes: Some(0),
            hash: Some(vec![1; 32]),
            metadata: Some(Json(json!({}))),
            ..AssetChanges::default()
        };
        let changed =
            write(&database, |conn| AssetRepository::update(conn, made.id, &changes, at(2)));
        assert_eq!((changed.size_bytes, changed.hash.clone()), (0, vec![1; 32]));
        assert_eq!((changed.name.as_str(), changed.updated_at), ("sky", at(2)));
        assert_eq!(read(&database, |conn| AssetRepository::get(conn, made.id)), changed);
        write(&database, |conn| AssetRepository::delete(conn, made.id));
        for refused in [
            refusal(&database, |conn| AssetRepository::update(conn, made.id, &changes, at(2)).map(drop)),
            refusal(&database, |conn| AssetRepository::delete(conn, made.id)),
        ] {
            assert_eq!(refused.to_string(), format!("there is no asset {}", made.id));
        }
    }

    fn assets_of_a_kind_come_once_each_by_name(db: TestDb) {
        let database = open(&db);
        for n in 0..15 {
            let kind = if n % 5 == 0 { "sound" } else { "texture" };
            // Names are not unique.
            let new = NewAsset { kind: kind.into(), ..asset(&format!("n{}", n % 4), &n.to_string()) };
            write(&database, |conn| AssetRepository::create(conn, &new));
        }
        let of = |kind| -> Vec<_> {
            all_pages(&database, 2, |conn, page| AssetRepository::list_by_kind(conn, kind, page))
                .into_iter()
                .map(|asset| (asset.name, asset.location))
                .collect()
        };
        let mut expected: Vec<_> =
            (0..15).filter(|n| n % 5 != 0).map(|n| (format!("n{}", n % 4), n)).collect();
        expected.sort();
        let expected: Vec<_> = expected.into_iter().map(|(name, n)| (name, n.to_string())).collect();
        assert_eq!(of("texture"), expected);
        assert_eq!(of("sound").len(), 3);
        assert_eq!(of("model"), []);
    }

    fn what_cannot_be_is_refused_by_field(db: TestDb) {
        let database = open(&db);
        let made = write(&database, |conn| AssetRepository::create(conn, &asset("sky", "a")));
        let right = asset("x", "b");
        for (field, wrong) in [
            ("name", NewAsset { name: "x".repeat(256), ..right.clone() }),
            ("kind", NewAsset { kind: "two words".into(), ..right.clone() }),
            ("location", NewAsset { location: String::new(), ..right.clone() }),
            ("size_bytes", NewAsset { size_bytes: -1, ..right.clone() }),
            ("hash", NewAsset { hash: vec![1; 31], ..right.clone() }),
            ("metadata", NewAsset { metadata: Json(json!(1)), ..right }),
        ] {
            let changes = AssetChanges {
                name: Some(wrong.name.clone()),
                kind: Some(wrong.kind.clone()),
                location: Some(wrong.location.clone()),
                size_bytes: Some(wrong.size_bytes),
                hash: Some(wrong.hash.clone()),
                metadata: Some(wrong.metadata.clone()),
            };
            for refused in [
                refusal(&database, |conn| AssetRepository::create(conn, &wrong).map(drop)),
                refusal(&database, |conn| {
                    AssetRepository::update(conn, made.id, &changes, at(2)).map(drop)
                }),
            ] {
                assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
            }
        }
    }
}
