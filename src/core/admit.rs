//! notice + members + layout → admit, refuse with a reason, ignore, or unsure of the account. Pure; members are passed in.

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use crate::core::finding::{Finding, Kind, Severity};
use crate::core::id::{AccountId, OrgId};
use crate::core::key::{self, DigestKey, KeyFault, LogKey, ObjectKey, Root};
use crate::core::notice::{Event, How, Notice};
use crate::core::printable;

/// What is legitimate in one trail bucket.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub org: Option<OrgId>,
    /// The bucket's real name; `None` while a directory's name is not known.
    pub bucket: Option<String>,
    /// Where accounts may be written, without `{org}` and `{account}` filled in; empty: anywhere by the grammar.
    pub layout: Vec<Layout>,
    /// Globs of writers (`*` matches any run).
    pub writers: Vec<String>,
    /// How long after leaving the organization late files of an account are accepted.
    pub departed_grace: SignedDuration,
}

/// `[prefix/]AWSLogs/[{org}/]{account}/`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub prefix: String,
    pub org: bool,
}

impl Layout {
    /// Reads a template such as `logs/AWSLogs/{org}/{account}/`.
    pub fn parse(template: &str) -> Option<Self> {
        let (org, rest) = match template.strip_suffix("AWSLogs/{org}/{account}/") {
            Some(rest) => (true, rest),
            None => (false, template.strip_suffix("AWSLogs/{account}/")?),
        };
        let prefix = if rest.is_empty() { "" } else { rest.strip_suffix('/')? };
        (!prefix.starts_with('/') && !prefix.contains(['{', '}'])).then(|| Self { prefix: prefix.into(), org })
    }

    fn allows(&self, root: &Root) -> bool {
        self.prefix == root.prefix && self.org == root.org.is_some()
    }
}

/// What is known of an account's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// In the organization now, in whatever state: closed accounts go on delivering for a while.
    Member,
    /// Was a member until about then.
    Departed(Timestamp),
    /// Never seen.
    Unknown,
}

/// The evidence that a notice announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    Log(LogKey),
    Digest(DigestKey),
}

impl Evidence {
    pub fn root(&self) -> &Root {
        match self {
            Self::Log(key) => &key.root,
            Self::Digest(key) => &key.root,
        }
    }

    pub fn region(&self) -> &crate::core::id::Region {
        match self {
            Self::Log(key) => &key.region,
            Self::Digest(key) => &key.region,
        }
    }

    /// The delivery time in the key.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Log(key) => key.delivered,
            Self::Digest(key) => key.end,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Evidence; a finding may go with it (a weak signal that does not fit).
    Admit(Evidence, Option<Finding>),
    /// Not evidence.
    Refuse(Finding),
    /// Evidence was taken away.
    Removed(Evidence, Finding),
    /// Nothing of ours: a marker, another service's file, a change of tags.
    Ignore(&'static str),
    /// Ask for the members again, then judge again; still unknown means refused.
    Unsure(AccountId),
}

/// Judges one notice. `membership` answers for the account in the key; `final_answer` says that members were just refreshed.
pub fn judge(
    notice: &Notice,
    rules: &Rules,
    membership: impl Fn(AccountId) -> Membership,
    final_answer: bool,
) -> Verdict {
    if rules.bucket.as_ref().is_some_and(|bucket| *bucket != notice.bucket) {
        let bucket = printable(&notice.bucket, 80);
        let detail = format!("a message names bucket `{bucket}`, which this queue does not serve");
        let mut finding = Finding::new(Kind::BucketForeign, bucket.clone(), detail);
        finding.bucket = Some(bucket);
        return Verdict::Refuse(finding);
    }
    if let Event::Other(_) = notice.event {
        return Verdict::Ignore("other_event");
    }
    let evidence = match key::parse(&notice.key) {
        ObjectKey::Log(key) => Evidence::Log(key),
        ObjectKey::Digest(key) => Evidence::Digest(key),
        ObjectKey::Marker(account)
            if matches!(notice.event, Event::Created(_)) && notice.size.is_some_and(|size| size > 0) =>
        {
            let fault = account.map_or(KeyFault::Outside, |_| KeyFault::BadName("a folder marker is empty"));
            return Verdict::Refuse(unexpected(notice, &fault));
        }
        ObjectKey::Marker(_) => return Verdict::Ignore("marker"),
        ObjectKey::OtherService(_) => return Verdict::Ignore("other_service"),
        ObjectKey::Rejected(_) if matches!(notice.event, Event::Removed { .. }) => {
            return Verdict::Ignore("removed_other");
        }
        ObjectKey::Rejected(fault) => return Verdict::Refuse(unexpected(notice, &fault)),
    };
    if let Some(finding) = out_of_place(notice, rules, &evidence) {
        return Verdict::Refuse(finding);
    }
    if let Event::Removed { marker, lifecycle } = notice.event {
        let finding = removed(notice, &evidence, marker, lifecycle);
        return Verdict::Removed(evidence, finding);
    }
    let account = evidence.root().account;
    let membership = membership(account);
    match membership {
        Membership::Member => {}
        Membership::Departed(last) if evidence.time() <= last + rules.departed_grace => {}
        // It may have joined, or come back.
        _ if !final_answer => return Verdict::Unsure(account),
        Membership::Unknown => return Verdict::Refuse(foreign(notice, account, "is not a member of the organization")),
        Membership::Departed(last) => {
            return Verdict::Refuse(foreign(notice, account, &format!("left the organization about {last}")));
        }
    }
    match unusual(notice, rules, &evidence) {
        Some((true, finding)) => Verdict::Refuse(finding),
        Some((false, finding)) => Verdict::Admit(evidence, Some(finding)),
        None => {
            let late = departed(notice, rules, &evidence, membership);
            Verdict::Admit(evidence, late)
        }
    }
}

/// A note of what an account delivered after it had left; what was delivered before that and is only announced late needs none.
fn departed(notice: &Notice, rules: &Rules, evidence: &Evidence, membership: Membership) -> Option<Finding> {
    let Membership::Departed(last) = membership else { return None };
    if evidence.time() <= last {
        return None;
    }
    let (account, until) = (evidence.root().account, last + rules.departed_grace);
    let detail = format!("account {account} left the organization about {last}; its files are believed until {until}");
    let mut finding = about(Kind::AccountDeparted, notice, evidence, detail);
    // One finding per account, as for a foreign one.
    finding.subject = format!("{}/{account}", notice.bucket);
    finding.region = None;
    Some(finding)
}

fn about(kind: Kind, notice: &Notice, evidence: &Evidence, detail: String) -> Finding {
    Finding::of_object(kind, &notice.bucket, &notice.key, detail)
        .account(evidence.root().account)
        .region(evidence.region())
}

fn unexpected(notice: &Notice, fault: &KeyFault) -> Finding {
    let shown = printable(&notice.key, 300);
    let mut finding = Finding::of_object(Kind::KeyUnexpected, &notice.bucket, &shown, fault.to_string());
    if *fault == KeyFault::Outside {
        // One finding per folder: whoever shares the bucket for other files shall not bury the rest.
        let folder = notice.key.split('/').next().unwrap_or_default();
        finding.subject = format!("{}/{}", notice.bucket, printable(folder, 100));
        finding.severity = Severity::Low;
    }
    finding
}

fn out_of_place(notice: &Notice, rules: &Rules, evidence: &Evidence) -> Option<Finding> {
    let root = evidence.root();
    if let (Some(ours), Some(theirs)) = (&rules.org, &root.org)
        && ours != theirs
    {
        let detail = format!("the key names organization {theirs}, ours is {ours}");
        return Some(about(Kind::OrganizationForeign, notice, evidence, detail));
    }
    if rules.layout.is_empty() || rules.layout.iter().any(|layout| layout.allows(root)) {
        return None;
    }
    let detail = format!("{} is no place where this trail's accounts are written", root.path());
    Some(about(Kind::KeyUnexpected, notice, evidence, detail))
}

fn removed(notice: &Notice, evidence: &Evidence, marker: bool, lifecycle: bool) -> Finding {
    let how = match (marker, lifecycle) {
        (false, false) => "deleted",
        (true, false) => "hidden by a delete marker",
        (false, true) => "expired by a lifecycle rule",
        (true, true) => "hidden by a lifecycle rule's delete marker",
    };
    let by = notice.writer.as_ref().map(|writer| format!(" by {}", printable(writer, 120))).unwrap_or_default();
    let finding = about(Kind::EvidenceRemoved, notice, evidence, format!("the object was {how}{by}"));
    if lifecycle { finding.severity(Severity::Medium) } else { finding }
}

fn foreign(notice: &Notice, account: AccountId, what: &str) -> Finding {
    let mut finding =
        Finding::of_object(Kind::AccountForeign, &notice.bucket, &notice.key, format!("account {account} {what}"))
            .account(account);
    // One finding per account: a foreign trail delivers every five minutes.
    finding.subject = format!("{}/{account}", notice.bucket);
    finding
}

/// Signs of another writer than CloudTrail; true means refuse. Copies, posts and multipart uploads are documented facts of
/// S3 and never CloudTrail's doing; the writer's name is only a signal.
fn unusual(notice: &Notice, rules: &Rules, evidence: &Evidence) -> Option<(bool, Finding)> {
    let how = match notice.event {
        Event::Created(How::Copy) => Some("a copy"),
        Event::Created(How::Post) => Some("a form post"),
        Event::Created(How::Multipart) => Some("a multipart upload"),
        _ => None,
    };
    if let Some(how) = how {
        let detail = format!("the object was made by {how}; CloudTrail only puts");
        return Some((true, about(Kind::WriterForeign, notice, evidence, detail)));
    }
    let writer = notice.writer.as_ref()?;
    if rules.writers.is_empty() || rules.writers.iter().any(|pattern| glob(pattern, writer)) {
        return None;
    }
    let shown = printable(writer, 120);
    let mut finding = about(
        Kind::WriterForeign,
        notice,
        evidence,
        format!("the notice says that `{shown}` wrote it, not CloudTrail"),
    );
    // One a day: a writer who was told of once is not free to go on, and a pattern that is amiss is no flood.
    let day = Offset::UTC.to_datetime(notice.time.unwrap_or(evidence.time())).date();
    finding.subject = format!("{}/{shown}/{day}", notice.bucket);
    Some((false, finding.severity(Severity::Medium)))
}

/// `*` matches any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::notice::Envelope;

    const LOG: &str = "AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz";

    fn notice(key: &str) -> Notice {
        Notice {
            envelope: Envelope::S3,
            event: Event::Created(How::Put),
            bucket: "b".into(),
            key: key.into(),
            key_decoded: None,
            version: None,
            size: None,
            etag: None,
            sequencer: None,
            writer: None,
            time: None,
        }
    }

    fn rules() -> Rules {
        Rules {
            org: Some(OrgId::parse("o-a1b2c3d4e5").unwrap()),
            bucket: Some("b".into()),
            layout: vec![Layout::parse("AWSLogs/{org}/{account}/").unwrap()],
            writers: vec!["cloudtrail.amazonaws.com".into(), "AWS:*:regionalDeliverySession".into()],
            departed_grace: SignedDuration::from_hours(7 * 24),
        }
    }

    fn kind_of(notice: &Notice, membership: Membership) -> Option<Kind> {
        match judge(notice, &rules(), |_| membership, true) {
            Verdict::Refuse(finding) | Verdict::Removed(_, finding) | Verdict::Admit(_, Some(finding)) => {
                Some(finding.kind)
            }
            _ => None,
        }
    }

    #[test]
    fn a_members_log_in_its_place_is_admitted() {
        let verdict = judge(&notice(LOG), &rules(), |_| Membership::Member, false);
        assert!(matches!(verdict, Verdict::Admit(Evidence::Log(_), None)));
    }

    #[test]
    fn an_unknown_account_is_asked_about_once_and_then_refused() {
        let verdict = judge(&notice(LOG), &rules(), |_| Membership::Unknown, false);
        assert_eq!(verdict, Verdict::Unsure(AccountId::parse("111122223333").unwrap()));
        assert_eq!(kind_of(&notice(LOG), Membership::Unknown), Some(Kind::AccountForeign));
    }

    #[test]
    fn a_departed_account_may_have_come_back() {
        let departed = |_| Membership::Departed("2026-02-20T00:00:00Z".parse().unwrap());
        let verdict = judge(&notice(LOG), &rules(), departed, false);
        assert_eq!(verdict, Verdict::Unsure(AccountId::parse("111122223333").unwrap()));
    }

    #[test]
    fn late_files_of_a_departed_account_are_accepted_for_the_grace() {
        let left = |text: &str| Membership::Departed(text.parse().unwrap());
        assert_eq!(kind_of(&notice(LOG), left("2026-03-01T22:12:00Z")), None, "it was delivered by a member");
        let verdict = judge(&notice(LOG), &rules(), |_| left("2026-03-01T22:11:59Z"), false);
        assert!(matches!(verdict, Verdict::Admit(_, Some(note)) if note.kind == Kind::AccountDeparted));
        assert_eq!(kind_of(&notice(LOG), left("2026-02-22T22:12:00Z")), Some(Kind::AccountDeparted));
        assert_eq!(kind_of(&notice(LOG), left("2026-02-22T22:11:59Z")), Some(Kind::AccountForeign));
    }

    #[test]
    fn place_bucket_and_organization_are_pinned() {
        let other_org = LOG.replace("o-a1b2c3d4e5", "o-zzzzzzzzzz");
        assert_eq!(kind_of(&notice(&other_org), Membership::Member), Some(Kind::OrganizationForeign));
        let prefixed = format!("p/{LOG}");
        assert_eq!(kind_of(&notice(&prefixed), Membership::Member), Some(Kind::KeyUnexpected));
        let account_layout = LOG.replace("o-a1b2c3d4e5/", "");
        assert_eq!(kind_of(&notice(&account_layout), Membership::Member), Some(Kind::KeyUnexpected));
        let mut foreign = notice(LOG);
        foreign.bucket = "c".into();
        assert_eq!(kind_of(&foreign, Membership::Member), Some(Kind::BucketForeign));
    }

    #[test]
    fn copies_are_refused_and_odd_writers_only_noted() {
        let mut copied = notice(LOG);
        copied.event = Event::Created(How::Copy);
        assert!(
            matches!(judge(&copied, &rules(), |_| Membership::Member, true), Verdict::Refuse(f) if f.kind == Kind::WriterForeign)
        );
        let mut odd = notice(LOG);
        odd.writer = Some("444455556666".into());
        assert!(
            matches!(judge(&odd, &rules(), |_| Membership::Member, true), Verdict::Admit(_, Some(f)) if f.kind == Kind::WriterForeign)
        );
        odd.writer = Some("AWS:AROAEXAMPLE:regionalDeliverySession".into());
        assert_eq!(kind_of(&odd, Membership::Member), None);
    }

    #[test]
    fn an_odd_writer_is_told_of_once_a_day() {
        let subject = |time: &str| {
            let writer = Some("444455556666".into());
            let odd = Notice { writer, time: Some(time.parse().unwrap()), ..notice(LOG) };
            match judge(&odd, &rules(), |_| Membership::Member, true) {
                Verdict::Admit(_, Some(finding)) => finding.subject,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(subject("2026-03-01T22:13:00Z"), subject("2026-03-01T23:13:00Z"));
        assert_ne!(subject("2026-03-01T22:13:00Z"), subject("2026-03-02T22:13:00Z"));
    }

    #[test]
    fn a_folder_marker_is_empty() {
        for (key, size, ignored) in [
            ("AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/", None, true),
            ("AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/", Some(0), true),
            ("AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/", Some(1), false),
            ("elsewhere/", Some(1), false),
        ] {
            let notice = Notice { size, ..notice(key) };
            assert_eq!(
                kind_of(&notice, Membership::Member),
                (!ignored).then_some(Kind::KeyUnexpected),
                "{key} {size:?}"
            );
        }
    }

    #[test]
    fn a_removal_of_evidence_is_told_even_for_a_departed_account() {
        let mut gone = notice(LOG);
        gone.event = Event::Removed { marker: true, lifecycle: false };
        assert_eq!(kind_of(&gone, Membership::Unknown), Some(Kind::EvidenceRemoved));
    }

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("*", "", true),
            ("abc", "abcd", false),
            ("a*b*c", "a-b-b-c", true),
            ("AWS:*:x", "AWS:AROA:y", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
