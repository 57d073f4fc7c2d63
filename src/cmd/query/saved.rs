//! Questions that come with the program. Each is a file of SQL that begins with what it is:
//!
//! ```text
//! -- title: what the list shows
//! -- question: what it wants to know
//! -- param: NAME text what it is
//! ```
//!
//! Parameters are bound as texts; they never become SQL.

/// By name.
pub const ALL: &[(&str, &str)] = &[
    ("access-key", include_str!("../../../config/queries/access-key.sql")),
    ("assumed-roles", include_str!("../../../config/queries/assumed-roles.sql")),
    ("bucket", include_str!("../../../config/queries/bucket.sql")),
    ("console-logins", include_str!("../../../config/queries/console-logins.sql")),
    ("days", include_str!("../../../config/queries/days.sql")),
    ("denied", include_str!("../../../config/queries/denied.sql")),
    ("errors", include_str!("../../../config/queries/errors.sql")),
    ("failed-logins", include_str!("../../../config/queries/failed-logins.sql")),
    ("first-seen", include_str!("../../../config/queries/first-seen.sql")),
    ("instances", include_str!("../../../config/queries/instances.sql")),
    ("integrity", include_str!("../../../config/queries/integrity.sql")),
    ("networks", include_str!("../../../config/queries/networks.sql")),
    ("no-mfa", include_str!("../../../config/queries/no-mfa.sql")),
    ("old-tls", include_str!("../../../config/queries/old-tls.sql")),
    ("open-buckets", include_str!("../../../config/queries/open-buckets.sql")),
    ("permissions", include_str!("../../../config/queries/permissions.sql")),
    ("principal", include_str!("../../../config/queries/principal.sql")),
    ("resource", include_str!("../../../config/queries/resource.sql")),
    ("root", include_str!("../../../config/queries/root.sql")),
    ("secrets", include_str!("../../../config/queries/secrets.sql")),
    ("security-group", include_str!("../../../config/queries/security-group.sql")),
    ("trail-changes", include_str!("../../../config/queries/trail-changes.sql")),
];

/// A parameter of a question.
struct Parameter<'q> {
    name: &'q str,
    what: &'q str,
}

fn header<'q>(sql: &'q str, key: &str) -> impl Iterator<Item = &'q str> {
    let before = format!("-- {key}: ");
    sql.lines().take_while(|line| line.starts_with("--")).filter_map(move |line| line.strip_prefix(before.as_str()))
}

fn parameters(sql: &str) -> Vec<Parameter<'_>> {
    fn parameter(line: &str) -> Option<Parameter<'_>> {
        let mut parts = line.splitn(3, ' ');
        let (name, "text", what) = (parts.next()?, parts.next()?, parts.next()?) else { return None };
        Some(Parameter { name, what })
    }
    header(sql, "param").filter_map(parameter).collect()
}

/// A question by its name, with a value for each of its parameters.
pub fn find(name: &str, given: &[(String, String)]) -> Result<(String, Vec<(String, String)>), String> {
    let known = ALL.iter().find(|(known, _)| *known == name);
    let (_, sql) = known.ok_or_else(|| format!("no question is called `{name}`: --list prints all"))?;
    let parameters = parameters(sql);
    if let Some((stranger, _)) = given.iter().find(|(name, _)| parameters.iter().all(|known| known.name != name)) {
        return Err(format!("`{name}` has no parameter `{stranger}`"));
    }
    let mut values = Vec::new();
    for parameter in &parameters {
        let given = given.iter().rev().find(|(name, _)| name == parameter.name).map(|(_, value)| value.as_str());
        let value = given
            .ok_or_else(|| format!("`{name}` wants to be told --param {}=…: {}", parameter.name, parameter.what))?;
        values.push((parameter.name.to_owned(), value.to_owned()));
    }
    Ok(((*sql).to_owned(), values))
}

/// All of them, with what they want to know and to be told.
pub fn list() -> String {
    let mut text = String::new();
    for (name, sql) in ALL {
        let (title, question) = (header(sql, "title").next(), header(sql, "question").next());
        text.push_str(&format!("{name}: {}\n  {}\n", title.unwrap_or_default(), question.unwrap_or_default()));
        for parameter in parameters(sql) {
            text.push_str(&format!("  --param {}=…: {}\n", parameter.name, parameter.what));
        }
    }
    text
}
