//! What can go wrong *with us*. A hostile input is never an error: it is a verdict or a finding.
//!
//! The class says who acts: `retry` (transient), a human (permanent), systemd (fatal).

use std::borrow::Cow;
use std::time::Duration;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Throttled, 5xx, timeout, reset, busy, expired token: the same call may work later.
    Transient { retry_after: Option<Duration> },
    /// Access denied, a disabled key, bad configuration on the far side: a human has to act.
    Permanent,
    /// The ledger cannot be opened or written, the disk is full, the clock is behind: stop.
    Fatal,
}

impl Class {
    pub const TRANSIENT: Self = Self::Transient { retry_after: None };

    pub fn name(self) -> &'static str {
        match self {
            Self::Transient { .. } => "transient",
            Self::Permanent => "permanent",
            Self::Fatal => "fatal",
        }
    }
}

/// We could not find out. `op` names the call (`s3:GetObject`), `text` what it said, lower-case.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{op}: {text}")]
pub struct Error {
    pub class: Class,
    pub op: Cow<'static, str>,
    pub text: String,
    /// The far side's own code (`AccessDenied`, `KMS.DisabledException`, `InvalidObjectState`), when it gave one.
    pub code: Option<String>,
}

impl Error {
    pub fn new(class: Class, op: impl Into<Cow<'static, str>>, text: impl std::fmt::Display) -> Self {
        Self { class, op: op.into(), text: text.to_string(), code: None }
    }

    pub fn transient(op: impl Into<Cow<'static, str>>, text: impl std::fmt::Display) -> Self {
        Self::new(Class::TRANSIENT, op, text)
    }

    pub fn permanent(op: impl Into<Cow<'static, str>>, text: impl std::fmt::Display) -> Self {
        Self::new(Class::Permanent, op, text)
    }

    pub fn fatal(op: impl Into<Cow<'static, str>>, text: impl std::fmt::Display) -> Self {
        Self::new(Class::Fatal, op, text)
    }

    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    pub fn is_transient(&self) -> bool {
        matches!(self.class, Class::Transient { .. })
    }

    /// The far side asks for fewer calls.
    pub fn is_throttled(&self) -> bool {
        const PARTS: [&str; 5] = ["SlowDown", "Throttl", "TooManyRequests", "LimitExceeded", "ServiceUnavailable"];
        self.is_transient() && self.code.as_deref().is_some_and(|code| PARTS.iter().any(|part| code.contains(part)))
    }

    pub fn is_fatal(&self) -> bool {
        self.class == Class::Fatal
    }
}
