//! What an alert says besides its finding: whose account it is, what the ledger knows of the object, what was told with it.

use rusqlite::{Connection, Result};

use crate::core::alert::{Alert, Owner};
use crate::store::objects::{Known, Listing, State};
use crate::store::outbox::{self, Due};
use crate::store::{journal, members, objects};

pub fn complete(conn: &Connection, row: &Due, alert: Alert) -> Result<Alert> {
    let finding = &alert.finding;
    let owner = match finding.account {
        Some(account) => members::name_of(conn, account)?,
        None => None,
    };
    // Of several logs the one that is proven least speaks for all of them.
    let logs = finding.detection.iter().flat_map(|seen| &seen.objects);
    let mut verdicts = Vec::new();
    for object in finding.object.iter().chain(logs) {
        verdicts.extend(objects::anywhere(conn, object)?.iter().map(integrity).next());
    }
    let integrity = verdicts.iter().find(|words| **words != PROVEN).or(verdicts.first()).copied();
    Ok(Alert {
        more: outbox::more(conn, row.id)?,
        ledger: Some(journal::head(conn)?),
        owner: owner.map(|(name, ou)| Owner { name, ou: ou.to_string() }),
        integrity,
        thread: outbox::thread(conn, &row.finding, &row.channel)?,
        ..alert
    })
}

const PROVEN: &str = "proven by a digest";

/// How an object of the archive stands.
fn integrity(known: &Known) -> &'static str {
    const OF_LISTING: [(Listing, &str); 4] = [
        (Listing::Fits, PROVEN),
        (Listing::Differs, "not what its digest says"),
        (Listing::Told, "no digest lists it"),
        (Listing::Unproven, "no digest came that could prove it"),
    ];
    if known.is(State::Refused) {
        return "refused: no evidence";
    }
    if known.is(State::Absent) {
        return "missing";
    }
    if known.is(State::Unusable) {
        return "damaged or too large";
    }
    let listed = OF_LISTING.into_iter().find(|(listing, _)| known.listed == *listing as i64);
    listed.map_or("not proven yet", |(_, words)| words)
}
