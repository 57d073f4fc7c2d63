//! The document: who holds the lease, since when, and where its ledger stands.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::id::Sha256;
use crate::core::journal::Head;
use crate::core::printable;

/// Bytes of a document, at most.
pub const LARGEST: usize = 4 << 10;
/// Bounds of the time after which a lease that nobody renews is free.
pub const SHORTEST: Duration = Duration::from_secs(10);
pub const LONGEST: Duration = Duration::from_secs(600);
/// Whole numbers that every reader of JSON keeps (RFC 8259, section 6).
const MOST: u64 = (1 << 53) - 1;
const FORM: u64 = 1;
/// Bytes of a name in it.
const NAME: usize = 255;

/// What the lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub warden: String,
    /// One more with each holder; never the same for two.
    pub epoch: u64,
    /// A random name of the process that holds it.
    pub holder: String,
    pub host: String,
    /// Counts the writes of a holder, so that no two documents are the same.
    pub beat: u64,
    /// A document that is not renewed for this long is free.
    pub ttl: Duration,
    /// When the holder took it, by the holder's wall clock: for people.
    pub since: Timestamp,
    /// Where the journal of the holder's ledger stood.
    pub ledger: Option<Head>,
    /// The holder is done: nobody has to wait.
    pub released: bool,
}

/// Why bytes are no lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no lease: {0}")]
pub struct Unreadable(pub String);

#[derive(Serialize, Deserialize)]
struct Written {
    form: u64,
    warden: String,
    epoch: u64,
    holder: String,
    host: String,
    beat: u64,
    ttl_ms: u64,
    since: Timestamp,
    ledger: Option<Stand>,
    released: bool,
}

#[derive(Serialize, Deserialize)]
struct Stand {
    seq: i64,
    hash: String,
}

impl Document {
    /// JSON.
    pub fn write(&self) -> Vec<u8> {
        let stand = |head: &Head| Stand { seq: head.seq, hash: head.hash.to_string() };
        let written = Written {
            form: FORM,
            warden: self.warden.clone(),
            epoch: self.epoch,
            holder: self.holder.clone(),
            host: self.host.clone(),
            beat: self.beat,
            ttl_ms: u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            since: self.since,
            ledger: self.ledger.as_ref().map(stand),
            released: self.released,
        };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Total. What it accepts can be counted on: there is a next epoch, and no holder waits longer than [`LONGEST`].
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let wrong = |why: &str| Unreadable(why.to_owned());
        if bytes.len() > LARGEST {
            return Err(Unreadable(format!("more than {LARGEST} bytes")));
        }
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| Unreadable(printable(&error.to_string(), 200)))?;
        if written.form != FORM {
            return Err(Unreadable(format!("its form is {}, this program knows {FORM}", written.form)));
        }
        let ttl = Duration::from_millis(written.ttl_ms);
        let names = [&written.warden, &written.holder, &written.host];
        if !(1..MOST).contains(&written.epoch) || written.beat > MOST {
            return Err(wrong("its epoch is out of bounds"));
        }
        if ttl.is_zero() || ttl > LONGEST {
            return Err(wrong("its ttl is out of bounds"));
        }
        if names.iter().any(|name| name.is_empty() || name.len() > NAME) {
            return Err(wrong("a name in it is empty or too long"));
        }
        let ledger = match written.ledger {
            None => None,
            Some(Stand { seq, hash }) => {
                let bytes = hex::decode(&hash).ok().filter(|_| seq >= 0);
                let hash = bytes.and_then(|bytes| Sha256::from_slice(&bytes));
                Some(Head { seq, hash: hash.ok_or_else(|| wrong("where its ledger stands is no head"))? })
            }
        };
        Ok(Self {
            warden: written.warden,
            epoch: written.epoch,
            holder: written.holder,
            host: written.host,
            beat: written.beat,
            ttl,
            since: written.since,
            ledger,
            released: written.released,
        })
    }

    /// Who holds it, for people: `host-1 holds the lease (epoch 3)`.
    pub fn told(&self) -> String {
        let does = if self.released { "released" } else { "holds" };
        format!("{} {does} the lease (epoch {})", printable(&self.host, 100), self.epoch)
    }
}
