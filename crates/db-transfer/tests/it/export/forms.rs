//! Files: compressed, the same twice, private, and there or not.

use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use db_testkit::{TestDb, both_engines};
use db_transfer::export::{Form, Options};
use flate2::read::GzDecoder;

use super::{exported_with, names, postgres, sqlite, to_file, url};

const TABLES: &str = "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT);
    CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id));";

fn filled(db: &TestDb, rows: u32) {
    let mut sql = String::from(TABLES);
    for i in 0..rows {
        write!(sql, "INSERT INTO a VALUES ({i}, 'row {i}');").unwrap();
    }
    sql.push_str("INSERT INTO b VALUES (1, 0);");
    match db.path() {
        Some(_) => sqlite(db).execute(&format!("BEGIN; {sql} COMMIT")).unwrap(),
        None => postgres(db).execute(&sql).unwrap(),
    }
}

both_engines! {
    fn the_same_rows_are_the_same_bytes_in_every_form(db: TestDb) {
        filled(&db, 3_000);
        let folder = tempfile::tempdir().unwrap();
        for name in ["x.sql", "x.json", "x.ndjson", "x.sql.gz", "x.json.zst", "X.NDJSON.GZ"] {
            let path = folder.path().join(name);
            let report = to_file(&db, &Options::default(), &path).unwrap();
            assert_eq!(report.tables, [("a".to_owned(), 3_000), ("b".to_owned(), 1)]);
            assert_eq!((report.rows, report.files.as_slice()), (3_001, &[path.clone()][..]));
            let first = std::fs::read(&path).unwrap();
            to_file(&db, &Options::default(), &path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), first, "{name}");
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            let mut plain = Vec::new();
            let ending = path.extension().unwrap().to_ascii_lowercase();
            if ending == "gz" {
                GzDecoder::new(first.as_slice()).read_to_end(&mut plain).unwrap();
            } else if ending == "zst" {
                plain = zstd::decode_all(first.as_slice()).unwrap();
            } else {
                plain = first;
            }
            assert_eq!(plain.len() as u64, report.bytes);
            let form = Form::of_path(&path);
            assert_eq!(plain, exported_with(&db, &Options { form, ..Options::default() }).0);
        }
        assert_eq!(names(folder.path()).len(), 6);
    }
}

both_engines! {
    fn a_condition_and_a_table_choose_rows(db: TestDb) {
        filled(&db, 20);
        let options = Options {
            form: Some(Form::Csv),
            tables: vec!["a".to_owned()],
            filter: Some("id >= 18 -- the last".to_owned()),
            ..Options::default()
        };
        let (csv, report) = exported_with(&db, &options);
        assert_eq!(String::from_utf8(csv).unwrap(), "id,t\r\n18,row 18\r\n19,row 19\r\n");
        assert_eq!(report.rows, 2);
        assert!(url(&db).to_string().contains("://"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_of_csv_holds_one_file_open_at_a_time() {
    let tables: Vec<_> = (0..40)
        .map(|i| format!("CREATE TABLE t{i} (a); INSERT INTO t{i} VALUES (1);"))
        .collect();
    let db = super::sqlite_with(&tables.concat());
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    let mut most = 0;
    let options = Options {
        form: Some(Form::Csv),
        ..Options::default()
    };
    let output = db_transfer::export::Output::File(to.clone());
    db_transfer::export::export(
        &mut super::open(&db),
        &url(&db),
        &options,
        output,
        &mut |_| {
            let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            let ours = open.filter(|fd| {
                std::fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(&to) && path != to)
            });
            most = most.max(ours.count());
        },
    )
    .unwrap();
    assert_eq!((most, names(&to).len()), (1, 40));
}
