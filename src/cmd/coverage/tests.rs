use crate::seam::{Member, MemberState};
use crate::store::{Store, Tx, members, objects};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn now() -> Timestamp {
    at("2026-03-20T12:30:00Z")
}

/// So many members in two units and two regions, watched since the first of March; `holes` are taken out of what is proven.
async fn told(
    accounts: i64,
    holes: &[(i64, &str, &str, &str)],
    change: impl FnOnce(&mut Question),
    json: bool,
) -> (Answer, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&dir.path().join("state.db"), &Env::manual(now(), 1)).await.expect("a ledger");
    let holes: Vec<_> = holes
        .iter()
        .map(|(nth, region, from, to)| (*nth, region.to_string(), at(from).as_second(), at(to).as_second()))
        .collect();
    let fill = move |tx: &Tx<'_>| {
        let source = objects::source_id(tx, "org")?;
        let member = |nth: i64| Member {
            account: AccountId::parse(&format!("{nth:012}")).expect("an account"),
            name: format!("account {nth}"),
            ou: OuPath::of_names(if nth % 2 == 0 { "Root/Prod" } else { "Root/Dev" }),
            state: MemberState::Active,
            joined: Some(Timestamp::UNIX_EPOCH),
        };
        members::put(tx, &(1..=accounts).map(member).collect::<Vec<_>>())?;
        for nth in 1..=accounts {
            for region in ["eu-west-1", "us-east-1"] {
                let begin = at("2026-03-01T00:07:13Z").as_second();
                tx.conn.execute(
                    "INSERT INTO chains (source, root, account, region, trail, home, backfill, first)
                     VALUES (?1, 'AWSLogs/' || ?2 || '/', ?2, ?3, 'org', 'us-east-1', 0, ?4)",
                    rusqlite::params![source, format!("{nth:012}"), region, begin],
                )?;
                let chain = tx.conn.last_insert_rowid();
                let mut from = begin;
                for (_, _, hole, to) in holes.iter().filter(|(of, at, ..)| *of == nth && at == region) {
                    tx.conn.execute("INSERT INTO proven VALUES (?1, ?2, ?3)", [chain, from, hole + 433])?;
                    from = to + 433;
                }
                tx.conn.execute(
                    "INSERT INTO proven VALUES (?1, ?2, ?3)",
                    [chain, from, at("2026-03-20T12:07:13Z").as_second()],
                )?;
            }
        }
        Ok(())
    };
    store.write(fill).await.expect("a step");
    let mut question = Question {
        from: None,
        to: now(),
        now: now(),
        grace: SignedDuration::from_mins(90),
        shard: Shard::WHOLE,
        account: None,
        ou: None,
        region: None,
        trail: None,
    };
    change(&mut question);
    let look = move |conn: &Connection| {
        let mut out = Vec::new();
        let sink: Box<dyn Sink> =
            if json { Box::new(Document::default()) } else { Box::new(Calendar::new(false, Told::Some)) };
        let told = tell(conn, question, sink, &mut out)?;
        Ok((told.expect("memory takes it").0, String::from_utf8(out).expect("text")))
    };
    store.read(look).await.expect("a look")
}

const HOLES: &[(i64, &str, &str, &str)] = &[
    (2, "eu-west-1", "2026-03-04T05:00:00Z", "2026-03-04T08:00:00Z"),
    (2, "us-east-1", "2026-03-04T05:00:00Z", "2026-03-04T08:00:00Z"),
    (3, "us-east-1", "2026-03-06T23:00:00Z", "2026-03-08T00:00:00Z"),
];

#[tokio::test]
async fn a_calendar_shows_where_the_holes_are() {
    let (answer, text) = told(3, HOLES, |_| {}, false).await;
    assert_eq!(answer, Answer::Holes);
    let wanted = "\
2026-03-01T00:00Z to 2026-03-20T12:00Z: 3 accounts in 2 regions, a sign for a day

                                         03-01  03-08  03-15
Root/Dev
  000000000001 account 1                 ████████████████████
  000000000003 account 3                 █████▄▄█████████████
Root/Prod
  000000000002 account 2                 ███▄████████████████

█ proven  ▄ partly missing  x missing  ? delivered, not proven
~ may still come  ▒ proven, not demanded  · nothing expected

hours     2,802 expected: 2,771 proven, 0 not proven, 0 late, 31 missing; 6 proven beyond them
answer    there are holes

holes
  000000000002 account 2                 2026-03-04T05:00Z to 2026-03-04T08:00Z  3 hours missing: eu-west-1, us-east-1
  000000000003 account 3                 2026-03-06T23:00Z to 2026-03-08T00:00Z  25 hours missing: us-east-1
";
    assert_eq!(text, wanted, "{text}");
}

#[tokio::test]
async fn one_account_is_shown_by_region_and_a_short_time_by_the_hour() {
    let one = |question: &mut Question| {
        question.account = AccountId::parse("000000000002").ok();
        question.from = Some(at("2026-03-04T00:00:00Z"));
        question.to = at("2026-03-05T00:00:00Z");
    };
    let (answer, text) = told(3, &HOLES[..1], one, false).await;
    assert_eq!(answer, Answer::Holes);
    let lines = [
        "                                         03-04 06h   12h   18h",
        "000000000002 account 2",
        "  eu-west-1                              █████xxx████████████████",
        "  us-east-1                              ████████████████████████",
    ];
    assert!(text.contains(&lines.join("\n")), "{text}");
}

#[tokio::test]
async fn many_accounts_are_shown_by_unit() {
    let (answer, text) = told(100, HOLES, |_| {}, false).await;
    assert_eq!(answer, Answer::Holes);
    let lines = [
        "  Root/Dev                          (50) █████▄▄█████████████",
        "  Root/Prod                         (50) ███▄████████████████",
    ];
    assert!(text.contains(&lines.join("\n")), "{text}");
    let (answer, text) = told(100, HOLES, |question| question.ou = Some("Dev".into()), false).await;
    assert!(answer == Answer::Holes && text.contains("50 accounts") && !text.contains("Root/Prod"), "{text}");
}

#[tokio::test]
async fn what_is_complete_is_told_from_what_cannot_be_told() {
    assert_eq!(told(3, &[], |_| {}, false).await.0, Answer::Complete);
    for change in [
        (|question: &mut Question| question.from = Some(at("2026-02-20T00:00:00Z"))) as fn(&mut Question),
        |question| question.trail = Some("another".into()),
        |question| question.ou = Some("Prdo".into()),
        |question| question.region = Some(Region::parse("eu-west-9").expect("a region")),
    ] {
        let (answer, text) = told(3, &[], change, false).await;
        assert!(answer == Answer::Unknown && text.contains("unknown   "), "{text}");
    }
    let later = at("2026-03-22T12:30:00Z");
    let (_, text) = told(3, &[], |question| (question.to, question.now) = (later, later), false).await;
    assert!(text.contains("unknown   the members were last asked for at 2026-03-20T12:30:00Z"), "{text}");
    let (answer, text) = told(0, &[], |_| {}, false).await;
    assert!(answer == Answer::Unknown && text.contains("never been asked for"), "{text}");
}

#[tokio::test]
async fn the_document_has_every_hour() {
    let (_, text) = told(3, HOLES, |_| {}, true).await;
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["accounts"].as_array().map(Vec::len), Some(3));
    let account = &document["accounts"][1];
    assert_eq!((&account["account"], &account["missing"]), (&"000000000002".into(), &6.into()));
    assert_eq!(account["holes"][0]["from"], "2026-03-04T05:00:00Z");
    let hours = account["regions"][0]["hours"].as_str().expect("letters");
    assert_eq!(hours.len(), 19 * 24 + 12);
    assert_eq!(hours.match_indices('m').map(|(at, _)| at).collect::<Vec<_>>(), [77, 78, 79]);
    assert_eq!((&document["answer"], &document["total"]["missing"]), (&"holes".into(), &31.into()));
    let (_, empty) = told(0, &[], |_| {}, true).await;
    let empty: serde_json::Value = serde_json::from_str(&empty).expect("JSON");
    assert_eq!(empty["accounts"].as_array().map(Vec::len), Some(0));
}
