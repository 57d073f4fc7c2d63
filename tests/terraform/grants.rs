//! Terraform's table of permissions is the program's.

use serde_json::{Value, json};
use trailwarden::core::grant::GROUPS;

use crate::tool::root;

#[test]
fn the_table_is_the_programs_own() {
    let groups = GROUPS.iter().map(|group| {
        let actions: Vec<&str> = group.actions.iter().map(|(action, _)| *action).collect();
        json!({ "role": group.role.name(), "sid": group.sid, "on": format!("{:?}", group.on), "actions": actions })
    });
    let wanted: Value = groups.collect();
    let path = root().join("modules/settings/grants.json");
    let held: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("a table")).expect("JSON");
    if held == wanted {
        return;
    }
    let blessed = std::env::var_os("TRAILWARDEN_BLESS").is_some_and(|value| value == "1");
    assert!(blessed, "terraform's permissions are others; TRAILWARDEN_BLESS=1 cargo test --test terraform writes them");
    let text = serde_json::to_string_pretty(&wanted).expect("JSON");
    std::fs::write(path, text + "\n").expect("a file");
}
