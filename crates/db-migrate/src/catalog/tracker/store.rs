//! Objects in groups that are exchanged as a whole, with running fingerprints.

use std::collections::HashMap;

use super::Delta;
use crate::catalog::fingerprint::{Digest, Sum};
use crate::catalog::{Kind, Mode, Object};

/// What is read together: a row of `sqlite_schema`, or a PostgreSQL relation.
pub(super) type Group = i64;

/// The objects of some groups.
pub(super) type Groups = Vec<(Group, Vec<Object>)>;

/// New contents of groups.
#[derive(Debug)]
pub(super) enum Updates {
    /// These groups have these objects now; the others are as they were.
    Some(Groups),
    /// There are only these groups.
    All(Groups),
}

#[derive(Debug, Clone)]
struct Stored {
    object: Object,
    strict: Digest,
    loose: Digest,
}

/// All objects, by group.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    groups: HashMap<Group, Vec<Stored>>,
    strict: Sum,
    loose: Sum,
}

impl Store {
    /// All objects, in no order.
    pub(super) fn objects(&self) -> Vec<Object> {
        self.groups
            .values()
            .flatten()
            .map(|stored| stored.object.clone())
            .collect()
    }

    pub(super) fn strict_fingerprint(&self) -> String {
        self.strict.fingerprint()
    }

    pub(super) fn loose_fingerprint(&self) -> String {
        self.loose.fingerprint()
    }

    /// Exchanges groups and says what that changes.
    pub(super) fn apply(&mut self, updates: Updates) -> Delta {
        let mut old: HashMap<(Kind, String), Vec<Stored>> = HashMap::new();
        let mut take = |stored: Stored| {
            let key = (stored.object.kind, stored.object.name.clone());
            old.entry(key).or_default().push(stored);
        };
        let updates = match updates {
            Updates::Some(updates) => {
                for (group, _) in &updates {
                    self.groups
                        .remove(group)
                        .into_iter()
                        .flatten()
                        .for_each(&mut take);
                }
                updates
            }
            Updates::All(updates) => {
                self.groups
                    .drain()
                    .flat_map(|(_, stored)| stored)
                    .for_each(&mut take);
                updates
            }
        };
        let mut upserted = Vec::new();
        for (group, objects) in updates {
            let mut kept = Vec::with_capacity(objects.len());
            for object in objects {
                // The same name in another group is the same object made anew.
                let key = (object.kind, object.name.clone());
                match old.get_mut(&key).and_then(Vec::pop) {
                    Some(stored) if stored.object == object => kept.push(stored),
                    before => {
                        if let Some(before) = before {
                            self.strict.remove(&before.strict);
                            self.loose.remove(&before.loose);
                        }
                        upserted.push(object.clone());
                        kept.push(self.count(object));
                    }
                }
            }
            if !kept.is_empty() {
                self.groups.entry(group).or_default().extend(kept);
            }
        }
        let mut removed = Vec::new();
        for (key, stored) in old {
            for before in &stored {
                self.strict.remove(&before.strict);
                self.loose.remove(&before.loose);
            }
            if !stored.is_empty() {
                removed.push(key);
            }
        }
        self.delta(upserted, removed)
    }

    /// What changed since the store held `old`.
    pub(super) fn since<'o>(&self, old: impl Iterator<Item = &'o Object>) -> Delta {
        let mut before = Self::default();
        before.apply(Updates::All(vec![(0, old.cloned().collect())]));
        before.apply(Updates::All(vec![(0, self.objects())]))
    }

    fn count(&mut self, object: Object) -> Stored {
        let (strict, loose) = (object.digest(Mode::Strict), object.digest(Mode::Loose));
        self.strict.add(&strict);
        self.loose.add(&loose);
        Stored {
            object,
            strict,
            loose,
        }
    }

    fn delta(&self, mut upserted: Vec<Object>, mut removed: Vec<(Kind, String)>) -> Delta {
        upserted.sort_unstable();
        removed.sort_unstable();
        Delta {
            upserted,
            removed,
            strict_fingerprint: self.strict_fingerprint(),
            loose_fingerprint: self.loose_fingerprint(),
        }
    }
}
