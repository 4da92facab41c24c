//! The shapes that scripts rely on.

use db_testkit::{TestDb, both_engines};
use insta::assert_json_snapshot;

use crate::support::{Place, masked};

both_engines! {
    fn status_has_every_field(db: TestDb) {
        let place = Place::new(db);
        place.ok(&["migrate", "--to", "2"]);
        let name = format!("status_{}", place.engine().name());
        assert_json_snapshot!(name, masked(place.json(0, &["status"])));
    }

    fn runs_have_one_shape(db: TestDb) {
        let place = Place::new(db);
        let name = |what: &str| format!("{what}_{}", place.engine().name());
        assert_json_snapshot!(name("dry_run"), masked(place.json(0, &["migrate", "--dry-run", "--to", "1"])));
        assert_json_snapshot!(name("migrate"), masked(place.json(0, &["migrate"])));
        assert_json_snapshot!(name("rollback"), masked(place.json(0, &["rollback", "--force"])));
        assert_json_snapshot!(name("validate"), masked(place.json(3, &["validate"])));
        assert_json_snapshot!(name("repair"), masked(place.json(0, &["repair"])));
    }

    fn a_failure_says_where_and_what_was_done_before(db: TestDb) {
        let place = Place::new(db);
        place.add("20240102120000_wrong", "CREATE TABLE a (id BIGINT);\n\nSELEC 1;\n", "");
        let name = format!("failure_{}", place.engine().name());
        assert_json_snapshot!(name, masked(place.json(10, &["migrate"])));
    }
}

#[test]
fn wrong_arguments_are_a_document_too() {
    let place = Place::new(TestDb::sqlite());
    let document = place.json(2, &["status", "--chek"]);
    assert_eq!(document["error"]["kind"], "usage");
    assert_eq!(document["error"]["exit_code"], 2);
    let document = place.json(2, &["migrate", "--wait", "60"]);
    assert!(
        document["error"]["message"]
            .as_str()
            .unwrap()
            .contains("write 60s")
    );
}
