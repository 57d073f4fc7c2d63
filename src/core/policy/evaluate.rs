//! Whether a policy lets a request through, as AWS decides it: an explicit Deny wins, then an Allow, and nothing is allowed otherwise.

use super::condition::Context;
use super::document::{Document, Effect, Globs, Principal, Principals, Statement};
use super::{Truth, glob};

#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub who: &'a Principal,
    pub action: &'a str,
    pub resource: Resource<'a>,
    pub context: &'a Context,
}

#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    One(&'a str),
    /// Every resource that fits a pattern; what holds of some of them is unknown.
    Every(&'a str),
}

/// What could not be told, and of which statement; without one, of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub statement: Option<usize>,
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// By this statement.
    Allowed(usize),
    /// By this statement; without one, because nothing allows it.
    Denied(Option<usize>),
    Unknown(Vec<Doubt>),
}

/// Judges one request against one policy. What an identity policy, an ACL or a service control policy adds is not asked.
pub fn evaluate(document: &Document, request: &Request<'_>) -> Verdict {
    let (mut allow, mut deny) = ((Truth::No, 0), (Truth::No, 0));
    let mut doubts: Vec<Doubt> =
        document.doubts.iter().map(|what| Doubt { statement: None, what: what.clone() }).collect();
    for statement in &document.statements {
        let answer = statement.applies(request);
        if answer == Truth::Unknown {
            let unknown = statement.unknown(request);
            doubts.extend(unknown.into_iter().map(|what| Doubt { statement: Some(statement.index), what }));
        }
        for (effect, found) in [(Effect::Allow, &mut allow), (Effect::Deny, &mut deny)] {
            let may_be = statement.effect == Some(effect) || !statement.doubts.is_empty();
            if may_be && answer > found.0 {
                *found = (answer, statement.index);
            }
        }
    }
    match (deny.0, allow.0) {
        (Truth::Yes, _) => Verdict::Denied(Some(deny.1)),
        // A document with doubts of its own may hold any statement.
        _ if !document.doubts.is_empty() => Verdict::Unknown(doubts),
        (_, Truth::No) => Verdict::Denied(None),
        (Truth::No, Truth::Yes) => Verdict::Allowed(allow.1),
        _ => Verdict::Unknown(doubts),
    }
}

impl Statement {
    /// Whether it speaks of this request.
    pub fn applies(&self, request: &Request<'_>) -> Truth {
        if !self.doubts.is_empty() {
            return Truth::Unknown;
        }
        let named = self.names(request.who);
        // Most statements speak of somebody or something else.
        if named == Truth::No || self.does(request.action) == Truth::No {
            return Truth::No;
        }
        named.and(self.reaches(request.resource)).and(self.holds(request.context))
    }

    pub fn names(&self, who: &Principal) -> Truth {
        match &self.principals {
            Principals::Only(list) => named(list, who),
            Principals::AllBut(list) => match (named(list, who), who) {
                (Truth::No, _) => Truth::Yes,
                (Truth::Yes, Principal::Service(_) | Principal::Anonymous | Principal::Canonical(_)) => Truth::No,
                // Whether a session is excepted depends on its role and account being listed beside it.
                _ => Truth::Unknown,
            },
        }
    }

    pub fn does(&self, action: &str) -> Truth {
        let action = action.to_ascii_lowercase();
        let listed = self.actions.patterns.iter().any(|pattern| glob::matches(pattern, &action));
        (listed != self.actions.except).into()
    }

    pub fn reaches(&self, resource: Resource<'_>) -> Truth {
        let listed = Truth::any(self.resources.patterns.iter().map(|pattern| self.resources.reach(pattern, resource)));
        if self.resources.except { !listed } else { listed }
    }

    pub fn holds(&self, context: &Context) -> Truth {
        Truth::all(self.conditions.iter().map(|condition| condition.holds(context)))
    }

    /// Why `applies` does not know.
    pub fn unknown(&self, request: &Request<'_>) -> Vec<String> {
        if !self.doubts.is_empty() {
            return self.doubts.clone();
        }
        let mut all = Vec::new();
        if self.names(request.who) == Truth::Unknown {
            all.push(format!("whether it means {}", request.who));
        }
        if self.reaches(request.resource) == Truth::Unknown {
            all.push("which resources it reaches".into());
        }
        let conditions = self.conditions.iter().filter(|condition| condition.holds(request.context) == Truth::Unknown);
        all.extend(conditions.map(|condition| format!("{} {}", condition.name, condition.key)));
        all
    }
}

impl Globs {
    fn reach(&self, pattern: &str, resource: Resource<'_>) -> Truth {
        let widened = self.variables.then(|| widen(pattern)).flatten();
        match (resource, widened) {
            (Resource::One(text), None) => glob::matches(pattern, text).into(),
            (Resource::One(text), Some(wide)) if glob::matches(&wide, text) => Truth::Unknown,
            (Resource::Every(texts), None) if glob::covers(pattern, texts) => Truth::Yes,
            (Resource::Every(texts), None) if glob::intersect(pattern, texts) => Truth::Unknown,
            (Resource::Every(texts), Some(wide)) if glob::intersect(&wide, texts) => Truth::Unknown,
            _ => Truth::No,
        }
    }
}

/// A pattern with its policy variables replaced by what they could be, which is anything.
pub fn widen(pattern: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), pattern);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        out.push('*');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    (out != pattern).then_some(out)
}

/// Whether a list of principals means who asks: for a group, all of it.
fn named(list: &[Principal], who: &Principal) -> Truth {
    Truth::any(list.iter().map(|listed| means(listed, who)))
}

pub fn means(listed: &Principal, who: &Principal) -> Truth {
    use Principal::{Account, Anonymous, Arn, Canonical, Deleted, Everyone};
    match (listed, who) {
        (Everyone, _) => Truth::Yes,
        (Deleted(_), _) | (_, Anonymous) => Truth::No,
        (_, Everyone) => Truth::Unknown,
        (Arn(listed), Arn(who)) => (listed == who || is_session_of(listed, who)).into(),
        (Account(listed), Arn(who)) => (super::document::account_of(who) == Some(*listed)).into(),
        (Arn(listed), Account(who)) if super::document::account_of(listed) == Some(*who) => Truth::Unknown,
        // A canonical id is an account's, and nothing says which one's.
        (Canonical(listed), Canonical(who)) => (listed == who).into(),
        (Canonical(_), Account(_) | Arn(_)) | (Account(_) | Arn(_), Canonical(_)) => Truth::Unknown,
        _ => (listed == who).into(),
    }
}

/// A session's ARN has its role's name and not its path; names are unique in an account.
fn is_session_of(role: &str, session: &str) -> bool {
    let (role, session): (Vec<&str>, Vec<&str>) = (role.splitn(6, ':').collect(), session.splitn(6, ':').collect());
    let ([_, _, "iam", _, account, role], [_, _, "sts", _, same, session]) = (role.as_slice(), session.as_slice())
    else {
        return false;
    };
    let name = role.strip_prefix("role/").and_then(|path| path.rsplit('/').next());
    let of = session.strip_prefix("assumed-role/").and_then(|rest| rest.split('/').next());
    account == same && name.is_some() && name == of
}

#[cfg(test)]
mod tests {
    use super::super::condition::Given;
    use super::*;

    fn policy(statements: &str) -> Document {
        Document::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#))
    }

    fn verdict(document: &Document, who: &str, action: &str, key: &str, context: &Context) -> Verdict {
        let who = Principal::parse(who).unwrap_or(Principal::Anonymous);
        let resource = format!("arn:aws:s3:::b/{key}");
        evaluate(document, &Request { who: &who, action, resource: Resource::One(&resource), context })
    }

    const PUT: &str =
        r#"{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:Put*","Resource":"arn:aws:s3:::b/a?/*"}"#;
    const ROLE: &str = "arn:aws:iam::111122223333:role/x";

    #[test]
    fn an_explicit_deny_wins_and_nothing_is_allowed_by_silence() {
        let nothing = Context::complete();
        let put = policy(PUT);
        assert_eq!(verdict(&put, ROLE, "S3:putobject", "a1/k", &nothing), Verdict::Allowed(0));
        assert_eq!(verdict(&put, ROLE, "s3:GetObject", "a1/k", &nothing), Verdict::Denied(None));
        assert_eq!(verdict(&put, ROLE, "s3:PutObject", "a/k", &nothing), Verdict::Denied(None));
        assert_eq!(verdict(&put, "444455556666", "s3:PutObject", "a1/k", &nothing), Verdict::Denied(None));
        let both = policy(&format!(
            r#"{PUT},{{"Effect":"Deny","Principal":"*","NotAction":"s3:Get*","Resource":"arn:aws:s3:::b/*","Condition":{{"Bool":{{"aws:SecureTransport":"false"}}}}}}"#
        ));
        let plain = Context::complete().with("aws:SecureTransport", Given::is("false"));
        assert_eq!(verdict(&both, ROLE, "s3:PutObject", "a1/k", &plain), Verdict::Denied(Some(1)));
        assert_eq!(verdict(&both, ROLE, "s3:PutObject", "a1/k", &nothing), Verdict::Allowed(0));
        let unsaid = verdict(&both, ROLE, "s3:PutObject", "a1/k", &Context::default());
        let Verdict::Unknown(doubts) = unsaid else { panic!("{unsaid:?}") };
        assert_eq!(doubts, [Doubt { statement: Some(1), what: "Bool aws:SecureTransport".into() }]);
    }

    #[test]
    fn what_cannot_be_read_is_neither_allowed_nor_denied() {
        let nothing = Context::complete();
        let odd = policy(&PUT.replace("Allow", "Permit"));
        assert!(matches!(verdict(&odd, "444455556666", "s3:GetObject", "k", &nothing), Verdict::Unknown(_)));
        let broken = Document::parse("{");
        assert!(matches!(verdict(&broken, ROLE, "s3:GetObject", "k", &nothing), Verdict::Unknown(_)));
    }

    #[test]
    fn a_variable_may_be_anything() {
        let own = policy(&PUT.replace("a?/*", "${aws:username}/*"));
        assert!(matches!(verdict(&own, ROLE, "s3:PutObject", "a1/k", &Context::complete()), Verdict::Unknown(_)));
        let old = Document::parse(&format!(r#"{{"Statement":{}}}"#, PUT.replace("a?/*", "${aws:username}/*")));
        assert_eq!(verdict(&old, ROLE, "s3:PutObject", "a1/k", &Context::complete()), Verdict::Denied(None));
    }

    #[test]
    fn a_principal_is_meant_by_its_account_its_role_and_itself() {
        let arn = |text: &str| Principal::Arn(text.into());
        let session = arn("arn:aws:sts::111122223333:assumed-role/x/me");
        assert_eq!(means(&arn("arn:aws:iam::111122223333:role/path/x"), &session), Truth::Yes);
        assert_eq!(means(&arn("arn:aws:iam::444455556666:role/x"), &session), Truth::No);
        assert_eq!(means(&arn("arn:aws:iam::111122223333:role/y"), &session), Truth::No);
        let account = Principal::parse("111122223333").unwrap();
        assert_eq!(means(&account, &session), Truth::Yes);
        assert_eq!(means(&arn(ROLE), &account), Truth::Unknown);
        assert_eq!(means(&account, &Principal::Everyone), Truth::Unknown);
        assert_eq!(means(&account, &Principal::Anonymous), Truth::No);
        assert_eq!(means(&Principal::Everyone, &Principal::Anonymous), Truth::Yes);
    }

    #[test]
    fn nobody_knows_whom_not_principal_excepts_of_an_account_that_it_lists() {
        let keeper = r#"{"Effect":"Deny","NotPrincipal":{"AWS":["111122223333"],"Service":"s.amazonaws.com"},"Action":"s3:*","Resource":"*"}"#;
        let deny = &policy(keeper).statements[0];
        let names = |who: &str| deny.names(&Principal::parse(who).unwrap());
        assert_eq!(names(ROLE), Truth::Unknown);
        assert_eq!(names("111122223333"), Truth::Unknown);
        assert_eq!(names("*"), Truth::Unknown);
        assert_eq!(names("444455556666"), Truth::Yes);
        assert_eq!(names("s.amazonaws.com"), Truth::No);
        assert_eq!(names("cloudtrail.amazonaws.com"), Truth::Yes);
        assert_eq!(deny.names(&Principal::Anonymous), Truth::Yes);
    }

    #[test]
    fn a_pattern_of_resources_is_reached_whole_in_part_or_not_at_all() {
        let put = &policy(PUT).statements[0];
        let reaches = |pattern: &str| put.reaches(Resource::Every(pattern));
        assert_eq!(reaches("arn:aws:s3:::b/a1/*"), Truth::Yes);
        assert_eq!(reaches("arn:aws:s3:::b/*"), Truth::Unknown);
        assert_eq!(reaches("arn:aws:s3:::b/b/*"), Truth::No);
    }
}
