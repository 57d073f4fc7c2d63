//! What an SDK error means for us: its class, its code, and a text that holds no secret.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::core::printable;
use crate::error::{Class, Error};

/// The code of an error that says that no credentials could be had.
pub const CREDENTIALS: &str = "Credentials";

/// Bytes of the far side's own words that are kept.
const TEXT: usize = 400;

/// A failed call. `op` is `service:Operation`, as in an IAM policy.
pub fn failed<E>(op: &'static str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if has_source::<CredentialsError>(error) {
        // The chain of providers tells of each: that is for the doctor.
        let text = chain(error);
        let text = text.split(" Attempted:").next().unwrap_or_default().trim_end_matches('.');
        return Error::transient(op, text).with_code(CREDENTIALS);
    }
    match error {
        SdkError::ServiceError(answer) => answered(op, answer.err(), answer.raw()),
        SdkError::ResponseError(answer) => {
            // A success that cannot be read was cut or garbled on its way; the next one need not be.
            let status = answer.raw().status().as_u16();
            let class = if status < 400 { Class::TRANSIENT } else { class_of("", status, retry_after(answer.raw())) };
            Error::new(class, op, chain(error))
        }
        SdkError::DispatchFailure(failure) if failure.is_user() || is_misconfigured(error) => {
            Error::permanent(op, chain(error))
        }
        SdkError::ConstructionFailure(_) => Error::permanent(op, chain(error)),
        _ => Error::transient(op, chain(error)),
    }
}

/// The far side's code, when it gave one.
pub(super) fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

pub(super) fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|raw| raw.status().as_u16())
}

fn answered<E: ProvideErrorMetadata>(op: &'static str, error: &E, raw: &HttpResponse) -> Error {
    let request = error.meta().extra("aws_request_id");
    let (code, status) = (error.code().unwrap_or_default(), raw.status().as_u16());
    refused(op, code, error.message(), status, retry_after(raw), request)
}

/// `code` is empty when the answer had none.
pub(super) fn refused(
    op: &'static str,
    code: &str,
    words: Option<&str>,
    status: u16,
    retry_after: Option<Duration>,
    request: Option<&str>,
) -> Error {
    let words = match words {
        // Their messages quote the request's headers.
        _ if code.contains("Signature") || code.contains("AuthenticationToken") => {
            "the request's signature was refused"
        }
        Some(message) => message,
        None => "refused without a word",
    };
    let mut text = plain(words);
    text.push_str(&format!(" (status {status}"));
    if !code.is_empty() {
        text.push_str(&format!(", code {}", printable(code, 80)));
    }
    if let Some(request) = request {
        text.push_str(&format!(", request {}", printable(request, 80)));
    }
    text.push(')');
    let error = Error::new(class_of(code, status, retry_after), op, text);
    if code.is_empty() { error } else { error.with_code(code) }
}

/// `code` is empty when the answer had no body, as every answer to HEAD.
fn class_of(code: &str, status: u16, retry_after: Option<Duration>) -> Class {
    if is_passing(code) || is_passing_status(code, status) {
        Class::Transient { retry_after }
    } else {
        Class::Permanent
    }
}

/// Codes whose status alone would look like a refusal.
fn is_passing(code: &str) -> bool {
    const PARTS: [&str; 8] = [
        "Throttl", // Throttling, ThrottledException, RequestThrottled, KMS.ThrottlingException, KmsThrottled
        "TooManyRequests",
        "ExpiredToken",
        "RequestTimeout",
        "DependencyTimeout",
        "ProvisionedThroughput",
        "ServiceUnavailable",
        "KMSInternal",
    ];
    const WHOLE: [&str; 13] = [
        "SlowDown",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "OverLimit", // SQS: too many messages in flight
        "TokenRefreshRequired",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServiceException", // Organizations
        "OperationAborted", // S3: a conflicting change of the bucket is under way
        "RequestTimeTooSkewed",
        "RequestExpired",
    ];
    PARTS.iter().any(|part| code.contains(part)) || WHOLE.contains(&code)
}

fn is_passing_status(code: &str, status: u16) -> bool {
    match status {
        408 | 429 => true,
        // HEAD has no room for a code: a well-formed HEAD is called bad when its session token has expired.
        400 => code.is_empty(),
        501 => false,
        _ => status >= 500,
    }
}

/// Whole seconds; the form with a date is not used by AWS.
fn retry_after(raw: &HttpResponse) -> Option<Duration> {
    raw.headers().get("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// No region, or a region or endpoint that make no address; the SDK has no type for it.
fn is_misconfigured(error: &dyn StdError) -> bool {
    sources(error).any(|source| {
        let words = source.to_string().to_ascii_lowercase();
        words.contains("invalid configuration") || words.contains("region must be set")
    })
}

fn has_source<T: StdError + 'static>(error: &dyn StdError) -> bool {
    sources(error).any(|source| source.is::<T>())
}

fn sources<'a>(error: &'a dyn StdError) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |source: &&'a (dyn StdError + 'static)| (*source).source())
}

/// The error and its causes. Never their `Debug` form: that holds whole answers with their headers.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    for source in sources(error) {
        let words = source.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
    }
    plain(&text)
}

/// House style: the first letter small, no full stop, one line.
fn plain(words: &str) -> String {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = printable(words.trim_end_matches('.'), TEXT);
    let mut letters = words.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if first.is_ascii_uppercase() && !second.is_ascii_uppercase() => {
            format!("{}{}", first.to_ascii_lowercase(), letters.as_str())
        }
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_are_told_on_one_line() {
        assert_eq!(plain("No way.\n  At all.\n"), "no way. At all");
        assert_eq!(plain("KMS says\u{7} no"), "KMS says\\u{7} no");
    }

    #[test]
    fn what_passes_is_told_from_what_needs_a_human() {
        for (code, status) in [
            ("SlowDown", 503),
            ("Throttling", 400),
            ("ThrottlingException", 400),
            ("RequestThrottled", 403),
            ("KMS.ThrottlingException", 400),
            ("TooManyRequestsException", 400),
            ("RequestLimitExceeded", 400),
            ("ProvisionedThroughputExceededException", 400),
            ("ExpiredToken", 400),
            ("ExpiredTokenException", 403),
            ("RequestTimeout", 400),
            ("InternalError", 500),
            ("ServiceUnavailable", 503),
            ("OverLimit", 403),
            ("", 500),
            ("", 502),
            ("", 429),
            ("", 400),
            ("SomethingNew", 503),
        ] {
            assert_eq!(class_of(code, status, None), Class::TRANSIENT, "{code} {status}");
        }
        for (code, status) in [
            ("AccessDenied", 403),
            ("AccessDeniedException", 400),
            ("AllAccessDisabled", 403),
            ("KMS.DisabledException", 400),
            ("KMS.NotFoundException", 400),
            ("KMS.AccessDeniedException", 400),
            ("InvalidObjectState", 403),
            ("NoSuchBucket", 404),
            ("InvalidAccessKeyId", 403),
            ("SignatureDoesNotMatch", 403),
            ("UnrecognizedClientException", 400),
            ("QueueDoesNotExist", 400),
            ("AWS.SimpleQueueService.NonExistentQueue", 400),
            ("PermanentRedirect", 301),
            ("NotImplemented", 501),
            ("InvalidArgument", 400),
            ("", 403),
            ("", 404),
        ] {
            assert_eq!(class_of(code, status, None), Class::Permanent, "{code} {status}");
        }
    }

    #[test]
    fn texts_begin_small_end_without_a_stop_and_stay_on_one_line() {
        assert_eq!(plain("Access Denied."), "access Denied");
        assert_eq!(plain("KMS key is disabled"), "KMS key is disabled");
        assert_eq!(plain("two\nlines"), "two lines");
        assert!(plain(&"x".repeat(5000)).len() < 500);
    }
}
