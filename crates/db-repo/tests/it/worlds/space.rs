//! Objects by position, against a loop over all of them.

use db_core::Database;
use db_repo::{Error, PageRequest, WorldRepository};
use db_schema::rows::{Position, WorldObject};
use db_testkit::{TestDb, both_engines};

use super::{object, world};
use crate::support::{all_pages, open, read, write};

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From -10 to 10: whole, halves, or with all digits.
    fn coordinate(&mut self) -> f64 {
        let bits = self.next();
        let whole = f64::from(i32::try_from(bits % 41).unwrap() - 20) / 2.0;
        if bits & (1 << 40) == 0 {
            whole
        } else {
            whole + f64::from(u32::try_from(self.next() >> 32).unwrap()) / 4.3e9
        }
    }

    fn place(&mut self) -> Position {
        Position::new(self.coordinate(), self.coordinate(), self.coordinate())
    }
}

fn is_in(place: Position, min: Position, max: Position) -> bool {
    (min.x..=max.x).contains(&place.x)
        && (min.y..=max.y).contains(&place.y)
        && (min.z..=max.z).contains(&place.z)
}

fn square(from: Position, to: Position) -> f64 {
    let (x, y, z) = (from.x - to.x, from.y - to.y, from.z - to.z);
    x * x + y * y + z * z
}

fn keys(objects: Vec<WorldObject>) -> Vec<i64> {
    objects.into_iter().map(|object| object.id).collect()
}

#[track_caller]
fn in_box(database: &Database, world: i64, min: Position, max: Position) -> Vec<i64> {
    keys(all_pages(database, 7, |conn, page| {
        WorldRepository::list_objects_in_box(conn, world, min, max, page)
    }))
}

#[track_caller]
fn within(database: &Database, world: i64, centre: Position, radius: f64) -> Vec<i64> {
    keys(all_pages(database, 5, |conn, page| {
        WorldRepository::list_objects_within(conn, world, centre, radius, page)
    }))
}

both_engines! {
    fn boxes_and_balls_hold_what_a_loop_finds(db: TestDb) {
        let database = open(&db);
        let (id, other) = (world(&database, "w").id, world(&database, "other").id);
        let mut numbers = Numbers(2_026);
        let mut new: Vec<_> = (0..400).map(|n| object(id, &n.to_string(), numbers.place())).collect();
        new.extend((0..50).map(|n| object(other, &n.to_string(), numbers.place())));
        write(&database, |conn| WorldRepository::create_objects(conn, &new));
        let mut all = all_pages(&database, 1_000, |conn, page| {
            WorldRepository::list_objects(conn, id, page)
        });
        assert_eq!(all.len(), 400);
        all.sort_by(|a, b| a.position.x.total_cmp(&b.position.x).then(a.id.cmp(&b.id)));
        let mut held = 0;
        for _ in 0..60 {
            let (a, b) = (numbers.place(), numbers.place());
            let min = Position::new(a.x.min(b.x), a.y.min(b.y), a.z.min(b.z));
            let max = Position::new(a.x.max(b.x), a.y.max(b.y), a.z.max(b.z));
            let expected: Vec<_> = all.iter().filter(|o| is_in(o.position, min, max)).map(|o| o.id).collect();
            held += expected.len();
            assert_eq!(in_box(&database, id, min, max), expected, "{min:?} {max:?}");
            let radius = numbers.coordinate().abs();
            let expected: Vec<_> = all
                .iter()
                .filter(|o| square(o.position, a) <= radius * radius)
                .map(|o| o.id)
                .collect();
            held += expected.len();
            assert_eq!(within(&database, id, a, radius), expected, "{a:?} {radius}");
        }
        assert!(held > 500, "{held}");
        // Each stands on the border of a box and of a ball that hold nothing else but its equals.
        for object in all.iter().step_by(5) {
            let place = object.position;
            assert!(in_box(&database, id, place, place).contains(&object.id), "{place:?}");
            assert!(within(&database, id, place, 0.0).contains(&object.id), "{place:?}");
        }
    }

    fn the_border_is_part_of_it(db: TestDb) {
        let database = open(&db);
        let id = world(&database, "w").id;
        let new: Vec<_> = [
            (3.0, 4.0, 0.0),
            (-2.0, 3.0, 6.0),
            (5.0, 0.0, 0.0),
            (5.000_000_000_000_001, 0.0, 0.0),
            (0.0, 0.0, 7.0),
        ]
        .into_iter()
        .map(|(x, y, z)| object(id, "o", Position::new(x, y, z)))
        .collect();
        write(&database, |conn| WorldRepository::create_objects(conn, &new));
        let first = in_box(&database, id, Position::new(-9.0, -9.0, -9.0), Position::new(9.0, 9.0, 9.0))
            .into_iter()
            .min()
            .unwrap();
        let origin = Position::default();
        let places = |found: Vec<i64>| -> Vec<_> { found.into_iter().map(|id| id - first).collect() };
        assert_eq!(places(within(&database, id, origin, 5.0)), [0, 2]);
        assert_eq!(places(within(&database, id, origin, 7.0)), [1, 4, 0, 2, 3]);
        assert_eq!(places(within(&database, id, origin, 6.999_999_999_999_999)), [0, 2, 3]);
        let up_to_five = Position::new(5.0, 4.0, 0.0);
        assert_eq!(places(in_box(&database, id, origin, up_to_five)), [0, 2]);
        let wide = Position::new(1e308, 1e308, 1e308);
        assert_eq!(places(in_box(&database, id, Position::new(5.0, 0.0, 0.0), wide)), [2, 3]);
        assert_eq!(within(&database, id, origin, 1e150).len(), 5);
    }

    fn a_hand_may_have_written_whole_numbers(db: TestDb) {
        let database = open(&db);
        let id = world(&database, "w").id;
        let sql = format!(
            "INSERT INTO world_objects (world_id, object_type, name, position)
            VALUES ({id}, 'tree', 'o', '{{\"x\": 3, \"y\": -4, \"z\": 0, \"note\": \"by hand\"}}')"
        );
        write(&database, |conn| conn.batch_execute(&sql).map_err(Error::from));
        assert_eq!(within(&database, id, Position::default(), 5.0).len(), 1);
        let all = all_pages(&database, 9, |conn, page| WorldRepository::list_objects(conn, id, page));
        assert_eq!(all[0].position, Position::new(3.0, -4.0, 0.0));
    }

    fn a_page_after_a_number_that_no_float_holds_goes_on(db: TestDb) {
        let database = open(&db);
        let id = world(&database, "w").id;
        let huge: i64 = (1 << 53) + 1;
        let here = f64::from(1 << 30) * f64::from(1 << 23);
        let sql = format!(
            "INSERT INTO world_objects (world_id, object_type, name, position)
            VALUES ({id}, 'tree', 'o', '{{\"x\": {huge}, \"y\": 0, \"z\": 0}}');"
        );
        let sql = sql.repeat(4);
        write(&database, |conn| conn.batch_execute(&sql).map_err(Error::from));
        let new: Vec<_> = [here, here, 1.0, here + 2.0].map(|x| object(id, "float", Position::new(x, 0.0, 0.0))).into();
        write(&database, |conn| WorldRepository::create_objects(conn, &new));
        let (min, max) = (Position::new(0.0, -9.0, -9.0), Position::new(1e16, 9.0, 9.0));
        let mut request = PageRequest::first(1);
        let mut names = Vec::new();
        // No more pages than objects: it ends.
        for _ in 0..8 {
            let page = read(&database, |conn| {
                WorldRepository::list_objects_in_box(conn, id, min, max, &request)
            });
            names.extend(page.items.into_iter().map(|object| (object.id, object.name)));
            let Some(next) = page.next else {
                break;
            };
            request = PageRequest::first(1).after(next);
        }
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len(), "{names:?}");
        assert_eq!(names.iter().filter(|(_, name)| name == "float").count(), 4, "{names:?}");
        let all = within(&database, id, Position::default(), 1e17);
        assert_eq!(all.len(), names.len());
        // In the box around the ball, and not in it.
        let beside = Position::new(here, 5e15, 5e15);
        assert_eq!(within(&database, id, beside, 6e15), [0; 0]);
    }

    fn what_is_no_space_is_refused(db: TestDb) {
        let database = open(&db);
        let id = world(&database, "w").id;
        let (origin, nan) = (Position::default(), Position::new(f64::NAN, 0.0, 0.0));
        let page = PageRequest::default();
        for (field, min, max) in [
            ("min", nan, origin),
            ("max", origin, nan),
            ("max", origin, Position::new(1.0, -0.5, 1.0)),
        ] {
            let refused = database
                .read(|conn| WorldRepository::list_objects_in_box(conn, id, min, max, &page))
                .unwrap_err();
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
        }
        for (field, centre, radius) in [
            ("centre", nan, 1.0),
            ("radius", origin, -1.0),
            ("radius", origin, f64::NAN),
            ("radius", origin, 1e151),
            ("radius", origin, 1e-200),
        ] {
            let refused = database
                .read(|conn| WorldRepository::list_objects_within(conn, id, centre, radius, &page))
                .unwrap_err();
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
        }
        let theirs = page.after("2:objects.within:7.someone".parse().unwrap());
        let refused = database
            .read(|conn| WorldRepository::list_objects_within(conn, id, origin, 1.0, &theirs))
            .unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "after", .. }), "{refused}");
        assert_eq!(read(&database, WorldRepository::count), 1);
    }
}
