//! The policy of a trail's bucket as a whole.

use super::condition::{Context, Given};
use super::document::{Document, Principal};
use super::evaluate::{Request, Resource, Verdict, evaluate};
use super::expected::Expected;
use super::mend::{Draft, policy};
use super::weakness::{Fix, Kind, Weakness, doubts, sorted};
use super::{delivery, grants};

/// What is wrong with a bucket's policy, the worst first. `Document::default()` is a bucket without one.
pub fn weaknesses(document: &Document, expected: &Expected) -> Vec<Weakness> {
    let mut found = doubts(document);
    // Of a document that cannot be read, nothing can be called missing.
    if document.doubts.is_empty() {
        found.extend(delivery::weaknesses(document, expected));
        found.extend(grants::weaknesses(document, expected));
        found.extend(without_tls(document, expected));
    } else {
        found.extend(grants::weaknesses(document, expected));
    }
    sorted(found)
}

/// A policy that lets the trails deliver and nobody else do anything, as far as the trails are known.
pub fn recommended(expected: &Expected) -> String {
    let mut statements = vec![expected.acl_check().sid(Some("CloudTrailAclCheck"))];
    statements.extend(expected.writes().into_iter().map(|(sid, draft)| draft.sid(Some(sid))));
    statements.push(expected.tls_only().sid(Some("TlsOnly")));
    policy(&statements.into_iter().map(Draft::text).collect::<Vec<_>>())
}

fn without_tls(document: &Document, expected: &Expected) -> Option<Weakness> {
    let plain = Context::default().with("aws:SecureTransport", Given::is("false"));
    let (bucket, objects) = (expected.bucket_arn(), expected.objects());
    let open = [
        ("s3:GetObject", Resource::Every(&objects)),
        ("s3:PutObject", Resource::Every(&objects)),
        ("s3:ListBucket", Resource::One(&bucket)),
    ]
    .into_iter()
    .find(|(action, resource)| {
        let request = Request { who: &Principal::Everyone, action, resource: *resource, context: &plain };
        !matches!(evaluate(document, &request), Verdict::Denied(Some(_)))
    });
    let (action, _) = open.filter(|_| expected.tls)?;
    let fix = Fix::Add(vec![expected.tls_only().sid(Some(&document.free_sid("TlsOnly"))).text()]);
    let risk = format!(
        "no Deny refuses {action} over plain HTTP to everybody, so that evidence may pass the network unencrypted"
    );
    Some(Weakness::whole(Kind::TlsNotRequired, risk, fix))
}
