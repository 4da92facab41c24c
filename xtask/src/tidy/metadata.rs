//! What `cargo metadata` says, as far as the checks need it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{process, workspace};

/// The packages of the workspace and all that they use, on every platform.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

/// One package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// The native library that it links.
    pub(crate) links: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or nothing.
    kind: Option<Kind>,
}

/// When a dependency is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Dependency {
    pub(crate) fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Normal)
    }
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    kind: Option<Kind>,
}

impl Metadata {
    /// Asks Cargo.
    pub(crate) fn read() -> Result<Self> {
        let mut command = workspace::cargo();
        let text = process::output(command.args(["metadata", "--format-version=1", "--locked"]))?;
        serde_json::from_str(&text).context("`cargo metadata` wrote something unexpected")
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.is_member(package))
    }

    /// Whether a package belongs to the workspace.
    pub(crate) fn is_member(&self, package: &Package) -> bool {
        self.workspace_members.contains(&package.id)
    }

    /// The names of all packages that `name` links or builds with, dev-dependencies aside.
    pub(crate) fn linked_by(&self, name: &str) -> BTreeSet<&str> {
        let names: BTreeMap<&str, &str> = self
            .packages
            .iter()
            .map(|p| (p.id.as_str(), p.name.as_str()))
            .collect();
        let edges: BTreeMap<&str, &[Edge]> = self
            .resolve
            .nodes
            .iter()
            .map(|n| (n.id.as_str(), n.deps.as_slice()))
            .collect();
        let mut waiting: Vec<&str> = self
            .packages
            .iter()
            .filter(|p| p.name == name)
            .map(|p| p.id.as_str())
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            for edge in edges.get(id).copied().unwrap_or_default() {
                let linked = edge
                    .dep_kinds
                    .iter()
                    .any(|kind| kind.kind != Some(Kind::Dev));
                if linked && seen.insert(edge.pkg.as_str()) {
                    waiting.push(&edge.pkg);
                }
            }
        }
        seen.iter()
            .filter_map(|id| names.get(id).copied())
            .collect()
    }
}

/// Builds metadata for the tests of the checks.
#[cfg(test)]
pub(crate) mod made {
    use serde_json::{Value, json};

    use super::Metadata;

    /// A workspace member with dependencies written `name`, `dev:name` or `build:name`.
    pub(crate) fn member(name: &str, dependencies: &[&str]) -> Value {
        let mut package = foreign(name, "0.1.0", Some("MIT"));
        package["id"] = json!(format!("member {name}"));
        package["dependencies"] = dependencies
            .iter()
            .map(|text| match text.split_once(':') {
                Some((kind, name)) => json!({ "name": name, "kind": kind }),
                None => json!({ "name": text, "kind": null }),
            })
            .collect();
        package
    }

    /// A package from elsewhere.
    pub(crate) fn foreign(name: &str, version: &str, license: Option<&str>) -> Value {
        json!({
            "id": format!("{name} {version}"),
            "name": name,
            "version": version,
            "license": license,
            "links": null,
            "dependencies": [],
        })
    }

    /// The whole; edges follow from the dependencies by name.
    pub(crate) fn metadata(packages: &[Value]) -> Metadata {
        let id = |name: &Value| {
            packages
                .iter()
                .find(|p| p["name"] == *name)
                .map(|p| p["id"].clone())
        };
        let nodes: Vec<Value> = packages
            .iter()
            .map(|package| {
                let deps: Vec<Value> = package["dependencies"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|d| {
                        Some(
                            json!({ "pkg": id(&d["name"])?, "dep_kinds": [{ "kind": d["kind"] }] }),
                        )
                    })
                    .collect();
                json!({ "id": package["id"], "deps": deps })
            })
            .collect();
        let members: Vec<&Value> = packages
            .iter()
            .map(|p| &p["id"])
            .filter(|id| id.as_str().unwrap().starts_with("member "))
            .collect();
        serde_json::from_value(json!({
            "packages": packages,
            "workspace_members": members,
            "resolve": { "nodes": nodes },
        }))
        .unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::made::{foreign, member, metadata};

    #[test]
    fn links_are_followed_and_dev_dependencies_are_not() {
        let mut near = foreign("near", "1.0.0", None);
        near["dependencies"] = serde_json::json!([{ "name": "far", "kind": null }]);
        let all = metadata(&[
            member("xtask", &["near", "dev:tests", "build:builder"]),
            near,
            foreign("far", "1.0.0", None),
            foreign("tests", "1.0.0", None),
            foreign("builder", "1.0.0", None),
        ]);
        let linked: Vec<_> = all.linked_by("xtask").into_iter().collect();
        assert_eq!(linked, ["builder", "far", "near"]);
    }
}
