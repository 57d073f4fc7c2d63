//! The table that Terraform makes of the archive is the one that `archive ddl glue` prints.

use std::path::Path;

use serde_json::Value;
use trailwarden::archive::ddl::{Engine, ddl};

fn of_terraform() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform/modules/history/columns.json");
    columns(&serde_json::from_slice(&std::fs::read(path).expect("columns")).expect("JSON"), "name", "type")
}

fn columns(list: &Value, name: &str, kind: &str) -> Vec<(String, String)> {
    let text = |one: &Value, member: &str| one[member].as_str().expect("a text").to_owned();
    list.as_array().expect("a list").iter().map(|one| (text(one, name), text(one, kind))).collect()
}

#[test]
fn glue_is_told_the_same_columns_by_terraform_and_by_the_program() {
    let table: Value = serde_json::from_str(&ddl(Engine::Glue, "s3://acme-archive/v1/")).expect("JSON");
    let printed = columns(&table["StorageDescriptor"]["Columns"], "Name", "Type");
    assert!(printed.len() > 20, "{printed:?}");
    assert_eq!(of_terraform(), printed);
}
