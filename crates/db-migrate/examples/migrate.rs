//! The start of an application: `cargo run -p db-migrate --example migrate -- URL FOLDER`.

use db_core::{Access, Connection, DatabaseUrl};
use db_migrate::{Migrator, Source};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: migrate URL FOLDER".into());
    };
    let mut connection = Connection::open(&DatabaseUrl::parse(&url)?, Access::Create)?;
    let report = Migrator::new(Source::folder(folder)).run(connection.conn())?;
    assert!(report.is_success());
    Ok(())
}
