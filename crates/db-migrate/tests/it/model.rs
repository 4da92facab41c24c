//! Random migration sets, edits, orders and targets, against a model of the ledger.

mod sqlite {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    use db_migrate::{Error, MigrateOptions, Migrator, Target};
    use db_testkit::{TestConn, TestDb};
    use proptest::prelude::*;

    use crate::support::{Folder, applied, diesel_versions, tables};

    /// One thing that someone does to a folder or a database.
    #[derive(Debug, Clone)]
    enum Act {
        /// A new file, anywhere in the order.
        Add(u8),
        /// A comment in an applied or pending file.
        Comment(u8),
        /// Another column in a file.
        Edit(u8),
        /// All that is pending, in order only, or in any order.
        Migrate { any_order: bool },
        /// Up to a position.
        MigrateTo(u8),
        /// Down to a position.
        RollbackTo(u8),
        /// Some steps back.
        Back(u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0..40_u8).prop_map(Act::Add),
            1 => any::<u8>().prop_map(Act::Comment),
            1 => any::<u8>().prop_map(Act::Edit),
            4 => any::<bool>().prop_map(|any_order| Act::Migrate { any_order }),
            2 => (0..12_u8).prop_map(Act::MigrateTo),
            2 => (0..12_u8).prop_map(Act::RollbackTo),
            1 => (1..4_u8).prop_map(Act::Back),
        ]
    }

    /// What should be so, without a database.
    #[derive(Default)]
    struct Model {
        /// Version to the generation of its meaning.
        files: BTreeMap<u8, u32>,
        /// Applied versions, in order, with the generation that was applied.
        applied: Vec<(u8, u32)>,
    }

    impl Model {
        fn is_applied(&self, version: u8) -> bool {
            self.applied.iter().any(|(v, _)| *v == version)
        }

        fn pending(&self) -> Vec<u8> {
            self.files
                .keys()
                .copied()
                .filter(|v| !self.is_applied(*v))
                .collect()
        }

        fn is_edited(&self) -> bool {
            self.applied
                .iter()
                .any(|(v, generation)| self.files[v] != *generation)
        }

        fn is_out_of_order(&self) -> bool {
            let newest = self.applied.iter().map(|(v, _)| *v).max();
            self.pending()
                .iter()
                .any(|p| newest.is_some_and(|n| *p < n))
        }

        fn apply(&mut self, versions: &[u8]) {
            for version in versions {
                self.applied.push((*version, self.files[version]));
            }
        }
    }

    fn name(version: u8) -> String {
        format!("202401010000{version:02}_t{version}")
    }

    fn write(folder: &Folder, version: u8, generation: u32, comment: &str) {
        folder.add(
            &name(version),
            &format!("{comment}CREATE TABLE t{version} (g{generation} INTEGER);"),
            &format!("DROP TABLE t{version};"),
        );
    }

    struct World {
        folder: Folder,
        conn: TestConn,
        model: Model,
    }

    impl World {
        fn migrator(&self) -> Migrator {
            self.folder.migrator()
        }

        fn act(&mut self, act: &Act) {
            match *act {
                Act::Add(version) => {
                    if let Entry::Vacant(free) = self.model.files.entry(version) {
                        free.insert(0);
                        write(&self.folder, version, 0, "");
                    }
                }
                Act::Comment(pick) => {
                    if let Some((version, generation)) = self.pick(pick) {
                        write(&self.folder, version, generation, "-- a comment\n");
                    }
                }
                Act::Edit(pick) => {
                    if let Some((version, generation)) = self.pick(pick) {
                        self.model.files.insert(version, generation + 1);
                        write(&self.folder, version, generation + 1, "");
                    }
                }
                Act::Migrate { any_order } => self.migrate(None, any_order),
                Act::MigrateTo(position) => self.migrate(Some(usize::from(position)), true),
                Act::RollbackTo(position) => self.rollback_to(usize::from(position)),
                Act::Back(steps) => self.back(usize::from(steps)),
            }
        }

        fn pick(&self, pick: u8) -> Option<(u8, u32)> {
            let at = usize::from(pick) % self.model.files.len().max(1);
            self.model.files.iter().nth(at).map(|(v, g)| (*v, *g))
        }

        fn migrate(&mut self, position: Option<usize>, any_order: bool) {
            let options = MigrateOptions {
                target: position.map(Target::Ordinal),
                allow_out_of_order: any_order,
                ..MigrateOptions::default()
            };
            let outcome = self.migrator().migrate(self.conn.conn(), &options);
            let versions: Vec<u8> = self.model.files.keys().copied().collect();
            let (model, last) = (&mut self.model, position.unwrap_or(versions.len()));
            if model.is_edited() || (!any_order && model.is_out_of_order()) {
                assert!(matches!(outcome, Err(Error::History(_))), "{outcome:?}");
            } else if last > versions.len() {
                assert!(matches!(outcome, Err(Error::Target(_))), "{outcome:?}");
            } else if versions[last..].iter().any(|v| model.is_applied(*v)) {
                assert!(
                    matches!(outcome, Err(Error::WrongDirection(_))),
                    "{outcome:?}"
                );
            } else {
                let wanted: Vec<u8> = versions[..last]
                    .iter()
                    .copied()
                    .filter(|v| !model.is_applied(*v))
                    .collect();
                assert_eq!(outcome.unwrap().steps.len(), wanted.len());
                model.apply(&wanted);
            }
        }

        fn rollback_to(&mut self, position: usize) {
            let target = Target::Ordinal(position);
            let outcome = self.migrator().rollback(self.conn.conn(), Some(&target));
            let versions: Vec<u8> = self.model.files.keys().copied().collect();
            if position > versions.len() {
                assert!(matches!(outcome, Err(Error::Target(_))), "{outcome:?}");
            } else if position > 0 && !self.model.is_applied(versions[position - 1]) {
                assert!(
                    matches!(outcome, Err(Error::WrongDirection(_))),
                    "{outcome:?}"
                );
            } else {
                let beyond = &versions[position..];
                self.model.applied.retain(|(v, _)| !beyond.contains(v));
                outcome.unwrap();
            }
        }

        fn back(&mut self, steps: usize) {
            let outcome = self
                .migrator()
                .rollback(self.conn.conn(), Some(&Target::Back(steps)));
            if steps > self.model.applied.len() {
                assert!(
                    matches!(outcome, Err(Error::WrongDirection(_))),
                    "{outcome:?}"
                );
            } else {
                self.model
                    .applied
                    .truncate(self.model.applied.len() - steps);
                outcome.unwrap();
            }
        }

        fn check(&mut self) {
            let version = |v: u8| format!("202401010000{v:02}");
            let migrator = self.migrator();
            let expected: Vec<String> = self
                .model
                .applied
                .iter()
                .map(|(v, _)| version(*v))
                .collect();
            assert_eq!(applied(&migrator, &mut self.conn), expected);
            if !expected.is_empty() {
                let mut sorted = expected.clone();
                sorted.sort();
                assert_eq!(diesel_versions(&mut self.conn), sorted);
            }
            let mut made: Vec<String> = self
                .model
                .applied
                .iter()
                .map(|(v, _)| format!("t{v}"))
                .collect();
            made.sort();
            assert_eq!(tables(&mut self.conn), made);
            let pending: Vec<String> = migrator
                .pending(self.conn.conn())
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            let expected: Vec<String> = self.model.pending().into_iter().map(version).collect();
            assert_eq!(pending, expected);
            let found = migrator.validate(self.conn.conn(), None).unwrap();
            assert!(found.drift.differences().is_empty(), "{:?}", found.drift);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_ledger_tells_what_happened(acts in prop::collection::vec(act(), 1..24)) {
            let db = TestDb::sqlite();
            let mut world = World {
                folder: Folder::new(),
                conn: db.connect(),
                model: Model::default(),
            };
            for act in &acts {
                world.act(act);
                world.check();
            }
        }
    }
}
