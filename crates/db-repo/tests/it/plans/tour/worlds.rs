//! Worlds, their objects, and assets.

use db_repo::{AssetRepository, PageRequest, WorldRepository};
use db_schema::rows::{AssetChanges, Position, WorldChanges, WorldObjectChanges};

use super::{Step, go};
use crate::rows::{asset, new_world, object};
use crate::support::at;

pub(super) fn run(step: Step<'_>) {
    worlds(step);
    objects(step);
    assets(step);
    go(step, "worlds: count", WorldRepository::count);
    go(step, "worlds: delete", |conn| {
        WorldRepository::delete(conn, 1)
    });
}

fn worlds(step: Step<'_>) {
    let world = new_world("w");
    go(step, "worlds: create", |conn| {
        WorldRepository::create(conn, &world)
    });
    go(step, "worlds: find", |conn| {
        WorldRepository::find(conn, 1)?;
        WorldRepository::find_by_name(conn, "w")?;
        WorldRepository::exists(conn, 1)
    });
    go(step, "worlds: list", |conn| {
        WorldRepository::list(conn, &PageRequest::default())
    });
    go(step, "worlds: update", |conn| {
        WorldRepository::update(conn, 1, &WorldChanges::default(), at(1))
    });
}

fn objects(step: Step<'_>) {
    let first = PageRequest::default;
    let here = Position::default();
    let object = object(1, "oak", here);
    go(step, "objects: create", |conn| {
        WorldRepository::create_object(conn, &object)
    });
    go(step, "objects: create_many", |conn| {
        WorldRepository::create_objects(conn, &[object.clone(), object.clone()])
    });
    go(step, "objects: find", |conn| {
        WorldRepository::find_object(conn, 1)
    });
    go(step, "objects: list", |conn| {
        WorldRepository::list_objects(conn, 1, &first())
    });
    go(step, "objects: list_of_type", |conn| {
        WorldRepository::list_objects_by_type(conn, 1, "tree", &first())
    });
    go(step, "objects: list_in_box", |conn| {
        WorldRepository::list_objects_in_box(conn, 1, here, here, &first())
    });
    go(step, "objects: list_within", |conn| {
        WorldRepository::list_objects_within(conn, 1, here, 1.0, &first())
    });
    go(step, "objects: move", |conn| {
        WorldRepository::move_object(conn, 1, here, at(1))
    });
    go(step, "objects: update", |conn| {
        WorldRepository::update_object(conn, 1, &WorldObjectChanges::default(), at(2))
    });
    go(step, "objects: delete", |conn| {
        WorldRepository::delete_object(conn, 1)
    });
}

fn assets(step: Step<'_>) {
    let asset = asset("sky", "s3://a/1");
    go(step, "assets: create", |conn| {
        AssetRepository::create(conn, &asset)
    });
    go(step, "assets: find", |conn| {
        AssetRepository::find(conn, 1)?;
        AssetRepository::find_by_location(conn, "s3://a/1")?;
        AssetRepository::exists(conn, 1)
    });
    go(step, "assets: list_by_kind", |conn| {
        AssetRepository::list_by_kind(conn, "texture", &PageRequest::default())
    });
    go(step, "assets: update", |conn| {
        AssetRepository::update(conn, 1, &AssetChanges::default(), at(1))
    });
    go(step, "assets: delete", |conn| {
        AssetRepository::delete(conn, 1)
    });
}
