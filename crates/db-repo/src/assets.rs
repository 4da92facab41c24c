//! What is known of files that lie in an object store.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{Asset, AssetChanges, NewAsset};
use db_schema::schema::assets;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::refusal::{refused, touched_one};
use crate::{Error, Page, PageRequest, Place, Result, check};

const ENTITY: &str = "asset";

/// Characters of a name: what the column holds.
const NAME: std::ops::RangeInclusive<usize> = 1..=255;

/// Characters of a URL or path: what browsers and stores take.
const LOCATION: std::ops::RangeInclusive<usize> = 1..=2_048;

/// Bytes of SHA-256.
const HASH: std::ops::RangeInclusive<usize> = 32..=32;

statement! {
    struct OfKind<'a> {
        kind: &'a str as Text,
        name: &'a str as Text,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns (
        BigInt,
        Text,
        Text,
        Text,
        BigInt,
        Binary,
        JsonDoc,
        UtcTimestamp,
        UtcTimestamp,
    );
    "SELECT id, name, kind, location, size_bytes, hash, metadata, created_at, updated_at
    FROM assets WHERE kind = " kind " AND (name, id) > (" name ", " id ")
    ORDER BY name, id LIMIT " rows " + 0"
}

/// Assets: the bytes themselves lie elsewhere.
#[derive(Debug)]
pub struct AssetRepository;

impl AssetRepository {
    /// Makes an asset known.
    ///
    /// # Errors
    /// `Invalid`, `AssetLocationTaken`, `Database`.
    pub fn create(conn: &mut Conn<'_>, new: &NewAsset) -> Result<Asset> {
        check_new(new)?;
        let values = (new, assets::updated_at.eq(new.created_at));
        with_conn!(conn, |c| diesel::insert_into(assets::table)
            .values(values)
            .returning(Asset::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, taken(Some(&new.location)), &[]))
    }

    /// The asset of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: i64) -> Result<Option<Asset>> {
        Ok(with_conn!(conn, |c| assets::table
            .find(id)
            .select(Asset::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The asset of this key, which has to be known.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, id: i64) -> Result<Asset> {
        Self::find(conn, id)?.ok_or_else(|| Error::not_found(ENTITY, id))
    }

    /// The asset that lies there.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_by_location(conn: &mut Conn<'_>, location: &str) -> Result<Option<Asset>> {
        check::sought("location", location)?;
        Ok(with_conn!(conn, |c| assets::table
            .filter(assets::location.eq(location))
            .select(Asset::as_select())
            .get_result(c))
        .optional()?)
    }

    /// Assets of one kind, by name.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_kind(
        conn: &mut Conn<'_>,
        kind: &str,
        page: &PageRequest,
    ) -> Result<Page<Asset>> {
        check::sought("kind", kind)?;
        let page = &page.of("assets.by_kind")?;
        let rows = page.rows();
        let (name, id) = page.after_name();
        let list = OfKind {
            kind,
            name,
            id,
            rows,
        };
        let found: Vec<Asset> = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, |last| {
            Place::of_name(&last.name, last.id)
        }))
    }

    /// Changes what of an asset is given.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `AssetLocationTaken`, `Database`.
    pub fn update(
        conn: &mut Conn<'_>,
        id: i64,
        changes: &AssetChanges,
        now: UtcTime,
    ) -> Result<Asset> {
        check_changes(changes)?;
        let set = (changes, assets::updated_at.eq(now));
        with_conn!(conn, |c| diesel::update(assets::table.find(id))
            .set(set)
            .returning(Asset::as_returning())
            .get_result(c))
        .map_err(|error| match error {
            DieselError::NotFound => Error::not_found(ENTITY, id),
            error => refused(conn, error, taken(changes.location.as_deref()), &[]),
        })
    }

    /// Forgets an asset.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn delete(conn: &mut Conn<'_>, id: i64) -> Result<()> {
        let rows = with_conn!(conn, |c| diesel::delete(assets::table.find(id)).execute(c))?;
        touched_one(rows, ENTITY, id)
    }

    /// Whether an asset is known.
    ///
    /// # Errors
    /// `Database`.
    pub fn exists(conn: &mut Conn<'_>, id: i64) -> Result<bool> {
        let query = diesel::dsl::select(diesel::dsl::exists(assets::table.find(id)));
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    }
}

/// What a unique constraint of the table means.
fn taken(location: Option<&str>) -> impl FnOnce(&str) -> Option<Error> {
    move |constraint| match (constraint, location) {
        ("uq_assets_location", Some(place)) => Some(Error::AssetLocationTaken(place.to_owned())),
        _ => None,
    }
}

fn check_new(new: &NewAsset) -> Result<()> {
    check::text("name", &new.name, NAME)?;
    check::word("kind", &new.kind)?;
    check::text("location", &new.location, LOCATION)?;
    check::within("size_bytes", new.size_bytes, 0..=i64::MAX)?;
    check::bytes("hash", &new.hash, HASH)?;
    check::moment("created_at", new.created_at)?;
    check::object("metadata", &new.metadata.0)
}

fn check_changes(changes: &AssetChanges) -> Result<()> {
    if let Some(name) = &changes.name {
        check::text("name", name, NAME)?;
    }
    if let Some(kind) = &changes.kind {
        check::word("kind", kind)?;
    }
    if let Some(location) = &changes.location {
        check::text("location", location, LOCATION)?;
    }
    if let Some(size) = changes.size_bytes {
        check::within("size_bytes", size, 0..=i64::MAX)?;
    }
    if let Some(hash) = &changes.hash {
        check::bytes("hash", hash, HASH)?;
    }
    match &changes.metadata {
        Some(json) => check::object("metadata", &json.0),
        None => Ok(()),
    }
}
