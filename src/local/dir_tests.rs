use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::error::Class;

const MAX: u64 = 1 << 20;

fn made(keys: &[&str]) -> (TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    for key in keys {
        let path = temp.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, key).unwrap();
    }
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

async fn keys(dir: &Dir, prefix: &str, after: Option<&str>) -> Vec<String> {
    dir.list(prefix, after).await.unwrap().objects.into_iter().map(|listed| listed.key).collect()
}

async fn absent(dir: &Dir, key: &str) -> bool {
    let got = matches!(dir.get(key, None, MAX).await.unwrap(), Got::Absent);
    assert_eq!(got, dir.head(key, None).await.unwrap().is_none(), "get and head disagree on {key:?}");
    got
}

#[tokio::test]
async fn what_is_put_is_got_with_its_metadata_and_replaced_as_a_whole() {
    let (temp, dir) = made(&[]);
    let key = "AWSLogs/111122223333/CloudTrail-Digest/a.json.gz";
    let metadata = Metadata::from([("signature".to_owned(), "0f".to_owned())]);
    assert!(!dir.has_metadata().await.unwrap());
    dir.put(key, b"one".to_vec(), metadata.clone()).await.unwrap();
    let Got::Found(object) = dir.get(key, Some("no-such-version"), MAX).await.unwrap() else { panic!("not found") };
    assert_eq!(object.body, b"one");
    assert_eq!((object.head.size, &object.head.metadata, object.head.version), (3, &metadata, None));
    assert!(dir.has_metadata().await.unwrap());

    dir.put(key, b"two".to_vec(), Metadata::new()).await.unwrap();
    let head = dir.head(key, None).await.unwrap().unwrap();
    assert_eq!(head.metadata, Metadata::new(), "the old object's metadata must not stay");
    assert_eq!(keys(&dir, "", None).await, [key]);
    let left: Vec<_> = std::fs::read_dir(temp.path().join("AWSLogs/111122223333/CloudTrail-Digest")).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file and no sidecar is left");
}

#[tokio::test]
async fn the_etag_follows_the_content_and_agrees_everywhere() {
    let (temp, dir) = made(&["k"]);
    let path = temp.path().join("k");
    let before = dir.head("k", None).await.unwrap().unwrap().etag;
    assert_eq!(dir.list("", None).await.unwrap().objects[0].etag, before);
    std::fs::write(&path, "K").unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 1)).unwrap();
    let first = dir.head("k", None).await.unwrap().unwrap().etag;
    assert_ne!(first, before);
    file.set_modified(std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 2)).unwrap();
    assert_ne!(dir.head("k", None).await.unwrap().unwrap().etag, first, "same size, a nanosecond later");
}

#[tokio::test]
async fn nothing_is_served_from_outside() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "s").unwrap();
    let (temp, dir) = made(&["a/k", ".hidden", "a/.tmp-1-2", "a/k.meta.json", "a/.dot/k"]);
    symlink(outside.path().join("secret"), temp.path().join("a/link")).unwrap();
    symlink(outside.path(), temp.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), temp.path().join("a/k2.meta.json")).unwrap();
    std::fs::write(temp.path().join("a/k2"), "x").unwrap();
    let escape = format!("{}/secret", outside.path().display());
    let dots = format!("a/../../{}/secret", outside.path().file_name().unwrap().to_str().unwrap());
    for key in [
        "",
        "/",
        "a",
        "a/",
        "/a/k",
        "a//k",
        "./a/k",
        "a/./k",
        "a/../a/k",
        "..",
        "a\\k",
        "a/k\0",
        "a/k/",
        "a/k/more",
        ".hidden",
        "a/.tmp-1-2",
        "a/.dot/k",
        "a/k.meta.json",
        "a/link",
        "out/secret",
        escape.as_str(),
        dots.as_str(),
        "x".repeat(300).as_str(),
        "x/".repeat(900).as_str(),
    ] {
        assert!(absent(&dir, key).await, "{key:?}");
    }
    assert!(!absent(&dir, "a/k").await);
    assert_eq!(dir.head("a/k2", None).await.unwrap().unwrap().metadata, Metadata::new(), "a linked sidecar");
    assert_eq!(keys(&dir, "", None).await, ["a/k", "a/k2"]);
    assert_eq!(dir.folders("").await.unwrap(), ["a/"]);
    for prefix in ["../", "a/../", "out/", "/", "a//", "./a/"] {
        assert!(keys(&dir, prefix, None).await.is_empty(), "{prefix}");
        assert!(dir.folders(prefix).await.unwrap().is_empty(), "{prefix}");
    }
    let put = dir.put("out/new", b"x".to_vec(), Metadata::new()).await;
    assert!(put.is_err());
    assert!(!outside.path().join("new").exists());
    for key in ["../new", "a\\k", ".tmp-9", ""] {
        assert_eq!(dir.put(key, Vec::new(), Metadata::new()).await.unwrap_err().class, Class::Permanent, "{key}");
    }
}

#[tokio::test]
async fn a_pipe_is_no_object_and_holds_nobody() {
    let (temp, dir) = made(&[]);
    let made = std::process::Command::new("mkfifo").arg(temp.path().join("pipe")).status().unwrap();
    assert!(made.success());
    assert!(absent(&dir, "pipe").await);
    assert!(keys(&dir, "", None).await.is_empty());
}

#[tokio::test]
async fn sizes_are_bounded() {
    let (_temp, dir) = made(&["four"]);
    assert!(matches!(dir.get("four", None, 3).await.unwrap(), Got::TooLarge(4)));
    assert!(matches!(dir.get("four", None, 4).await.unwrap(), Got::Found(_)));
}

#[tokio::test]
async fn keys_come_in_the_order_of_their_bytes() {
    let given = ["a/b/1", "a/b-c/2", "a/b.txt", "a/b0", "a/é", "a-b", "a0", "B", "a/b/0/x", "a/b/0-"];
    let (_temp, dir) = made(&given);
    let mut want: Vec<String> = given.iter().map(|key| (*key).to_owned()).collect();
    want.sort();
    assert_eq!(keys(&dir, "", None).await, want);
    for prefix in ["a", "a/", "a/b", "a/b/", "a/b/0", "a/b/0/", "a-", "z", "a/b/0/x", "a/b/0/x/", "é"] {
        let under: Vec<_> = want.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        assert_eq!(keys(&dir, prefix, None).await, under, "{prefix}");
        let afters = want.iter().map(String::as_str).chain(["", "a/", "a/b", "a/b/", "a/b/0~", "~", "a.", "a/b/0/"]);
        for after in afters {
            let rest: Vec<_> = under.iter().filter(|key| key.as_str() > after).cloned().collect();
            assert_eq!(keys(&dir, prefix, Some(after)).await, rest, "{prefix} after {after}");
        }
    }
    assert_eq!(dir.folders("a/").await.unwrap(), ["a/b-c/", "a/b/"]);
    assert_eq!(dir.folders("").await.unwrap(), ["a/"]);
}

#[tokio::test]
async fn pages_are_full_and_join_without_loss() {
    let names: Vec<String> = (0..2001).map(|n| format!("d{:02}/k{n:04}", n / 100)).collect();
    let (_temp, dir) = made(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut got, mut after, mut sizes) = (Vec::new(), None::<String>, Vec::new());
    loop {
        let page = dir.list("", after.as_deref()).await.unwrap();
        sizes.push(page.objects.len());
        got.extend(page.objects.into_iter().map(|listed| listed.key));
        after = got.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(sizes, [1000, 1000, 1]);
    assert_eq!(got, names);
    assert!(!dir.list("", Some(&names[1000])).await.unwrap().more, "a page that is just full");
}

#[tokio::test]
async fn objects_may_lie_one_folder_deeper() {
    let (_temp, dir) = made(&["objects/a/k", "case.json"]);
    assert_eq!(keys(&dir, "", None).await, ["a/k"]);
}

#[tokio::test]
async fn a_plain_copy_has_no_metadata_until_a_sidecar_turns_up() {
    let (temp, dir) = made(&["AWSLogs/1/CloudTrail/x", "AWSLogs/1/CloudTrail-Digest/y"]);
    assert!(!dir.has_metadata().await.unwrap());
    std::fs::write(temp.path().join("AWSLogs/1/CloudTrail-Digest/y.meta.json"), r#"{"Signature":"0f","n":1}"#).unwrap();
    assert!(dir.has_metadata().await.unwrap());
    let head = dir.head("AWSLogs/1/CloudTrail-Digest/y", None).await.unwrap().unwrap();
    assert_eq!(head.metadata, Metadata::from([("signature".to_owned(), "0f".to_owned())]));
}

#[tokio::test]
async fn a_directory_that_is_gone_is_an_error_and_not_an_empty_bucket() {
    let (temp, dir) = made(&["k"]);
    drop(temp);
    assert!(dir.get("k", None, MAX).await.unwrap_err().is_transient());
    assert!(dir.list("", None).await.unwrap_err().is_transient());
    assert_eq!(Dir::open(Path::new("/nonexistent")).err().unwrap().class, Class::Permanent);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_put_is_not_put() {
    let (temp, dir) = made(&["place/file"]);
    let from = temp.path().join("from");
    std::fs::write(&from, b"another content").unwrap();
    assert!(dir.put_file("place/file", &from, &Sha256::of(b"what was checked")).await.is_err());
    let Got::Found(object) = dir.get("place/file", None, MAX).await.unwrap() else { panic!("not found") };
    assert_eq!(object.body, b"place/file", "what was there stays");
    assert_eq!(std::fs::read_dir(temp.path().join("place")).unwrap().count(), 1, "nothing half done is left");
}

#[tokio::test]
async fn parts_are_read_and_only_what_is_our_own_is_removed() {
    let (temp, dir) = made(&["a/key"]);
    assert_eq!(dir.range("a/key", 2, 2).await.unwrap(), Some(b"ke".to_vec()));
    assert_eq!(dir.range("a/key", 3, 9).await.unwrap(), Some(b"ey".to_vec()));
    assert_eq!(dir.range("a/key", 9, 9).await.unwrap(), Some(vec![]));
    assert_eq!(dir.range("a", 0, 9).await.unwrap_or(None), None);
    assert_eq!(dir.range("../x", 0, 9).await.unwrap(), None);
    assert!(dir.remove("a/key").await.is_err());
    let own = Dir::own(temp.path()).unwrap();
    own.remove("a/key").await.unwrap();
    own.remove("a/key").await.unwrap();
    assert!(absent(&dir, "a/key").await);
}
