//! Where an account stands in the organization's tree.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The root or an organizational unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unit {
    pub id: String,
    pub name: String,
}

/// The units from the root down to the one that an account lies in; empty where the source does not know them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OuPath(Vec<Unit>);

impl OuPath {
    pub fn new(units: Vec<Unit>) -> Self {
        Self(units)
    }

    /// As people write one: `Workloads/Prod`. The id of each unit is the path to it.
    pub fn of_names(path: &str) -> Self {
        let mut units: Vec<Unit> = Vec::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let id = units.last().map_or_else(|| name.to_owned(), |above| format!("{}/{name}", above.id));
            units.push(Unit { id, name: name.to_owned() });
        }
        Self(units)
    }

    pub fn units(&self) -> &[Unit] {
        &self.0
    }

    /// The unit that the account itself lies in.
    pub fn leaf(&self) -> Option<&Unit> {
        self.0.last()
    }

    pub fn is_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether it leads into a unit, which is given by its id, its name, or the end of the path to it (`Workloads/Prod`).
    pub fn is_in(&self, unit: &str) -> bool {
        (1..=self.0.len()).any(|depth| {
            let above = &self.0[..depth];
            above.last().is_some_and(|last| last.id == unit)
                || (0..depth).any(|from| names(&above[from..]).eq(unit.split('/')))
        })
    }
}

fn names(units: &[Unit]) -> impl Iterator<Item = &str> {
    units.iter().map(|unit| unit.name.as_str())
}

/// The names, `Root/Workloads/Prod`.
impl fmt::Display for OuPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&names(&self.0).collect::<Vec<_>>().join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> OuPath {
        let unit = |id: &str, name: &str| Unit { id: id.into(), name: name.into() };
        OuPath::new(vec![unit("r-ab12", "Root"), unit("ou-ab12-work", "Workloads"), unit("ou-ab12-prod", "Prod")])
    }

    #[test]
    fn a_unit_is_named_by_id_by_name_or_by_the_end_of_its_path() {
        for unit in
            ["r-ab12", "Root", "ou-ab12-work", "Root/Workloads", "Prod", "Workloads/Prod", "Root/Workloads/Prod"]
        {
            assert!(path().is_in(unit), "{unit}");
        }
        for unit in ["", "Work", "Root/Prod", "Workloads/Prod/", "/Prod", "ou-ab12", "prod"] {
            assert!(!path().is_in(unit), "{unit}");
        }
        assert!(!OuPath::default().is_in(""));
    }

    #[test]
    fn a_written_path_is_its_own_name() {
        let path = OuPath::of_names("Workloads/Prod");
        assert_eq!((path.to_string().as_str(), path.units().len()), ("Workloads/Prod", 2));
        assert_eq!(path.leaf().map(|unit| unit.id.as_str()), Some("Workloads/Prod"));
        assert!(path.is_in("Workloads") && path.is_in("Workloads/Prod") && path.is_in("Prod"));
        assert!(!OuPath::of_names("").is_known());
    }
}
