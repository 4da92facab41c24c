//! Scratch.
#![allow(warnings)]
use db_core::*;
use diesel::prelude::*;
use diesel::sql_types::*;
use std::time::Instant;
#[derive(QueryableByName)]
struct N {
    #[diesel(sql_type = BigInt)]
    n: i64,
}
fn main() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "ab".repeat(32)).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(
        dir.path().join("key"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    for keyed in [false, true] {
        let path = dir.path().join(format!("{keyed}.db"));
        let mut config =
            DatabaseConfig::new(format!("sqlite://{}", path.display())).max_connections(4);
        if keyed {
            config = config.encryption_key_file(dir.path().join("key"));
        }
        let db = Database::open(&config).unwrap();
        db.write(|c| {
            Ok::<_, Error>(c.batch_execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")?)
        })
        .unwrap();
        db.write(|c| { with_conn!(c, |c| diesel::sql_query("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i < 200000) INSERT INTO t SELECT i, 'row number ' || i || hex(randomblob(20)) FROM r").execute(c))?; Ok::<_, Error>(()) }).unwrap();
        let key = keyed.then(|| KeySource::file(dir.path().join("key")).read().unwrap());
        let url = DatabaseUrl::SqliteFile(path.clone());
        let mut times: Vec<u128> = (0..1000)
            .map(|_| {
                let s = Instant::now();
                let mut c = Connection::open_encrypted(
                    &url,
                    Access::ReadWrite,
                    &Interrupt::default(),
                    key.as_ref(),
                )
                .unwrap();
                c.conn()
                    .batch_execute("SELECT count(*) FROM sqlite_schema")
                    .unwrap();
                s.elapsed().as_micros()
            })
            .collect();
        times.sort();
        println!(
            "keyed {keyed}: connect p50 {} p99 {} max {} us",
            times[500], times[990], times[999]
        );
        let s = Instant::now();
        let n = 100_000;
        for i in 0..n {
            let id = (i * 7919) % 200000 + 1;
            let r: Vec<N> = db
                .read(|c| {
                    Ok::<_, Error>(with_conn!(c, |c| diesel::sql_query(
                        "SELECT length(x) AS n FROM t WHERE id = $1"
                    )
                    .bind::<BigInt, _>(id)
                    .load(c))?)
                })
                .unwrap();
            assert_eq!(r.len(), 1);
        }
        println!(
            "  warm point reads/s {:.0}",
            n as f64 / s.elapsed().as_secs_f64()
        );
        let s = Instant::now();
        let n = 3000;
        for i in 0..n {
            db.write(|c| {
                with_conn!(c, |c| diesel::sql_query(
                    "UPDATE t SET x = 'y' || id WHERE id = $1"
                )
                .bind::<BigInt, _>(i + 1)
                .execute(c))?;
                Ok::<_, Error>(())
            })
            .unwrap();
        }
        println!(
            "  lone writes/s {:.0}",
            n as f64 / s.elapsed().as_secs_f64()
        );
        let s = Instant::now();
        let r: Vec<N> = db
            .read(|c| {
                Ok::<_, Error>(with_conn!(c, |c| diesel::sql_query(
                    "SELECT sum(length(x)) AS n FROM t"
                )
                .load(c))?)
            })
            .unwrap();
        println!("  scan (fresh-ish cache) {:?}", s.elapsed());
        db.close(std::time::Duration::from_secs(5)).unwrap();
        drop(db);
        let mut c = Connection::open_encrypted(
            &url,
            Access::ReadWrite,
            &Interrupt::default(),
            key.as_ref(),
        )
        .unwrap();
        let s = Instant::now();
        c.conn()
            .batch_execute("SELECT sum(length(x)) AS n FROM t")
            .unwrap();
        println!(
            "  cold scan of {} KiB: {:?}",
            std::fs::metadata(&path).unwrap().len() / 1024,
            s.elapsed()
        );
        if keyed {
            std::fs::write(dir.path().join("wrong"), "ac".repeat(32)).unwrap();
            std::fs::set_permissions(
                dir.path().join("wrong"),
                std::fs::Permissions::from_mode(0o600),
            )
            .unwrap();
            let wrong = KeySource::file(dir.path().join("wrong")).read().unwrap();
            let s = Instant::now();
            let e = Connection::open_encrypted(
                &url,
                Access::ReadWrite,
                &Interrupt::default(),
                Some(&wrong),
            )
            .unwrap_err();
            println!("  wrong key: {:?} after {:?}", e.kind(), s.elapsed());
        }
    }
}
