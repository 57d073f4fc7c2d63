//! AWS Organizations with account numbers and a tree of one's own choice, pages that are empty, `State`, and throttling.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::stub::{Answer, Asked, Stub};

/// Entries of a page where nothing else is said; before each page comes one without any.
const PER_PAGE: usize = 2;
pub const ROOT: &str = "r-ab12";
const MANAGEMENT: &str = "999988887777";

/// As Organizations knows an account.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: String,
    pub name: String,
    pub state: &'static str,
    /// The id of its unit.
    pub parent: String,
    /// Seconds since the epoch.
    pub joined: i64,
}

/// What the stub answers from; a test changes it as it goes.
#[derive(Debug, Default)]
pub struct Organization {
    pub id: String,
    /// Id, name and the unit above.
    pub units: Vec<(String, String, String)>,
    pub accounts: Vec<Account>,
    /// Of so many calls one is let through.
    pub throttled: u32,
    /// So many of the next calls are throttled.
    pub refusals: u32,
    /// Entries of a page.
    pub per_page: usize,
    /// Operations that are denied.
    pub denied: Vec<&'static str>,
    pub calls: u32,
}

/// A shared organization behind an endpoint.
pub struct OrganizationStub {
    pub stub: Stub,
    pub organization: Arc<Mutex<Organization>>,
}

impl OrganizationStub {
    pub fn start(organization: Organization) -> Self {
        let organization = Arc::new(Mutex::new(organization));
        let known = Arc::clone(&organization);
        let stub = Stub::start(move |asked| known.lock().expect("nobody panics with it").answer(asked));
        Self { stub, organization }
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Organization) -> T) -> T {
        change(&mut self.organization.lock().expect("nobody panics with it"))
    }
}

/// `accounts`: number, name. All lie in the root.
pub fn organization_stub(id: &str, accounts: Vec<(String, String)>) -> Stub {
    let account = |(id, name)| Account { id, name, state: "ACTIVE", parent: ROOT.into(), joined: 1_600_000_000 };
    let accounts = accounts.into_iter().map(account).collect();
    OrganizationStub::start(Organization { id: id.into(), accounts, ..Organization::default() }).stub
}

impl Organization {
    fn answer(&mut self, asked: &Asked) -> Answer {
        self.calls += 1;
        if self.refusals > 0 {
            self.refusals -= 1;
            return Answer::json_error(400, "TooManyRequestsException", "Rate exceeded");
        }
        if self.throttled > 0 && !self.calls.is_multiple_of(self.throttled) {
            return Answer::json_error(400, "TooManyRequestsException", "Rate exceeded");
        }
        if self.denied.contains(&asked.operation.as_str()) {
            return Answer::json_error(400, "AccessDeniedException", "You don't have permissions.");
        }
        let body = asked.json();
        let parent = body["ParentId"].as_str().unwrap_or_default();
        let under = |above: &str| above == parent;
        let per_page = if self.per_page == 0 { PER_PAGE } else { self.per_page };
        let page = |body: &Value, name: &str, all: Vec<Value>| page(body, name, &all, per_page);
        match asked.operation.as_str() {
            "DescribeOrganization" => Answer::json(&json!({ "Organization": { "Id": self.id } })),
            "ListRoots" => page(&body, "Roots", vec![json!({ "Id": ROOT, "Name": "Root" })]),
            "ListOrganizationalUnitsForParent" => {
                let units = self.units.iter().filter(|(.., above)| under(above));
                let units = units.map(|(id, name, _)| json!({ "Id": id, "Name": name }));
                page(&body, "OrganizationalUnits", units.collect())
            }
            "ListAccountsForParent" => {
                let accounts = self.accounts.iter().filter(|account| under(&account.parent)).map(Account::told);
                page(&body, "Accounts", accounts.collect())
            }
            "ListAccounts" => page(&body, "Accounts", self.accounts.iter().map(Account::told).collect()),
            "ListParents" => match self.accounts.iter().find(|account| body["ChildId"] == account.id.as_str()) {
                Some(account) => page(&body, "Parents", vec![json!({ "Id": account.parent })]),
                None => Answer::json_error(400, "ChildNotFoundException", "It is not there."),
            },
            _ => Answer::json_error(400, "UnknownOperationException", "it is not known here"),
        }
    }
}

impl Account {
    fn told(&self) -> Value {
        let (id, name) = (&self.id, &self.name);
        json!({
            "Id": id,
            "Arn": format!("arn:aws:organizations::{MANAGEMENT}:account/o-example/{id}"),
            "Email": format!("{name}@kestrel.example"),
            "Name": name,
            "State": self.state,
            "JoinedMethod": "CREATED",
            "JoinedTimestamp": self.joined as f64 + 0.5,
        })
    }
}

fn page(asked: &Value, name: &str, all: &[Value], per_page: usize) -> Answer {
    let page = asked["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0usize);
    let from = page / 2 * per_page;
    let listed: &[Value] = if page.is_multiple_of(2) { &[] } else { &all[from..all.len().min(from + per_page)] };
    let more = !all.is_empty() && (page.is_multiple_of(2) || from + per_page < all.len());
    Answer::json(&json!({ name: listed, "NextToken": more.then(|| (page + 1).to_string()) }))
}
