//! Which leaf belongs to which table, found from the roots and, where the way is broken, by fit.

use std::collections::{HashMap, HashSet};

use super::pages::{INDEX_INTERIOR, INDEX_LEAF, Pages, TABLE_INTERIOR, TABLE_LEAF, u32_at};
use super::record::{self, Budget, interior, kind, leaf, rowids};
use crate::Error;

/// A table with more holes has its last ones taken together: each leaf that nobody has is held
/// against all of them.
const MOST_HOLES: usize = 256;

/// How often the trees may lead to the same page, on average: in a file in order once. Many roots
/// that all lead to the same pages are the work of somebody.
const MOST_VISITS: u64 = 4;

/// A table whose rows are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) page: u32,
    /// Values of a row that was written after the last `ADD COLUMN`; 0 if that is not known.
    pub(super) columns: usize,
    /// A table WITHOUT ROWID lies in the file like an index.
    pub(super) has_rowid: bool,
}

/// Rowids between which a child was not found.
#[derive(Debug, Clone, Copy)]
struct Hole {
    table: usize,
    low: Option<i64>,
    high: Option<i64>,
}

/// A leaf that nobody points to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orphan {
    pub(super) page: u32,
    /// The topmost page above it.
    pub(super) root: u32,
}

/// The pages of one table.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Pages with rows, in the order of the tree; adopted ones at the end.
    pub(super) pages: Vec<u32>,
    /// How many of them nobody points to any more: they fit into a hole of this table only.
    pub(super) adopted: usize,
    /// Children that are no page of a tree, or of somebody else's.
    pub(super) lost_pages: usize,
    /// Cells of interior pages that make no sense.
    pub(super) damaged_cells: usize,
}

/// What belongs where.
#[derive(Debug)]
pub(super) struct Forest {
    /// For each root in turn.
    pub(super) tables: Vec<Found>,
    pub(super) orphans: Vec<Orphan>,
    /// Whether the list of free pages could be read: if not, orphans can be deleted rows.
    pub(super) freelist_is_whole: bool,
}

/// What else is in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Others<'o> {
    /// The roots of indexes, which have no rows of their own.
    pub(super) indexes: &'o [u32],
    /// The leaves of the schema.
    pub(super) schema: &'o [u32],
    /// Whether a leaf of an index that nobody has may be one of a table without rowids that is not
    /// known any more.
    pub(super) with_keyed: bool,
}

/// Who has a leaf, and how well it fits.
#[derive(Debug, Clone, Copy)]
struct Claim {
    table: usize,
    fit: u8,
}

struct Walk<'p> {
    pages: &'p Pages,
    roots: &'p [Root],
    /// Pages that are the root of something, and so nobody's child.
    taken: HashSet<u32>,
    claims: HashMap<u32, Claim>,
    seen: HashSet<u32>,
    holes: Vec<Hole>,
    /// Of each table, how many holes it has, and the last of them.
    own_holes: Vec<(usize, usize)>,
    /// Pages that may still be visited.
    visits: u64,
    tables: Vec<Found>,
    budget: Budget,
}

/// Walks from the roots, and then gives each leaf that was not reached to the one table that misses
/// it, or to nobody.
pub(super) fn explore(pages: &Pages, roots: &[Root], others: &Others<'_>) -> Result<Forest, Error> {
    let (free, freelist_is_whole) = free_pages(pages)?;
    let mut walk = reach(pages, roots, others.indexes)?;
    walk.seen.extend(others.schema);
    let orphans = walk.orphans(&free, others.with_keyed)?;
    let mut left = Vec::new();
    for orphan in orphans {
        match if freelist_is_whole {
            walk.adopter(orphan)?
        } else {
            None
        } {
            Some(table) => {
                let found = &mut walk.tables[table];
                found.pages.push(orphan.page);
                found.adopted += 1;
            }
            None => left.push(orphan),
        }
    }
    Ok(Forest {
        tables: walk.tables,
        orphans: left,
        freelist_is_whole,
    })
}

/// The pages that one root leads to.
pub(super) fn below(pages: &Pages, root: Root) -> Result<Found, Error> {
    Ok(reach(pages, &[root], &[])?.tables.pop().unwrap_or_default())
}

/// Walks from the roots.
fn reach<'p>(pages: &'p Pages, roots: &'p [Root], others: &[u32]) -> Result<Walk<'p>, Error> {
    let mut walk = Walk {
        pages,
        roots,
        taken: roots
            .iter()
            .map(|r| r.page)
            .chain(others.iter().copied())
            .collect(),
        claims: HashMap::new(),
        seen: HashSet::new(),
        holes: Vec::new(),
        own_holes: vec![(0, 0); roots.len()],
        visits: u64::from(pages.count()) * MOST_VISITS + 1_000,
        tables: roots.iter().map(|_| Found::default()).collect(),
        budget: Budget::of(pages),
    };
    for table in 0..roots.len() {
        walk.descend(table)?;
    }
    for &root in others {
        walk.mark_index(root)?;
    }
    // A later claim may have been the better one.
    for (table, found) in walk.tables.iter_mut().enumerate() {
        let claims = &walk.claims;
        found
            .pages
            .retain(|page| claims.get(page).is_none_or(|claim| claim.table == table));
    }
    Ok(walk)
}

impl Walk<'_> {
    fn descend(&mut self, table: usize) -> Result<(), Error> {
        let root = self.roots[table];
        let mut queued = HashSet::from([root.page]);
        let mut open = vec![(root.page, None, None)];
        while let Some((number, low, high)) = open.pop() {
            let is_mine = number == root.page || !self.taken.contains(&number);
            let page = if is_mine && self.visits > 0 {
                self.visits -= 1;
                self.pages.read(number)?
            } else {
                None
            };
            let hole = Hole { table, low, high };
            let Some(page) = page else {
                self.lose(hole);
                continue;
            };
            match (kind(number, &page), root.has_rowid) {
                (TABLE_LEAF, true) => self.claim(hole, number, &page)?,
                (INDEX_LEAF, false) => {
                    self.seen.insert(number);
                    self.tables[table].pages.push(number);
                }
                (TABLE_INTERIOR, true) | (INDEX_INTERIOR, false) => {
                    self.seen.insert(number);
                    let found = interior(number, &page);
                    self.tables[table].damaged_cells += found.damaged;
                    if !root.has_rowid {
                        self.tables[table].pages.push(number);
                    }
                    if found.damaged > 0 {
                        self.open_hole(hole);
                    }
                    let mut below = low;
                    let mut children = Vec::new();
                    for (child, key) in found.children {
                        let above = key.or(high);
                        if self.pages.has(child) && queued.insert(child) {
                            children.push((child, below, above));
                        } else {
                            let (low, high) = (below, above);
                            self.lose(Hole { table, low, high });
                        }
                        below = key.or(below);
                    }
                    // Popped from the end, so that leaves come in order.
                    open.extend(children.into_iter().rev());
                }
                _ => self.lose(hole),
            }
        }
        Ok(())
    }

    fn lose(&mut self, hole: Hole) {
        self.tables[hole.table].lost_pages += 1;
        self.open_hole(hole);
    }

    fn open_hole(&mut self, hole: Hole) {
        let (count, last) = &mut self.own_holes[hole.table];
        if *count < MOST_HOLES {
            *count += 1;
            *last = self.holes.len();
            self.holes.push(hole);
        } else {
            let wide = &mut self.holes[*last];
            // No bound is the widest.
            wide.low = wide.low.zip(hole.low).map(|(a, b)| a.min(b));
            wide.high = wide.high.zip(hole.high).map(|(a, b)| a.max(b));
        }
    }

    /// Takes a leaf for a table, unless another one has it by a better right.
    fn claim(&mut self, at: Hole, number: u32, page: &[u8]) -> Result<(), Error> {
        let ids = rowids(number, page);
        let inside = ids.iter().filter(|id| is_inside(at, **id)).count();
        if inside * 2 < ids.len() {
            self.lose(at);
            return Ok(());
        }
        let mut fit = 0;
        // SQLite splits pages so that the key of a child is the largest rowid in it.
        if at.high.is_some() && ids.last().copied() == at.high {
            fit += 1;
        }
        if self.first_width(number, page)? == Some(self.roots[at.table].columns) {
            fit += 2;
        }
        let claim = Claim {
            table: at.table,
            fit,
        };
        match self.claims.get(&number).copied() {
            Some(known) if known.fit >= fit => self.lose(at),
            Some(known) => {
                self.lose(Hole {
                    table: known.table,
                    ..at
                });
                self.claims.insert(number, claim);
                self.tables[at.table].pages.push(number);
            }
            None => {
                self.seen.insert(number);
                self.claims.insert(number, claim);
                self.tables[at.table].pages.push(number);
            }
        }
        Ok(())
    }

    /// How many values the first row of a leaf has that makes sense.
    fn first_width(&mut self, number: u32, page: &[u8]) -> Result<Option<usize>, Error> {
        let rows = leaf(self.pages, number, page, &mut self.budget)?.rows;
        Ok(rows.iter().map(|row| row.values.len()).max())
    }

    /// Marks the pages of an index as somebody's.
    fn mark_index(&mut self, root: u32) -> Result<(), Error> {
        let mut open = vec![root];
        while let Some(number) = open.pop() {
            if self.seen.contains(&number) {
                continue;
            }
            let Some(page) = self.pages.read(number)? else {
                continue;
            };
            let kind = kind(number, &page);
            if !matches!(kind, INDEX_LEAF | INDEX_INTERIOR) || !self.seen.insert(number) {
                continue;
            }
            if kind == INDEX_INTERIOR {
                let children = interior(number, &page).children;
                open.extend(children.into_iter().map(|(child, _)| child));
            }
        }
        Ok(())
    }

    /// The leaves that nobody has and that are not free.
    fn orphans(&self, free: &HashSet<u32>, with_keyed: bool) -> Result<Vec<Orphan>, Error> {
        let has_hole = self.holes.iter().any(|h| !self.roots[h.table].has_rowid);
        let with_keyed = with_keyed || has_hole;
        let mut leaves = Vec::new();
        let mut parents: HashMap<u32, u32> = HashMap::new();
        for number in self.pages.numbers().skip(1) {
            if self.seen.contains(&number) || free.contains(&number) {
                continue;
            }
            let Some(page) = self.pages.read(number)? else {
                continue;
            };
            match kind(number, &page) {
                TABLE_LEAF => leaves.push(number),
                INDEX_LEAF if with_keyed => leaves.push(number),
                above @ (TABLE_INTERIOR | INDEX_INTERIOR) => {
                    // Of an index, these hold entries, too.
                    if above == INDEX_INTERIOR && with_keyed {
                        leaves.push(number);
                    }
                    for (child, _) in interior(number, &page).children {
                        parents.entry(child).or_insert(number);
                    }
                }
                _ => {}
            }
        }
        let top = |page: u32| {
            // Damage can make a circle; no tree is this deep.
            let way = std::iter::successors(Some(page), |page| parents.get(page).copied());
            way.take(40).last().unwrap_or(page)
        };
        let orphan = |page| Orphan {
            page,
            root: top(page),
        };
        Ok(leaves.into_iter().map(orphan).collect())
    }

    /// The one table that misses such a leaf.
    fn adopter(&mut self, orphan: Orphan) -> Result<Option<usize>, Error> {
        let Some(page) = self.pages.read(orphan.page)? else {
            return Ok(None);
        };
        let has_rowid = kind(orphan.page, &page) == TABLE_LEAF;
        let ids = rowids(orphan.page, &page);
        let Some(width) = self.first_width(orphan.page, &page)? else {
            return Ok(None);
        };
        let mut fitting: Vec<usize> = self
            .holes
            .iter()
            .filter(|hole| {
                let root = self.roots[hole.table];
                root.has_rowid == has_rowid
                    && width <= root.columns
                    && (!has_rowid || ids.iter().all(|id| is_inside(**hole, *id)))
            })
            .map(|hole| hole.table)
            .collect();
        fitting.sort_unstable();
        fitting.dedup();
        if fitting.len() > 1 {
            // A narrower row is one from before an `ADD COLUMN`, which is rarer.
            fitting.retain(|table| self.roots[*table].columns == width);
        }
        Ok(match fitting.as_slice() {
            [table] => Some(*table),
            _ => None,
        })
    }
}

fn is_inside(hole: Hole, rowid: i64) -> bool {
    hole.low.is_none_or(|low| rowid > low) && hole.high.is_none_or(|high| rowid <= high)
}

/// The pages of the list of free ones, and whether it could be read to its end.
fn free_pages(pages: &Pages) -> Result<(HashSet<u32>, bool), Error> {
    let mut free = HashSet::new();
    let is_page = |number: u32| number >= 2 && pages.has(number);
    let mut trunk = pages.header.freelist;
    if !pages.header.is_intact {
        return Ok((free, false));
    }
    while trunk != 0 {
        let page = pages.read(trunk)?;
        let Some(page) = page.filter(|_| trunk > 1 && !free.contains(&trunk)) else {
            return Ok((HashSet::new(), false));
        };
        let next = u32_at(&page, 0);
        let leaves = u32_at(&page, 4) as usize;
        if next != 0 && !is_page(next) || leaves > page.len() / 4 - 2 {
            return Ok((HashSet::new(), false));
        }
        let numbers: Vec<u32> = (0..leaves).map(|at| u32_at(&page, 8 + 4 * at)).collect();
        free.insert(trunk);
        for number in numbers {
            if !is_page(number) || !free.insert(number) {
                return Ok((HashSet::new(), false));
            }
        }
        trunk = next;
    }
    // A page that is listed by mistake would be kept from its table.
    let is_whole = free.len() == pages.header.free_pages as usize;
    Ok((if is_whole { free } else { HashSet::new() }, is_whole))
}

/// Leaves, with their rows, that look like a part of the schema.
pub(super) fn stray_schema(pages: &Pages) -> Result<Vec<(u32, Vec<record::Row>)>, Error> {
    let mut budget = Budget::of(pages);
    let mut found = Vec::new();
    for number in pages.numbers().skip(1) {
        let Some(page) = pages.read(number)? else {
            continue;
        };
        if kind(number, &page) != TABLE_LEAF {
            continue;
        }
        let rows = leaf(pages, number, &page, &mut budget)?.rows;
        if super::schema::is_mostly_entries(&rows) {
            found.push((number, rows));
        }
    }
    Ok(found)
}
