//! Where objects of a world stand.
//!
//! A box is looked up by its range of x, in the index of positions. A ball is the box around it,
//! from which what is too far is left out here: one formula for both engines, and PostgreSQL's
//! refusal of numbers that overflow does not come up.

use db_core::Conn;
use db_schema::rows::{Position, WorldObject};

use super::WorldRepository;
use super::objects::check_position;
use crate::dialect::worlds::{BoxPage, in_box};
use crate::page::{Listing, Place};
use crate::{Page, PageRequest, Result, check};

/// Greatest radius: its square is a number.
const FARTHEST: f64 = 1e150;

/// Least radius above nothing: its square is one, too.
const NEAREST: f64 = 1e-150;

/// Least rows that are looked at together for a ball: of a box, few may be in it.
const LOOK: i64 = 1_000;

/// Objects by position. On SQLite an object is not found whose x a hand wrote as a whole number that
/// 64 bits of floating point do not hold.
impl WorldRepository {
    /// Objects of a world in a box, of which the sides are part, by x.
    ///
    /// # Errors
    /// `Invalid` for corners that are not finite or the wrong way round, or a page that cannot be,
    /// `Database`.
    pub fn list_objects_in_box(
        conn: &mut Conn<'_>,
        world: i64,
        min: Position,
        max: Position,
        page: &PageRequest,
    ) -> Result<Page<WorldObject>> {
        let page = &page.of("objects.in_box")?;
        check_position("min", min)?;
        check_position("max", max)?;
        check::rule(
            "max",
            min.x <= max.x && min.y <= max.y && min.z <= max.z,
            "must not be below min on any axis",
        )?;
        let asked = begin(world, min, max, page)?;
        let found = in_box(conn, &asked)?;
        Ok(page_of(found, page))
    }

    /// Objects of a world at most so far from a place, by x: the square of the distance, in numbers
    /// of 64 bits, is at most that of the radius.
    ///
    /// # Errors
    /// `Invalid` for a centre that is not finite, a radius that is neither 0 nor from 1e-150 to
    /// 1e150, or a page that cannot be, `Database`.
    pub fn list_objects_within(
        conn: &mut Conn<'_>,
        world: i64,
        centre: Position,
        radius: f64,
        page: &PageRequest,
    ) -> Result<Page<WorldObject>> {
        let page = &page.of("objects.within")?;
        check_position("centre", centre)?;
        check::rule(
            "radius",
            radius == 0.0 || (NEAREST..=FARTHEST).contains(&radius),
            "must be 0, or from 1e-150 to 1e150",
        )?;
        let (min, max) = around(centre, radius);
        let mut asked = begin(world, min, max, page)?;
        let wanted = usize::try_from(asked.rows).unwrap_or(usize::MAX);
        asked.rows = asked.rows.max(LOOK);
        let looked = usize::try_from(asked.rows).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        loop {
            let part = in_box(conn, &asked)?;
            let mut is_last = part.len() < looked;
            if let Some((last, x)) = part.last() {
                // Whatever the engine makes of x: a page that is not further on is the last one.
                is_last |= *x <= asked.from_x && last.id <= asked.after;
                asked.from_x = *x;
                asked.after = last.id;
            }
            found.extend(
                part.into_iter()
                    .filter(|(object, _)| is_within(object.position, centre, radius)),
            );
            if is_last || found.len() >= wanted {
                found.truncate(wanted);
                return Ok(page_of(found, page));
            }
        }
    }
}

fn begin(world: i64, min: Position, max: Position, page: &Listing<'_>) -> Result<BoxPage> {
    let (from_x, after) = match page.after_number()? {
        Some((x, id)) if x >= min.x => (x, id),
        _ => (min.x, i64::MIN),
    };
    Ok(BoxPage {
        world,
        min,
        max,
        from_x,
        after,
        rows: page.rows(),
    })
}

/// The x of the last row is the engine's own: the cursor then leads to where it ended.
fn page_of(found: Vec<(WorldObject, f64)>, page: &Listing<'_>) -> Page<WorldObject> {
    let Page { items, next } = Page::of(found, page, |(last, x)| Place::of_number(*x, last.id));
    Page {
        items: items.into_iter().map(|(object, _)| object).collect(),
        next,
    }
}

/// The box around a ball, wider by what rounding may have taken away.
fn around(centre: Position, radius: f64) -> (Position, Position) {
    if radius == 0.0 {
        return (centre, centre);
    }
    let below = |n: f64| (n - radius).next_down();
    let above = |n: f64| (n + radius).next_up();
    (
        Position::new(below(centre.x), below(centre.y), below(centre.z)),
        Position::new(above(centre.x), above(centre.y), above(centre.z)),
    )
}

fn is_within(place: Position, centre: Position, radius: f64) -> bool {
    let (x, y, z) = (place.x - centre.x, place.y - centre.y, place.z - centre.z);
    x * x + y * y + z * z <= radius * radius
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_is_within() {
        let centre = Position::new(1.0, 2.0, 3.0);
        assert!(is_within(Position::new(3.0, 5.0, 9.0), centre, 7.0));
        assert!(!is_within(
            Position::new(3.0, 5.0, 9.0_f64.next_up()),
            centre,
            7.0
        ));
    }

    #[test]
    fn the_box_holds_the_ball() {
        let centre = Position::new(0.1, -0.2, 1e9);
        let (min, max) = around(centre, 0.3);
        assert!(min.x < 0.1 - 0.3 && max.x > 0.1 + 0.3);
        assert!(min.z < 1e9 - 0.3 && max.z > 1e9 + 0.3);
        assert_eq!(around(centre, 0.0), (centre, centre));
    }
}
