use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const VISIBILITY: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::ZERO;

fn env() -> Env {
    Env::manual(Timestamp::from_second(1_700_000_000).unwrap(), 7)
}

fn opened(temp: &TempDir, env: &Env) -> Spool {
    Spool::open(temp.path(), VISIBILITY, env.clone()).unwrap()
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| std::str::from_utf8(&message.body).unwrap()).collect()
}

fn files(temp: &TempDir, folder: &str) -> usize {
    std::fs::read_dir(temp.path().join(folder)).unwrap().count()
}

fn depth(visible: u64, in_flight: u64, delayed: u64) -> Depth {
    Depth { visible, in_flight, delayed }
}

#[tokio::test]
async fn messages_come_oldest_first_and_are_settled_once() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env);
    let sent_at = env.now();
    for body in ["1", "2"] {
        spool.send(body.as_bytes()).unwrap();
    }
    env.advance(SignedDuration::from_secs(1));
    let third = spool.send(b"3").unwrap();
    let first = spool.receive(2, AT_ONCE).await.unwrap();
    assert_eq!(bodies(&first), ["1", "2"]);
    assert_eq!((first[0].deliveries, first[0].sent), (1, Some(sent_at)));
    assert_eq!(spool.depth().await.unwrap(), depth(1, 2, 0));
    let second = spool.receive(10, AT_ONCE).await.unwrap();
    assert_eq!((bodies(&second), second[0].id.as_str()), (vec!["3"], third.as_str()));
    assert!(spool.receive(10, AT_ONCE).await.unwrap().is_empty());

    let receipts: Vec<String> = first.iter().chain(&second).map(|message| message.receipt.clone()).collect();
    assert!(spool.done(&receipts).await.unwrap().is_empty());
    assert!(spool.done(&receipts).await.unwrap().is_empty(), "done twice is fine");
    assert!(spool.depth().await.unwrap().is_empty());
    assert_eq!((files(&temp, "done"), files(&temp, "cur"), files(&temp, "tmp")), (3, 0, 0));
}

#[tokio::test]
async fn after_a_crash_what_was_in_hand_comes_again_and_counts() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env);
    spool.send(b"a").unwrap();
    spool.send(b"b").unwrap();
    let before = spool.receive(2, AT_ONCE).await.unwrap();
    spool.done(&[before[1].receipt.clone()]).await.unwrap();
    drop(spool);

    let spool = opened(&temp, &env);
    let again = spool.receive(10, AT_ONCE).await.unwrap();
    assert_eq!(bodies(&again), ["a"]);
    assert_eq!((again[0].deliveries, &again[0].id), (2, &before[0].id));
    assert_ne!(again[0].receipt, before[0].receipt);
    assert_eq!(spool.extend(&[before[0].receipt.clone()], VISIBILITY).await.unwrap(), [before[0].receipt.clone()]);
    spool.later(&before[0].receipt, AT_ONCE).await.unwrap();
    assert_eq!(spool.depth().await.unwrap(), depth(0, 1, 0), "an old receipt gives nothing back");
}

#[tokio::test]
async fn a_message_given_back_waits_for_its_time_even_over_a_restart() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env);
    spool.send(b"a").unwrap();
    let held = spool.receive(1, AT_ONCE).await.unwrap();
    spool.later(&held[0].receipt, Duration::from_secs(90)).await.unwrap();
    assert_eq!(spool.depth().await.unwrap(), depth(0, 0, 1));
    env.advance(SignedDuration::from_secs(89));
    assert!(spool.receive(1, AT_ONCE).await.unwrap().is_empty());
    drop(spool);
    let spool = opened(&temp, &env);
    assert!(spool.receive(1, AT_ONCE).await.unwrap().is_empty());
    env.advance(SignedDuration::from_secs(1));
    let again = spool.receive(1, AT_ONCE).await.unwrap();
    assert_eq!((bodies(&again), again[0].deliveries), (vec!["a"], 2));
    spool.later(&again[0].receipt, AT_ONCE).await.unwrap();
    assert_eq!(spool.receive(1, AT_ONCE).await.unwrap()[0].deliveries, 3);
}

#[tokio::test]
async fn a_message_neither_done_nor_extended_comes_back() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env);
    spool.send(b"forgotten").unwrap();
    spool.send(b"kept").unwrap();
    let held = spool.receive(2, AT_ONCE).await.unwrap();
    env.advance(SignedDuration::from_secs(59));
    assert!(spool.receive(2, AT_ONCE).await.unwrap().is_empty());
    assert!(spool.extend(&[held[1].receipt.clone()], VISIBILITY).await.unwrap().is_empty());
    env.advance(SignedDuration::from_secs(1));
    assert_eq!(spool.depth().await.unwrap(), depth(1, 1, 0));
    assert_eq!(spool.extend(&[held[0].receipt.clone()], VISIBILITY).await.unwrap(), [held[0].receipt.clone()]);
    let again = spool.receive(2, AT_ONCE).await.unwrap();
    assert_eq!((bodies(&again), again[0].deliveries), (vec!["forgotten"], 2));
    // the first holder is late: the message is somebody else's now
    spool.done(&[held[0].receipt.clone()]).await.unwrap();
    assert_eq!(spool.depth().await.unwrap(), depth(0, 2, 0));
}

#[tokio::test]
async fn work_that_ended_late_still_settles_a_message_nobody_holds() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env).keep_done(false);
    spool.send(b"a").unwrap();
    spool.send(b"b").unwrap();
    let held = spool.receive(2, AT_ONCE).await.unwrap();
    env.advance(SignedDuration::from_secs(61));
    assert_eq!(bodies(&spool.receive(1, AT_ONCE).await.unwrap()), ["a"]);
    spool.done(&[held[1].receipt.clone()]).await.unwrap();
    assert!(spool.receive(1, AT_ONCE).await.unwrap().is_empty());
    assert_eq!(files(&temp, "done"), 0, "settled messages are not kept if told so");
}

#[tokio::test]
async fn a_waiting_receiver_sees_a_new_message() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = Arc::new(opened(&temp, &env));
    let waiting = tokio::spawn({
        let spool = Arc::clone(&spool);
        async move { spool.receive(1, Duration::from_secs(20)).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    Sender::open(temp.path(), env).unwrap().send(b"late").unwrap();
    assert_eq!(bodies(&waiting.await.unwrap().unwrap()), ["late"]);
}

#[tokio::test]
async fn waiting_ends() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env);
    let began = Instant::now();
    assert!(spool.receive(1, Duration::from_millis(300)).await.unwrap().is_empty());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn foreign_names_are_taken_and_tricks_are_not() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env);
    let new = temp.path().join("new");
    std::fs::write(new.join("notice,1.json"), "foreign").unwrap();
    std::fs::write(new.join(".half"), "unfinished").unwrap();
    std::fs::create_dir(new.join("folder")).unwrap();
    symlink("/etc/passwd", new.join("link")).unwrap();
    let got = spool.receive(10, AT_ONCE).await.unwrap();
    assert_eq!(bodies(&got), ["foreign"]);
    assert_eq!((got[0].id.as_str(), got[0].receipt.as_str()), ("notice,1.json", "notice,1.json,d=1"));
    // the same name again must not swallow the one in hand
    std::fs::write(new.join("notice,1.json"), "again").unwrap();
    assert!(spool.receive(10, AT_ONCE).await.unwrap().is_empty());
    spool.done(&["../new/.half".into(), got[0].receipt.clone()]).await.unwrap();
    assert!(new.join(".half").exists());
    assert_eq!(bodies(&spool.receive(10, AT_ONCE).await.unwrap()), ["again"]);
}

#[tokio::test]
async fn more_messages_than_are_held_in_memory_all_come() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env);
    let total = BACKLOG + 30;
    for n in 0..total {
        std::fs::write(temp.path().join(format!("new/{n:06}")), format!("{n:06}")).unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let messages = spool.receive(1000, AT_ONCE).await.unwrap();
        if messages.is_empty() {
            break;
        }
        seen.extend(bodies(&messages).into_iter().map(str::to_owned));
        let receipts: Vec<String> = messages.into_iter().map(|message| message.receipt).collect();
        spool.done(&receipts).await.unwrap();
    }
    assert_eq!(seen.len(), total);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn what_another_process_took_and_left_behind_comes_back_and_what_this_one_holds_does_not() {
    let (temp, env) = (tempfile::tempdir().unwrap(), env());
    let spool = opened(&temp, &env);
    // A warden that was stopped, has lost its lease, and goes on: it receives once more before it notices.
    let other = opened(&temp, &env);
    spool.send(b"theirs").unwrap();
    assert_eq!(other.receive(1, AT_ONCE).await.unwrap().len(), 1);
    drop(other);
    spool.send(b"ours").unwrap();
    let ours = spool.receive(10, AT_ONCE).await.unwrap();
    assert_eq!(bodies(&ours), ["ours"]);
    assert!(spool.receive(10, AT_ONCE).await.unwrap().is_empty());
    for _ in 0..3 {
        env.advance(SignedDuration::from_secs(25));
        assert!(spool.extend(&[ours[0].receipt.clone()], VISIBILITY).await.unwrap().is_empty());
    }
    let back = spool.receive(10, AT_ONCE).await.unwrap();
    assert_eq!((bodies(&back), back[0].deliveries), (vec!["theirs"], 2));
}

#[test]
fn names_carry_what_must_outlast_a_crash() {
    for (file, base, deliveries, not_before) in [
        ("a", "a", 0, None),
        ("a,d=3", "a", 3, None),
        ("a,d=3,t=1700000000000", "a", 3, Some(1_700_000_000_000)),
        ("a,t=5", "a", 0, Some(5)),
        ("a,d=x", "a,d=x", 0, None),
        ("a,b,d=1", "a,b", 1, None),
    ] {
        let name = Name { base: base.into(), deliveries, not_before };
        assert_eq!(Name::parse(file), name, "{file}");
        assert_eq!(name.to_string(), file);
    }
}
