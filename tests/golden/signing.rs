//! The arithmetic step by step: hashes, strings to sign and signatures of the base chain, and of published samples.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{Digest as Hash, SHA256};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use trailwarden::core::digest::{Digest, Examined, Place, Verdict, VerifyingKey};
use trailwarden::core::gzip::{Caps, inflate};
use trailwarden::core::id::Sha256;
use trailwarden::core::key::{ObjectKey, parse};

use crate::bench::{BUCKET, case, digest, log, sidecar};
use crate::samples::samples;

fn steps() -> Value {
    serde_json::from_str(include_str!("intermediate.json")).unwrap()
}

fn key(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/keys").join(name)).unwrap()
}

fn object(key: &str) -> Vec<u8> {
    fs::read(case("01").dir.join("objects").join(key)).unwrap()
}

#[test]
fn digests_hash_sign_and_verify_as_the_vectors_say() {
    let steps = steps();
    for (n, step) in steps["digests"].as_array().unwrap().iter().enumerate() {
        assert_eq!(step["key"], digest(n));
        let inflated = inflate(&object(&digest(n)), Caps::default()).unwrap();
        let sha = Sha256::of(&inflated.bytes);
        assert_eq!(step["sha256_of_uncompressed_json"], sha.to_string());
        let parsed = Digest::parse(&inflated.bytes).unwrap();
        let text = parsed.string_to_sign(&sha);
        assert_eq!(step["string_to_sign"], text);
        assert_eq!(step["string_to_sign_sha256"], Sha256::of(text.as_bytes()).to_string());
        assert_eq!(steps["fingerprints"]["key-a"], parsed.fingerprint);
        let signature = hex::decode(step["signature_hex"].as_str().unwrap()).unwrap();
        for der in ["key-a.pkcs1.der", "key-a.spki.der"] {
            assert!(VerifyingKey::of(&key(der)).verifies(&text, &signature), "{der}");
            assert!(!VerifyingKey::of(&key(der)).verifies(&format!("{text}\n"), &signature), "{der}");
        }
        assert!(!VerifyingKey::of(&key("key-b.pkcs1.der")).verifies(&text, &signature));
        assert_eq!(parsed.previous.is_none(), n == 0);
        if let Some(previous) = parsed.previous {
            let before = &steps["digests"][n - 1];
            assert_eq!(before["key"], previous.key);
            assert_eq!(before["sha256_of_uncompressed_json"], previous.sha.to_string());
            assert_eq!(before["signature_hex"], hex::encode(previous.signature));
        }
    }
}

#[test]
fn logs_are_hashed_inflated() {
    let steps = steps();
    for (n, step) in steps["logs"].as_array().unwrap().iter().enumerate() {
        assert_eq!(step["key"], log(n));
        let stored = object(&log(n));
        assert_eq!(
            step["sha256_uncompressed"],
            Sha256::of(&inflate(&stored, Caps::default()).unwrap().bytes).to_string()
        );
        assert_eq!(step["sha256_of_gzip_bytes_WRONG_INPUT"], Sha256::of(&stored).to_string());
    }
}

/// One bit of the key, the signature or the text, and nothing holds any more.
#[test]
fn a_single_bit_decides() {
    let ObjectKey::Digest(parsed) = parse(&digest(1)) else { panic!("no digest's key") };
    let path = case("01").dir.join("objects").join(digest(1));
    let metadata: BTreeMap<String, String> = serde_json::from_slice(&fs::read(sidecar(&path)).unwrap()).unwrap();
    let place = Place { bucket: Some(BUCKET), key: &digest(1), parsed: &parsed, has_metadata: true };
    let look = |metadata: &BTreeMap<String, String>, der: &[u8]| {
        let mut examined = Examined::open(&place, &object(&digest(1)), metadata, Caps::default());
        examined.seal(Some(&VerifyingKey::of(der)));
        examined
    };
    let der = key("key-a.pkcs1.der");
    assert_eq!(look(&metadata, &der).verdict, Verdict::Good);
    for byte in [12, der.len() / 2, der.len() - 10] {
        let mut other = der.clone();
        other[byte] ^= 1;
        assert_eq!(look(&metadata, &other).verdict, Verdict::Bad, "byte {byte} of the key");
    }
    let signature = hex::decode(&metadata["signature"]).unwrap();
    for byte in [0, 100, 255] {
        let mut other = signature.clone();
        other[byte] ^= 1;
        let mut metadata = metadata.clone();
        metadata.insert("signature".into(), hex::encode(other));
        let examined = look(&metadata, &der);
        assert_eq!(examined.verdict, Verdict::Bad, "byte {byte} of the signature");
        assert_eq!(examined.claims(&parsed).count(), 0, "what was refuted claims nothing");
    }
}

/// The published samples have their names blackened, so only the last step can be taken: hash, signature, key.
#[test]
fn published_signatures_verify() {
    let Some(files) = samples("digests") else { return };
    let (_, bytes) = files.iter().find(|(name, _)| name == "aws_docs_signature_vectors.json").unwrap();
    let vectors: Value = serde_json::from_slice(bytes).unwrap();
    let text = |vector: &Value, name: &str| vector[name].as_str().unwrap().to_owned();
    for vector in vectors.as_array().unwrap() {
        assert_eq!(vector["verify"], "valid");
        let der = STANDARD.decode(text(vector, "key_der_base64")).unwrap();
        let signature = hex::decode(text(vector, "signature_hex")).unwrap();
        let mut hash = hex::decode(text(vector, "sha256_of_string_to_sign")).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der);
        let holds = |hash: &[u8]| {
            let hash = Hash::import_less_safe(hash, &SHA256).unwrap();
            public.verify_digest(&hash, &signature).is_ok()
        };
        assert!(holds(&hash), "{}", vector["source"]);
        hash[31] ^= 1;
        assert!(!holds(&hash), "{}", vector["source"]);
    }
    assert!(vectors.as_array().is_some_and(|all| !all.is_empty()));
}

/// A digest that CloudTrail wrote, with slashes escaped as it writes them.
#[test]
fn a_real_digest_parses() {
    let Some(files) = samples("digests") else { return };
    let mut real = 0;
    for (name, bytes) in files.iter().filter(|(name, _)| name.contains("_CloudTrail-Digest_")) {
        real += 1;
        let written: Value = serde_json::from_slice(bytes).unwrap();
        let parsed = Digest::parse(bytes).unwrap();
        assert!(!parsed.key.contains('\\') && written["digestS3Object"] == parsed.key.as_str(), "{name}");
        let ObjectKey::Digest(key) = parse(&parsed.key) else { panic!("{name}: no digest's key") };
        assert_eq!(Some(key.root.account), parsed.account);
        assert_eq!(key.end, parsed.end);
        assert!(!key.trail.is_empty() && key.region != key.home);
        let previous = parsed.previous.clone().unwrap();
        assert!(matches!(parse(&previous.key), ObjectKey::Digest(before) if before.end == parsed.start));
        assert_eq!(previous.signature.len(), 256);
        assert_eq!(parsed.logs.len(), written["logFiles"].as_array().unwrap().len());
        for log in &parsed.logs {
            assert!(matches!(parse(&log.key), ObjectKey::Log(_)), "{name}: {}", log.key);
        }
        let text = parsed.string_to_sign(&Sha256::of(bytes));
        assert_eq!(text.lines().count(), 4);
        assert!(text.starts_with(&format!("{}\n{}/{}\n", parsed.end_text, parsed.bucket, parsed.key)));
    }
    assert!(real > 0);
}
