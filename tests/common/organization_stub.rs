//! AWS Organizations' ListAccounts with account numbers of one's own choice, pages that are empty, and `State`.

use serde_json::{Value, json};

use super::stub::{Answer, Stub};

/// Two accounts a page, and before each page one without any.
const PER_PAGE: usize = 2;

/// `accounts`: number, name.
pub fn organization_stub(accounts: Vec<(String, String)>) -> Stub {
    Stub::start(move |asked| {
        if asked.operation != "ListAccounts" {
            return Answer::json_error(400, "UnknownOperationException", "only ListAccounts is known");
        }
        let page = asked.json()["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0usize);
        let from = page / 2 * PER_PAGE;
        let listed: Vec<Value> = if page % 2 == 0 {
            Vec::new()
        } else {
            accounts.iter().skip(from).take(PER_PAGE).map(|(id, name)| account(id, name)).collect()
        };
        let more = page % 2 == 0 || from + PER_PAGE < accounts.len();
        Answer::json(&json!({ "Accounts": listed, "NextToken": more.then(|| (page + 1).to_string()) }))
    })
}

fn account(id: &str, name: &str) -> Value {
    json!({
        "Id": id,
        "Arn": format!("arn:aws:organizations::999988887777:account/o-example/{id}"),
        "Email": format!("{name}@kestrel.example"),
        "Name": name,
        "State": "ACTIVE",
        "JoinedMethod": "CREATED",
        "JoinedTimestamp": 1_600_000_000.5,
    })
}
