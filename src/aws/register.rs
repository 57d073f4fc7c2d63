//! A register that is an S3 object, written conditionally (S3 User Guide: "Conditional writes").

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;

use super::class::{chain, code_of, failed, status_of};
use super::s3::is_absent;
use crate::error::{Error, Result};
use crate::seam::{Register, Written};

/// One key; its tag is the ETag.
#[derive(Debug, Clone)]
pub struct S3Register {
    client: Client,
    bucket: String,
    key: String,
}

impl S3Register {
    pub(super) fn new(client: Client, bucket: String, key: String) -> Self {
        Self { client, bucket, key }
    }
}

#[async_trait]
impl Register for S3Register {
    async fn read(&self, max_bytes: usize) -> Result<Option<(Vec<u8>, String)>> {
        let answer = match self.client.get_object().bucket(&self.bucket).key(&self.key).send().await {
            Ok(answer) => answer,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed("s3:GetObject", &error)),
        };
        let tag = answer.e_tag.clone().ok_or_else(|| Error::permanent("s3:GetObject", "the object has no etag"))?;
        if answer.content_length.is_none_or(|length| usize::try_from(length).is_ok_and(|length| length > max_bytes)) {
            return Err(Error::permanent("s3:GetObject", format!("more than {max_bytes} bytes lie there")));
        }
        let body = answer.body.collect().await;
        let body = body.map_err(|error| Error::transient("s3:GetObject", chain(&error)))?;
        Ok(Some((body.to_vec(), tag)))
    }

    async fn write(&self, value: Vec<u8>, over: Option<&str>) -> Result<Written> {
        let put = self.client.put_object().bucket(&self.bucket).key(&self.key).body(ByteStream::from(value));
        let put = match over {
            Some(tag) => put.if_match(tag),
            None => put.if_none_match("*"),
        };
        match put.content_type("application/json").send().await {
            Ok(answer) => {
                let tag = answer.e_tag.ok_or_else(|| Error::permanent("s3:PutObject", "the object has no etag"))?;
                Ok(Written::Won(tag))
            }
            Err(error) if is_lost(&error) => Ok(Written::Lost),
            Err(error) => Err(failed("s3:PutObject", &error)),
        }
    }
}

/// 412 PreconditionFailed: something else is there. 409 ConditionalRequestConflict: another write was under way. 404: what was
/// to be written over is gone.
fn is_lost<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        (code_of(error), status_of(error)),
        (Some("PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey"), _)
            | (None, Some(404 | 409))
            | (_, Some(412))
    )
}
