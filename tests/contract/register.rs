//! The contract of a value that is only ever written over what was read, and S3's answers to conditional writes.

use std::sync::Arc;

use futures_util::future::join_all;
use trailwarden::aws::{Aws, Options};
use trailwarden::env::Env;
use trailwarden::local::register::FileRegister;
use trailwarden::seam::{DynRegister, Register as _, Written};

use crate::aws::make_bucket;
use crate::common::emulator::{Emulator, loader};
use crate::common::stub::{Answer, Stub};

const LIMIT: usize = 1 << 10;
/// Writers that race, and how often.
const RACERS: usize = 4;
const RACES: usize = 12;

fn won(written: Written) -> String {
    match written {
        Written::Won(tag) => tag,
        Written::Lost => panic!("it was lost"),
    }
}

/// `open` answers another handle to the same value, which nobody has written yet.
async fn register_contract(open: impl AsyncFn() -> DynRegister) {
    let (one, other) = (open().await, open().await);
    assert_eq!(one.read(LIMIT).await.unwrap(), None);
    assert_eq!(one.write(b"never".to_vec(), Some("no-such-tag")).await.unwrap(), Written::Lost);
    let first = won(one.write(b"first".to_vec(), None).await.unwrap());
    assert_eq!(other.read(LIMIT).await.unwrap(), Some((b"first".to_vec(), first.clone())), "what was won is there");
    assert_eq!(other.write(b"late".to_vec(), None).await.unwrap(), Written::Lost, "there is one");
    let second = won(other.write(b"second".to_vec(), Some(&first)).await.unwrap());
    assert_ne!(first, second);
    assert_eq!(one.write(b"stale".to_vec(), Some(&first)).await.unwrap(), Written::Lost);
    assert_eq!(one.read(LIMIT).await.unwrap(), Some((b"second".to_vec(), second.clone())));
    let whole = won(one.write(vec![b'x'; LIMIT], Some(&second)).await.unwrap());
    assert_eq!(one.read(LIMIT).await.unwrap().unwrap().0.len(), LIMIT);
    let mut tag = won(one.write(vec![b'x'; LIMIT + 1], Some(&whole)).await.unwrap());
    assert!(one.read(LIMIT).await.is_err(), "too long is an error, and not half of it");
    for race in 0..RACES {
        let racers = (0..RACERS).map(async |racer| {
            let register = open().await;
            (racer, register.write(format!("{race}/{racer}").into_bytes(), Some(&tag)).await.unwrap())
        });
        let outcomes = join_all(racers).await;
        let winners: Vec<_> = outcomes.into_iter().filter(|(_, written)| *written != Written::Lost).collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        let (racer, written) = winners.into_iter().next().unwrap();
        tag = won(written);
        assert_eq!(one.read(LIMIT).await.unwrap(), Some((format!("{race}/{racer}").into_bytes(), tag.clone())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_the_registers_contract() {
    let dir = tempfile::tempdir().unwrap();
    let open = async || Arc::new(FileRegister::new(dir.path(), "acme.lease", &Env::system())) as DynRegister;
    register_contract(open).await;
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "what was written over is gone, and what was lost");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_no_free_lease() {
    let dir = tempfile::tempdir().unwrap();
    let register = FileRegister::new(&dir.path().join("share/lease"), "acme.lease", &Env::system());
    assert!(register.read(LIMIT).await.is_err() && register.write(b"x".to_vec(), None).await.is_err());
    assert!(!dir.path().join("share").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_registers_contract() {
    let Some(emulator) = Emulator::shared() else { return };
    make_bucket(emulator, "registers", false).await;
    let open = async || Arc::new(emulator.aws().await.register("registers", "deep/er/acme.lease")) as DynRegister;
    register_contract(open).await;
}

async fn answering(answer: Answer) -> (Stub, DynRegister) {
    let stub = Stub::start(move |_| answer.clone());
    let aws = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await;
    (stub, Arc::new(aws.register("b", "k")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_answers_to_a_lost_race_is_no_error() {
    for (status, code) in [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (404, "NoSuchKey")] {
        let (stub, register) = answering(Answer::s3_error(status, code, "no")).await;
        assert_eq!(register.write(b"x".to_vec(), Some("\"t\"")).await.unwrap(), Written::Lost, "{code}");
        assert_eq!(register.write(b"x".to_vec(), None).await.unwrap(), Written::Lost, "{code}");
        let asked = stub.asked();
        let headers =
            |name: &str| asked.iter().find_map(|asked| asked.headers.get(name)?.to_str().ok()).map(str::to_owned);
        assert_eq!((headers("if-match").as_deref(), headers("if-none-match").as_deref()), (Some("\"t\""), Some("*")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_refuses_is_neither_won_nor_lost() {
    for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket")] {
        let (_stub, register) = answering(Answer::s3_error(status, code, "no")).await;
        let error = register.write(b"x".to_vec(), None).await.unwrap_err();
        assert!(!error.is_transient() && error.code.as_deref() == Some(code), "{error}");
        assert!(!register.read(LIMIT).await.unwrap_err().is_transient(), "a human has to act");
    }
}
