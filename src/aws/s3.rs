//! A bucket on S3.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, ServerSideEncryption};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::class::{code_of, failed, status_of};
use super::vault::retention;
use crate::core::id::{AccountId, Sha256};
use crate::error::{Error, Result};
use crate::seam::{Bucket, Got, Head, Listed, Metadata, Object, Page};

/// From the answer's headers to the last byte. The SDK's own timeouts end with the headers.
const BODY: Duration = Duration::from_secs(120);
/// From the first byte to the answer, for the largest object that S3 takes at once (5 GiB).
const UPLOAD: Duration = Duration::from_secs(3600);

/// A bucket, and the account that must own it.
#[derive(Debug, Clone)]
pub struct S3Bucket {
    client: Client,
    name: String,
    owner: Option<AccountId>,
    own: Option<Own>,
}

/// A bucket that holds no evidence: what is written there may be removed again.
#[derive(Debug, Clone)]
struct Own {
    /// The KMS key that encrypts what is put there; `None` leaves it to the bucket.
    key: Option<String>,
}

impl S3Bucket {
    pub(super) fn new(client: Client, name: String, owner: Option<AccountId>) -> Self {
        Self { client, name, owner, own: None }
    }

    pub(super) fn own(self, key: Option<String>) -> Self {
        Self { own: Some(Own { key }), ..self }
    }

    fn key(&self) -> Option<String> {
        self.own.as_ref().and_then(|own| own.key.clone())
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.key().map(|_| ServerSideEncryption::AwsKms)
    }

    fn owner(&self) -> Option<String> {
        self.owner.map(String::from)
    }

    /// HEAD answers 404 without saying whether key or bucket is missing; a vanished bucket is no missing evidence.
    async fn must_exist(&self) -> Result<()> {
        let asked = self.client.head_bucket().bucket(&self.name).set_expected_bucket_owner(self.owner()).send().await;
        match asked {
            Err(error) if status_of(&error) == Some(404) => {
                Err(Error::permanent("s3:HeadBucket", "no such bucket").with_code("NoSuchBucket"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Bucket for S3Bucket {
    async fn get(&self, key: &str, version: Option<&str>, max_bytes: u64) -> Result<Got> {
        if key.is_empty() {
            return Ok(Got::Absent);
        }
        let answer = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .set_version_id(version.map(Into::into))
            .set_expected_bucket_owner(self.owner())
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_absent(&error) => return Ok(Got::Absent),
            Err(error) => return Err(failed("s3:GetObject", &error)),
        };
        let (head, body) = split(answer);
        if head.size > max_bytes {
            return Ok(Got::TooLarge(head.size));
        }
        match tokio::time::timeout(BODY, read(body, head.size)).await {
            Ok(body) => body.map(|body| Got::Found(Object { head, body })),
            Err(_) => Err(Error::transient("s3:GetObject", "the body did not arrive in time")),
        }
    }

    async fn head(&self, key: &str, version: Option<&str>) -> Result<Option<Head>> {
        if key.is_empty() {
            return Ok(None);
        }
        let answer = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(key)
            .set_version_id(version.map(Into::into))
            .set_expected_bucket_owner(self.owner())
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(Some(Head {
                size: length(answer.content_length),
                version: answer.version_id,
                etag: answer.e_tag.as_deref().map(unquoted),
                metadata: lowered(answer.metadata),
                lock: retention(answer.object_lock_mode.as_ref(), answer.object_lock_retain_until_date.as_ref()),
                storage_class: answer.storage_class.map(|class| class.as_str().to_owned()),
            })),
            Err(error) if is_absent(&error) => self.must_exist().await.map(|()| None),
            Err(error) => Err(failed("s3:HeadObject", &error)),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        let mut token = None;
        loop {
            let answer = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(prefix)
                .set_start_after(after.map(Into::into))
                .set_continuation_token(token)
                // Keys may hold characters that XML cannot.
                .encoding_type(EncodingType::Url)
                .set_expected_bucket_owner(self.owner())
                .send()
                .await
                .map_err(|error| failed("s3:ListObjectsV2", &error))?;
            let encoded = answer.encoding_type() == Some(&EncodingType::Url);
            let more = answer.is_truncated().unwrap_or(false);
            token = answer.next_continuation_token().map(Into::into);
            let objects = listed(answer.contents(), encoded)?;
            // The caller goes on after the last key of a page, so a page that others follow must have one.
            if !objects.is_empty() || !more || token.is_none() {
                return Ok(Page { objects, more });
            }
        }
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let mut folders = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(prefix)
                .delimiter("/")
                .set_continuation_token(token)
                .encoding_type(EncodingType::Url)
                .set_expected_bucket_owner(self.owner())
                .send()
                .await
                .map_err(|error| failed("s3:ListObjectsV2", &error))?;
            let encoded = answer.encoding_type() == Some(&EncodingType::Url);
            for folder in answer.common_prefixes().iter().filter_map(|common| common.prefix()) {
                folders.push(decoded(folder, encoded)?);
            }
            token = answer.next_continuation_token().map(Into::into);
            if !answer.is_truncated().unwrap_or(false) || token.is_none() {
                break;
            }
        }
        folders.sort_unstable();
        folders.dedup();
        Ok(folders)
    }

    async fn put(&self, key: &str, body: Vec<u8>, metadata: Metadata) -> Result<()> {
        let sum = STANDARD.encode(Sha256::of(&body).0);
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .body(ByteStream::from(body))
            .set_metadata(Some(metadata.into_iter().collect()))
            // Buckets with Object Lock take nothing without a checksum.
            .checksum_sha256(sum)
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.key())
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| failed("s3:PutObject", &error))
    }

    async fn put_file(&self, key: &str, file: &Path, sha: &Sha256) -> Result<()> {
        let unread = |error| Error::transient("s3:PutObject", super::class::chain(&error));
        let body = ByteStream::from_path(file).await.map_err(unread)?;
        let patience = TimeoutConfig::builder().operation_attempt_timeout(UPLOAD).operation_timeout(UPLOAD).build();
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .body(body)
            .checksum_sha256(STANDARD.encode(sha.0))
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.key())
            .set_expected_bucket_owner(self.owner())
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(patience))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| failed("s3:PutObject", &error))
    }

    async fn range(&self, key: &str, from: u64, length: u64) -> Result<Option<Vec<u8>>> {
        if length == 0 {
            return Ok(Some(Vec::new()));
        }
        let to = from.saturating_add(length - 1);
        let answer = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .range(format!("bytes={from}-{to}"))
            .set_expected_bucket_owner(self.owner())
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_absent(&error) => return Ok(None),
            // nothing lies there
            Err(error) if status_of(&error) == Some(416) => return Ok(Some(Vec::new())),
            Err(error) => return Err(failed("s3:GetObject", &error)),
        };
        let (head, body) = split(answer);
        match tokio::time::timeout(BODY, read(body, head.size.min(length))).await {
            Ok(body) => body.map(Some),
            Err(_) => Err(Error::transient("s3:GetObject", "the body did not arrive in time")),
        }
    }

    async fn remove(&self, key: &str) -> Result<()> {
        if self.own.is_none() {
            return Err(Error::permanent("s3:DeleteObject", "nothing is removed from this bucket"));
        }
        self.client
            .delete_object()
            .bucket(&self.name)
            .key(key)
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| failed("s3:DeleteObject", &error))
    }

    async fn has_metadata(&self) -> Result<bool> {
        Ok(true)
    }
}

/// No such key or version, a delete marker, or a name that no object can have. A missing bucket is not that.
pub(super) fn is_absent<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match (code_of(error), status_of(error)) {
        // `NotFound` is what the SDK makes of HEAD's bare 404.
        (Some("NoSuchKey" | "NoSuchVersion" | "NotFound" | "KeyTooLongError"), _) => true,
        // Whoever may write to the queue chooses the version id.
        (Some("InvalidArgument"), _) => error
            .as_service_error()
            .and_then(ProvideErrorMetadata::message)
            .is_some_and(|message| message.to_ascii_lowercase().contains("version id")),
        // A delete marker that was asked for by its version.
        (_, Some(405)) => true,
        (None, Some(404)) => true,
        _ => false,
    }
}

fn split(answer: GetObjectOutput) -> (Head, ByteStream) {
    let head = Head {
        size: length(answer.content_length),
        version: answer.version_id,
        etag: answer.e_tag.as_deref().map(unquoted),
        metadata: lowered(answer.metadata),
        lock: retention(answer.object_lock_mode.as_ref(), answer.object_lock_retain_until_date.as_ref()),
        storage_class: answer.storage_class.map(|class| class.as_str().to_owned()),
    };
    (head, answer.body)
}

/// Exactly `size` bytes, for which the caller has room, or an error: half an object must never be mistaken for a modified one.
async fn read(mut body: ByteStream, size: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size.try_into().unwrap_or_default());
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Error::transient("s3:GetObject", super::class::chain(&error)))?;
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > size {
            break;
        }
    }
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(Error::transient("s3:GetObject", format!("{} bytes of {size} arrived", bytes.len())))
    }
}

pub(super) fn length(bytes: Option<i64>) -> u64 {
    bytes.unwrap_or_default().try_into().unwrap_or_default()
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn lowered(metadata: Option<HashMap<String, String>>) -> Metadata {
    metadata.unwrap_or_default().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

fn listed(contents: &[aws_sdk_s3::types::Object], encoded: bool) -> Result<Vec<Listed>> {
    contents
        .iter()
        .map(|object| {
            Ok(Listed {
                key: decoded(object.key().unwrap_or_default(), encoded)?,
                size: length(object.size()),
                etag: object.e_tag().map(unquoted),
            })
        })
        .collect()
}

/// Undoes `encoding-type=url`, which writes a blank as `+` (S3 API reference: ListObjectsV2).
pub(super) fn decoded(text: &str, encoded: bool) -> Result<String> {
    if !encoded {
        return Ok(text.to_owned());
    }
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8()
        .map(Into::into)
        .map_err(|_| Error::permanent("s3:ListObjectsV2", "a key is not utf-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_keys_come_back_as_they_were() {
        assert_eq!(decoded("a%2Bb+c%25d%01/%C3%BC", true).unwrap(), "a+b c%d\u{1}/ü");
        assert_eq!(decoded("a+b%20", false).unwrap(), "a+b%20");
        assert!(decoded("%ff", true).is_err());
    }

    #[test]
    fn etags_lose_their_quotes_and_metadata_names_their_capitals() {
        assert_eq!(unquoted("\"abc-2\""), "abc-2");
        let metadata = lowered(Some(HashMap::from([("Signature".to_owned(), "Ab".to_owned())])));
        assert_eq!(metadata.get("signature").map(String::as_str), Some("Ab"));
    }
}
