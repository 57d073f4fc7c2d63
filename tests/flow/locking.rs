//! Locks made longer object by object, on a directory: what is left, what was refused, and where it goes on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use trailwarden::core::finding::{Finding, Kind};
use trailwarden::core::lock::{Action, Mode, Plan, Term};
use trailwarden::core::shard::Shard;
use trailwarden::env::Env;
use trailwarden::retain::{Applied, Retain};
use trailwarden::seam::{Locked, Vault as _};
use trailwarden::store::findings;

use crate::common::warden::pause;
use crate::retention::{GOVERNANCE, PROD, REST};
use crate::yard::{Counting, Yard, fold};

/// Nothing left to be done does not make the object that was seen any better.
#[tokio::test]
async fn what_an_object_showed_stays_told_until_the_objects_of_its_account_were_locked() {
    let yard = Yard::new(GOVERNANCE);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let seen = Finding::new(Kind::LockShort, format!("org/{PROD}"), "locked until yesterday");
    retain.store.write(move |tx| findings::hold(tx, &seen)).await.unwrap();
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, ["lock_short"]);
    yard.deliver(PROD, 1);
    let plan = retain.plan().await.unwrap();
    assert_eq!(retain.apply(&plan, false).await.unwrap(), Applied::Done(1));
    assert_eq!(yard.told(&retain).await, [""; 0]);
}

/// A default that was there when the warden came says nothing of what had come before.
#[tokio::test]
async fn what_came_before_the_first_look_is_looked_at() {
    let yard = Yard::new("keep = \"30d\"\nincomplete_uploads = \"keep\"");
    let key = yard.deliver(REST, 1);
    yard.vault().apply(&Action::EnableVersioning).await.unwrap();
    yard.vault().apply(&Action::SetDefault { term: Term { mode: Mode::Governance, days: 30 } }).await.unwrap();
    assert_eq!(yard.vault().lock(&key, None).await.unwrap().unwrap().retention, None);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].effect.objects, 1);
    assert_eq!(retain.apply(&plan, false).await.unwrap(), Applied::Done(1));
    assert!(yard.vault().lock(&key, None).await.unwrap().unwrap().retention.is_some());
    assert!(retain.plan().await.unwrap().is_empty());
}

/// Objects of the time before the default that come when the others were locked already; with a row, and folded unseen.
#[tokio::test]
async fn what_is_found_later_of_the_time_before_the_default_is_locked_too() {
    let yard = Yard::new("keep = \"30d\"");
    yard.deliver_on(REST, 1, 1);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    assert!(retain.plan().await.unwrap().is_empty());
    for folded in [false, true] {
        yard.deliver(REST, 5 + usize::from(folded));
        if folded {
            fold(&retain.store).await;
        }
        let plan = retain.plan().await.unwrap();
        let extended = |plan: &Plan| plan.extension().map_or(0, |step| step.effect.objects);
        let before = extended(&plan);
        yard.deliver_on(REST, 2 + usize::from(folded), 1);
        if folded {
            fold(&retain.store).await;
        }
        let plan = retain.plan().await.unwrap();
        assert!(extended(&plan) > before, "folded: {folded}");
        retain.apply(&plan, true).await.unwrap();
        assert!(retain.plan().await.unwrap().is_empty(), "folded: {folded}");
    }
}

/// Days that are folded have no keys in the ledger: they are found in the bucket, and late ones too.
#[tokio::test]
async fn folded_days_are_locked_by_what_lies_in_the_bucket() {
    let yard = Yard::new(GOVERNANCE);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let keys = [yard.deliver(PROD, 1), yard.deliver(PROD, 2)];
    fold(&retain.store).await;
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps[0].effect.objects, 2);
    assert_eq!(retain.apply(&plan, false).await.unwrap(), Applied::Done(1));
    assert!(retain.plan().await.unwrap().is_empty());
    let days = |locked: Locked| locked.retention.unwrap().until.duration_since(locked.created).as_hours() / 24;
    for key in &keys {
        assert_eq!(days(yard.vault().lock(key, None).await.unwrap().unwrap()), 90);
    }
    // One that comes and is folded before anybody looks.
    let late = yard.deliver(PROD, 3);
    fold(&retain.store).await;
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 1, "it is missed");
    retain.apply(&plan, false).await.unwrap();
    assert_eq!(days(yard.vault().lock(&late, None).await.unwrap().unwrap()), 90);
    assert!(retain.plan().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_object_that_is_refused_keeps_no_other_waiting_and_is_not_forgotten() {
    let yard = Yard::new(GOVERNANCE);
    let mut retain = yard.retain().await;
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let keys = [yard.deliver(PROD, 1), yard.deliver(PROD, 2), yard.deliver(PROD, 3)];
    *counting.refuses.lock().unwrap() = Some("_0000000000000002.".into());
    for _ in 0..2 {
        let plan = retain.plan().await.unwrap();
        assert_eq!(plan.steps[0].effect.objects, 3, "the place is not done");
        let error = retain.apply(&plan, true).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("AccessDenied"));
    }
    let mut days = Vec::new();
    for key in &keys {
        let locked = yard.vault().lock(key, None).await.unwrap().unwrap();
        days.push(locked.retention.unwrap().until.duration_since(locked.created).as_hours() / 24);
    }
    assert_eq!(days, [90, 30, 90]);
    *counting.refuses.lock().unwrap() = None;
    let plan = retain.plan().await.unwrap();
    assert_eq!(retain.apply(&plan, true).await.unwrap(), Applied::Done(1));
    assert!(retain.plan().await.unwrap().is_empty());
    assert!(
        yard.vault().lock(&keys[1], None).await.unwrap().unwrap().retention.unwrap().until
            > Env::system().now() + SignedDuration::from_hours(24 * 89)
    );
}

/// An audit makes no more requests than fit between two, and the next one goes on where it stopped: within a place, too.
#[tokio::test(start_paused = true)]
async fn a_spent_budget_goes_on_where_it_stopped() {
    let paced = "enforce = \"apply\"\nrequests = 1\naudit = \"60s\"\n";
    let yard = Yard::new(&format!("{paced}{GOVERNANCE}"));
    let mut retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let keys = yard.deliver_all(PROD, 70);
    // What came in the second in which a pass begins is counted until its end.
    pause(Duration::from_millis(1_100));
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    let asked = || counting.objects.swap(0, Ordering::SeqCst);
    let left = |plan: &Plan| plan.extension().map(|step| step.effect.objects);
    for still in [Some(40), Some(10)] {
        assert_eq!(left(&retain.audit().await.unwrap()), still);
        assert_eq!(asked(), 60, "two for each object");
    }
    // One that is refused is not the end of it, and one that comes meanwhile sorts before the others.
    *counting.refuses.lock().unwrap() = Some("_0000000000000065.".into());
    let early = yard.deliver_on(PROD, 1000, 1);
    assert!(retain.audit().await.is_err());
    assert_eq!(asked(), 20);
    *counting.refuses.lock().unwrap() = None;
    let mut rounds = 0;
    while left(&retain.audit().await.unwrap()).is_some() {
        rounds += 1;
        assert!(rounds < 5, "it goes round in circles");
    }
    for key in keys.iter().chain([&early]) {
        let locked = yard.vault().lock(key, None).await.unwrap().unwrap();
        assert_eq!(locked.retention.unwrap().until.duration_since(locked.created).as_hours() / 24, 90, "{key}");
    }
}

/// A pass that lasts over a fold looks for what was folded before it came there.
#[tokio::test(start_paused = true)]
async fn what_is_folded_before_a_pass_comes_to_it_is_found_in_the_bucket() {
    let yard = Yard::new(&format!("enforce = \"apply\"\nrequests = 1\naudit = \"60s\"\n{GOVERNANCE}"));
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    yard.deliver(PROD, 1000);
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let keys = yard.deliver_all(PROD, 40);
    assert!(retain.audit().await.unwrap().extension().is_some());
    fold(&retain.store).await;
    for _ in 0..3 {
        retain.audit().await.unwrap();
    }
    assert!(retain.plan().await.unwrap().is_empty());
    for key in &keys {
        let locked = yard.vault().lock(key, None).await.unwrap().unwrap();
        assert_eq!(locked.retention.unwrap().until.duration_since(locked.created).as_hours() / 24, 90, "{key}");
    }
}

/// A promise that gets smaller and larger again: what came meanwhile is locked for the larger one.
#[tokio::test]
async fn what_was_done_for_less_is_not_taken_for_more() {
    let yard = Yard::new(GOVERNANCE);
    for days in ["90d", "60d", "90d"] {
        yard.configure(&GOVERNANCE.replace("90d", days));
        let key = yard.deliver(PROD, days.len() + usize::from(days == "60d"));
        let retain = yard.retain().await;
        let plan = retain.plan().await.unwrap();
        retain.apply(&plan, true).await.unwrap();
        drop(retain);
        let locked = yard.vault().lock(&key, None).await.unwrap().unwrap();
        let promised: i64 = days.trim_end_matches('d').parse().unwrap();
        assert_eq!(locked.retention.unwrap().until.duration_since(locked.created).as_hours() / 24, promised);
    }
    let (locked, _) = yard.vault().versions("AWSLogs/", None).await.unwrap();
    for version in locked {
        let locked = yard.vault().lock(&version.key, version.version.as_deref()).await.unwrap().unwrap();
        assert_eq!(locked.retention.unwrap().until.duration_since(locked.created).as_hours() / 24, 90);
    }
}

/// The bucket is the first warden's to compare and to change; each locks the objects of its own accounts.
#[tokio::test]
async fn of_several_wardens_each_locks_its_own_accounts_and_the_first_the_bucket() {
    let yard = Yard::new(GOVERNANCE);
    let keys = [yard.deliver(PROD, 1), yard.deliver(REST, 1)];
    let retain = |index| {
        let yard = &yard;
        async move { Retain { shard: Shard::new(index, 2).unwrap(), ..yard.retain().await } }
    };
    let second = retain(1).await;
    assert!(second.audit().await.unwrap().steps.is_empty());
    assert_eq!(yard.told(&second).await, [""; 0], "the bucket has no lock, and that is the first one's to tell");
    let first = retain(0).await;
    let plan = first.plan().await.unwrap();
    assert!(plan.steps.len() > 1, "{plan:?}");
    first.apply(&plan, true).await.unwrap();

    // PROD ends in 1, REST in 2: an override of the one is asked for, what came before the default of the other.
    let locked = |key: &str| {
        let (vault, key) = (yard.vault(), key.to_owned());
        async move { vault.lock(&key, None).await.unwrap().unwrap().retention.is_some() }
    };
    assert_eq!((locked(&keys[0]).await, locked(&keys[1]).await), (false, true));
    let plan = second.plan().await.unwrap();
    assert!(plan.steps.iter().all(|step| step.action.is_extension()) && plan.steps.len() == 1, "{plan:?}");
    let needs = |plan: &Plan| match &plan.steps[0].action {
        Action::Extend { needs } => needs.iter().map(|need| need.account.to_string()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(needs(&plan), [PROD]);
    second.apply(&plan, true).await.unwrap();
    assert!(locked(&keys[0]).await);
    assert!(second.plan().await.unwrap().is_empty());
}
