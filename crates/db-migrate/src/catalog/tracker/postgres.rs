//! What changed in PostgreSQL's catalogs.
//!
//! The server counts what a session writes to each table, its catalogs among them. If nothing
//! was written, nothing changed, which is one cheap query. Otherwise the rows that carry this
//! transaction's identifier say which relations were written about, and those are read again.
//! Whatever may reach further is answered by reading everything: a row deleted, a thing renamed,
//! a view replaced, a column changed that others depend on.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::{PgConnection, QueryResult, RunQueryDsl as _};

use super::store::{Group, Groups, Store, Updates};
use crate::catalog::postgres::pin::{
    assignments, pinned, pinned_assignments, pinned_in_transaction, read_and_restore,
};
use crate::catalog::postgres::query::{Part, Prepared};
use crate::catalog::postgres::steps::{Look as LookAtCounters, LookAndReset, LookRow, Near};
use crate::catalog::postgres::texts::{Dependents, Referrers, Touched};
use crate::catalog::postgres::{Item, Labels, Names, read_all};
use crate::catalog::{Kind, Object, Scope};

/// `pg_class`, `pg_attribute`, `pg_constraint`, `pg_index`, `pg_trigger`, `pg_attrdef`,
/// `pg_rewrite`, `pg_policy`, `pg_sequence`, `pg_inherits`, `pg_description`, `pg_type` and
/// `pg_proc`, in the order of the flags of [`Touched`].
const LOCAL: [u32; 13] = [
    1259, 1249, 2606, 2610, 2620, 2604, 2618, 3256, 2224, 2611, 2609, 1247, 1255,
];
/// What belongs to no relation and reaches no further when it is new: `pg_enum`, `pg_range`,
/// `pg_aggregate`, `pg_statistic_ext`, `pg_event_trigger`, `pg_publication` and its relations,
/// `pg_foreign_server`, `pg_foreign_data_wrapper`, `pg_language`.
const SPACES: [u32; 10] = [3501, 3541, 2600, 3381, 3466, 6104, 6106, 1417, 2328, 2612];
/// What can change how anything else is written: `pg_namespace`, `pg_extension`,
/// `pg_collation`, `pg_operator`, `pg_cast`, the text search catalogs, `pg_foreign_table`.
const GLOBAL: [u32; 9] = [2615, 3079, 3456, 2617, 2605, 3602, 3603, 3600, 3118];
const ATTRIBUTE: usize = 1;
const CONSTRAINT: usize = 2;
const INDEX: usize = 3;
const TRIGGER: usize = 4;
const DEFAULT: usize = 5;
const RULE: usize = 6;
const INHERITS: usize = 9;
const DESCRIPTION: usize = 10;
const TYPE: usize = 11;
const FUNCTION: usize = 12;
/// The first version that can be asked to report its statistics after each transaction.
const REPORTS_AT_ONCE: i32 = 150_000;
/// Where a default is stored with one update of its column and nothing else: read in the
/// server's source and counted. On other versions every column is looked at.
const DEFAULT_IS_ONE_UPDATE: std::ops::Range<i64> = 150_000..160_000;

/// Rows inserted, updated and deleted.
#[derive(Debug, Clone, Copy, Default)]
struct Writes {
    inserted: i64,
    updated: i64,
    deleted: i64,
}

/// All counters of this session.
#[derive(Debug, Clone, Default)]
struct Counts {
    by_catalog: HashMap<u32, Writes>,
    /// Whether the server counts at all.
    counting: bool,
    version: i64,
    /// The transaction's number, or 0 if it has written nothing.
    transaction: i64,
}

/// What the last reading was made of.
#[derive(Debug, Clone)]
pub(super) struct PostgresTracker {
    names: Names,
    /// The counters at the beginning of the transaction, if its beginning was marked.
    mark: Option<Counts>,
    /// The counters at the last look, which are a mark for the next in the same transaction.
    last: Counts,
    /// Identifiers and names of what belongs to no relation.
    spaces: BTreeMap<u32, (Kind, String)>,
}

/// What a look at the counters leads to.
enum Verdict {
    Nothing,
    Everything,
    Look(Look),
}

/// Where to look.
struct Look {
    /// The parameter of [`Touched`].
    wanted: Vec<i64>,
    /// Whether what belongs to no relation is to be read again.
    spaces: bool,
    /// Whether comments were written.
    comments: bool,
}

impl PostgresTracker {
    pub(super) fn start(
        conn: &mut PgConnection,
        scope: &Scope,
        store: &mut Store,
    ) -> QueryResult<Self> {
        let (names, items) = pinned(conn, scope.home(), |conn| read_all(conn, scope))?;
        let tracker = Self {
            names,
            mark: None,
            last: Counts::default(),
            spaces: space_names(&items),
        };
        store.apply(Updates::All(by_group(items)));
        Ok(tracker)
    }

    /// Marks the beginning of a transaction, where the server counts on from earlier ones.
    pub(super) fn begin(&mut self, conn: &mut PgConnection, scope: &Scope) -> QueryResult<()> {
        if self.names.version < REPORTS_AT_ONCE {
            let (now, before) = self.look(conn, scope)?;
            self.mark = Some(now);
            if let Some(before) = before {
                read_and_restore(conn, &before, |_| Ok(()))?;
            }
        }
        Ok(())
    }

    /// The counters, and the settings as they were if anything was counted; they are pinned then.
    fn look(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
    ) -> QueryResult<(Counts, Option<Vec<String>>)> {
        let catalogs = [&LOCAL[..], &SPACES[..], &GLOBAL[..]].concat();
        let pins = pinned_assignments(scope.home());
        let rows: Vec<LookRow> = if self.names.version < REPORTS_AT_ONCE {
            Prepared::<LookAtCounters>::new()
                .oids(&catalogs)
                .texts(pins)
                .load(conn)?
        } else {
            Prepared::<LookAndReset>::new()
                .oids(&catalogs)
                .texts(pins)
                .load(conn)?
        };
        Ok(Counts::of_rows(rows))
    }

    /// The relations that are not as they were.
    pub(super) fn changes(
        &mut self,
        conn: &mut PgConnection,
        scope: &Scope,
        store: &Store,
    ) -> QueryResult<Updates> {
        let (now, before) = self.look(conn, scope)?;
        let mut mark = self.mark.take().unwrap_or_default();
        // Counters start anew between transactions only.
        let again = now.transaction != 0 && now.transaction == self.last.transaction;
        if again {
            mark = std::mem::take(&mut self.last);
        }
        self.last = now.clone();
        let verdict = now.since(&mark).verdict();
        // Nothing was counted at all, so nothing was pinned.
        let Some(before) = before else {
            return match verdict {
                Verdict::Nothing => Ok(Updates::Some(Vec::new())),
                _ => pinned_in_transaction(conn, scope.home(), |conn| self.everything(conn, scope)),
            };
        };
        match verdict {
            Verdict::Nothing => read_and_restore(conn, &before, |_| Ok(Updates::Some(Vec::new()))),
            Verdict::Everything => {
                read_and_restore(conn, &before, |conn| self.everything(conn, scope))
            }
            // What an earlier migration wrote in this transaction would be counted too.
            Verdict::Look(look) if again || !look.is_near() => {
                read_and_restore(conn, &before, |conn| self.far(conn, scope, store, look))
            }
            Verdict::Look(look) => match self.near(conn, scope, store, (&look, &before))? {
                Some(groups) => Ok(Updates::Some(groups)),
                None => pinned_in_transaction(conn, scope.home(), |conn| {
                    self.far(conn, scope, store, look)
                }),
            },
        }
    }

    fn everything(&mut self, conn: &mut PgConnection, scope: &Scope) -> QueryResult<Updates> {
        let (names, items) = read_all(conn, scope)?;
        self.names = names;
        self.spaces = space_names(&items);
        Ok(Updates::All(by_group(items)))
    }

    fn far(
        &mut self,
        conn: &mut PgConnection,
        scope: &Scope,
        store: &Store,
        look: Look,
    ) -> QueryResult<Updates> {
        match self.local(conn, scope, store, look)? {
            Some(groups) => Ok(Updates::Some(groups)),
            None => self.everything(conn, scope),
        }
    }

    /// Reads plain tables again in one round trip, which restores the settings too; `None` if
    /// there may be more to it.
    fn near(
        &mut self,
        conn: &mut PgConnection,
        scope: &Scope,
        store: &Store,
        (look, before): (&Look, &[String]),
    ) -> QueryResult<Option<Groups>> {
        let rows: Vec<(Part, i32)> = Prepared::<Near>::new()
            .texts(assignments(before))
            .load(conn)?;
        let mut found = [0; LOCAL.len()];
        let mut groups: BTreeMap<Group, Vec<Object>> = BTreeMap::new();
        let mut depended_on = HashSet::new();
        let mut parts = Vec::with_capacity(rows.len());
        for (mut part, written) in rows {
            let counter = match part.tag.as_str() {
                "column" => DEFAULT,
                "constraint" => CONSTRAINT,
                "index" | "keyindex" => INDEX,
                "types" => TYPE,
                "restored" => continue,
                _ => {
                    let now = self.names.relation(scope, &part);
                    let known = self.names.relations.get(&part.oid);
                    let renamed = known.is_some() && known != now.as_ref();
                    let Some(relation) = now.filter(|_| part.number & 1 == 0 && !renamed) else {
                        return Ok(None);
                    };
                    self.names.relations.insert(part.oid, relation);
                    if part.number & 2 != 0 {
                        depended_on.insert(part.oid);
                    }
                    let group = Group::from(part.oid);
                    if store.group(group).any(|o| o.kind == Kind::Comment) {
                        return Ok(None);
                    }
                    groups.insert(group, Vec::new());
                    part.number = 0;
                    part.name = std::mem::replace(&mut part.tag, "relation".to_owned());
                    part.owner = part.oid;
                    TRIGGER
                }
            };
            found[counter] += i64::from(written);
            parts.push(part);
        }
        if !look.explained_by(&found) {
            return Ok(None);
        }
        for item in self.names.plain_items(parts) {
            groups
                .entry(Group::from(item.relation))
                .or_default()
                .push(item.object);
        }
        let updates: Vec<_> = groups.into_iter().collect();
        let same = changed_columns(store, &updates)
            .is_some_and(|changed| changed.iter().all(|oid| !depended_on.contains(oid)));
        Ok(same.then_some(updates))
    }

    /// Reads again what was touched; `None` if that is not enough.
    fn local(
        &mut self,
        conn: &mut PgConnection,
        scope: &Scope,
        store: &Store,
        look: Look,
    ) -> QueryResult<Option<Groups>> {
        let Look {
            wanted,
            mut spaces,
            comments,
        } = look;
        let mut touched = HashSet::new();
        let mut outside = Vec::new();
        for part in Prepared::<Touched>::new()
            .numbers(wanted)
            .load::<Part>(conn)?
        {
            match part.tag.as_str() {
                "all" => return Ok(None),
                "spaces" => spaces = true,
                kind => {
                    let known = self.names.relations.get(&part.oid).cloned();
                    let now = self.names.relation(scope, &part);
                    if known.is_some() && known != now {
                        return Ok(None);
                    }
                    // The fields of a composite type may stand in any expression.
                    if kind == "c" && known.is_some() {
                        return Ok(None);
                    }
                    spaces |= kind == "c";
                    match now {
                        Some(relation) => {
                            self.names.relations.insert(part.oid, relation);
                            touched.insert(part.oid);
                        }
                        None => outside.push(part.oid),
                    }
                }
            }
        }
        // What is out of scope may have been renamed, and what is in scope may speak of it.
        if !outside.is_empty()
            && Prepared::<Referrers>::new()
                .oids(&outside)
                .get_result(conn)?
        {
            return Ok(None);
        }
        let mut labels = Labels::default();
        let mut items = Vec::new();
        if !touched.is_empty() {
            let oids: Vec<u32> = touched.iter().copied().collect();
            items = self.names.relation_items(conn, &oids, &mut labels)?;
        }
        if spaces {
            let found = self.names.space_items(conn, &mut labels)?;
            let now = space_names(&found);
            let same = |(oid, name): (&u32, &(Kind, String))| now.get(oid) == Some(name);
            if !self.spaces.iter().all(same) {
                return Ok(None);
            }
            self.spaces = now;
            items.extend(found);
        }
        let groups = touched
            .iter()
            .map(|&oid| Group::from(oid))
            .chain(spaces.then_some(0));
        let commented = |group| {
            store
                .group(group)
                .any(|object| object.kind == Kind::Comment)
        };
        if comments || groups.clone().any(commented) {
            items.extend(Names::some_comments(conn, &labels)?);
        }
        let mut groups: BTreeMap<Group, Vec<Object>> =
            groups.map(|group| (group, Vec::new())).collect();
        for item in items {
            groups
                .entry(Group::from(item.relation))
                .or_default()
                .push(item.object);
        }
        let updates: Vec<_> = groups.into_iter().collect();
        let reaches = reaches_further(conn, store, &updates)?;
        Ok((!reaches).then_some(updates))
    }
}

/// Whether the columns of a known relation changed so that the text of others may have changed.
fn reaches_further(
    conn: &mut PgConnection,
    store: &Store,
    updates: &[(Group, Vec<Object>)],
) -> QueryResult<bool> {
    match changed_columns(store, updates) {
        None => Ok(true),
        Some(changed) if changed.is_empty() => Ok(false),
        Some(changed) => Prepared::<Dependents>::new()
            .oids(&changed)
            .get_result(conn),
    }
}

/// The known relations whose columns changed, if no column may have been renamed.
fn changed_columns(store: &Store, updates: &[(Group, Vec<Object>)]) -> Option<Vec<u32>> {
    let mut changed = Vec::new();
    for (group, now) in updates {
        let Ok(oid @ 1..) = u32::try_from(*group) else {
            continue;
        };
        let columns = |o: &&Object| o.kind == Kind::Column;
        let before: BTreeMap<_, _> = store
            .group(*group)
            .filter(columns)
            .map(|o| (&o.name, &o.strict))
            .collect();
        let after: BTreeMap<_, _> = now
            .iter()
            .filter(columns)
            .map(|o| (&o.name, &o.strict))
            .collect();
        if before.is_empty() || before == after {
            continue;
        }
        let gone = before.keys().any(|name| !after.contains_key(name));
        let came = after.keys().any(|name| !before.contains_key(name));
        if gone && came {
            // Perhaps renamed, and foreign keys of other tables name it too.
            return None;
        }
        changed.push(oid);
    }
    Some(changed)
}

fn by_group(items: Vec<Item>) -> Groups {
    let mut groups: BTreeMap<Group, Vec<Object>> = BTreeMap::new();
    for item in items {
        groups
            .entry(Group::from(item.relation))
            .or_default()
            .push(item.object);
    }
    groups.into_iter().collect()
}

fn space_names(items: &[Item]) -> BTreeMap<u32, (Kind, String)> {
    items
        .iter()
        .filter(|item| item.relation == 0 && item.object.kind != Kind::Comment)
        .map(|item| (item.oid, (item.object.kind, item.object.name.clone())))
        .collect()
}

impl Look {
    /// Whether what was written can be with the relations whose own row was written.
    fn is_near(&self) -> bool {
        let read = [0, CONSTRAINT, INDEX, TRIGGER, DEFAULT, TYPE];
        let elsewhere = |(catalog, &rows): (usize, &i64)| rows != 0 && !read.contains(&catalog);
        !self.spaces
            && !self.comments
            && self.wanted[0] != 0
            && !self.wanted.iter().enumerate().any(elsewhere)
    }

    /// Whether these rows are all that was written, but for the relations' own.
    fn explained_by(&self, found: &[i64]) -> bool {
        let explained = |(wanted, found): (&i64, &i64)| *wanted == 0 || wanted == found;
        self.wanted.iter().zip(found).skip(1).all(explained)
    }
}

impl Counts {
    /// From the rows of a look, with the settings as they were, if they were changed.
    fn of_rows(rows: Vec<LookRow>) -> (Self, Option<Vec<String>>) {
        let mut counts = Self::default();
        let mut before = None;
        for (catalog, inserted, updated, deleted, settings) in rows {
            if catalog == 0 {
                counts.counting = inserted == 1;
                counts.version = updated;
                counts.transaction = deleted;
                before = settings;
            } else {
                let writes = Writes {
                    inserted,
                    updated,
                    deleted,
                };
                counts.by_catalog.insert(catalog, writes);
            }
        }
        (counts, before)
    }

    /// What was counted since the mark, which is of the same transaction or empty.
    fn since(mut self, mark: &Self) -> Self {
        for (catalog, writes) in &mut self.by_catalog {
            let before = mark.by_catalog.get(catalog).copied().unwrap_or_default();
            writes.inserted -= before.inserted;
            writes.updated -= before.updated;
            writes.deleted -= before.deleted;
        }
        self
    }

    fn of(&self, catalog: u32) -> Writes {
        self.by_catalog.get(&catalog).copied().unwrap_or_default()
    }

    fn verdict(&self) -> Verdict {
        if !self.counting {
            return Verdict::Everything;
        }
        let local = LOCAL.map(|catalog| self.of(catalog));
        let spaces = SPACES.map(|catalog| self.of(catalog));
        let all = local.iter().chain(&spaces);
        if all.clone().any(|w| w.deleted != 0)
            || spaces.iter().any(|w| w.updated != 0)
            || GLOBAL.iter().any(|&catalog| self.of(catalog).moved())
            || local[RULE].updated != 0
            || local[INHERITS].updated != 0
        {
            return Verdict::Everything;
        }
        if !all.into_iter().any(Writes::moved) {
            return Verdict::Nothing;
        }
        // Rows that were only inserted can be counted; of those updated only the last is left.
        let mut wanted = local.map(|w| if w.updated == 0 { w.inserted } else { -1 });
        // A column that comes with its relation, or later, is told by the relation's own row. A
        // default of a new column is one more update, and told by the default's row.
        let explained = if DEFAULT_IS_ONE_UPDATE.contains(&self.version) {
            local[DEFAULT].inserted
        } else {
            0
        };
        if [0, explained].contains(&local[ATTRIBUTE].updated) {
            wanted[ATTRIBUTE] = 0;
        }
        // A new overload can change how calls of its namesakes are written; a replaced function
        // cannot, as long as it keeps its name.
        wanted[FUNCTION] = local[FUNCTION].inserted;
        Verdict::Look(Look {
            wanted: wanted.to_vec(),
            spaces: local[FUNCTION].moved() || spaces.iter().any(Writes::moved),
            comments: local[DESCRIPTION].moved(),
        })
    }
}

impl Writes {
    const fn moved(&self) -> bool {
        self.inserted != 0 || self.updated != 0 || self.deleted != 0
    }
}
