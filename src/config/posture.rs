//! `[posture]`: how often what protects the archive is audited, what is known of it, and what somebody answers for.

use std::time::Duration;

use super::Posture;
use super::raw::{self, At};
use super::read::{Read, Reader, YEARS, filled};
use crate::core::policy::{Principal, account_of};
use crate::core::posture::{Acceptance, is_known};
use crate::core::printable;

const MINUTE: Duration = Duration::from_secs(60);

impl Reader<'_> {
    pub(super) fn posture(&self, raw: Option<&raw::Posture>) -> Read<Option<Posture>> {
        let Some(raw) = raw else { return Ok(None) };
        Ok(Some(Posture {
            every: self.duration(&raw.every, Posture::default().every, MINUTE, YEARS)?,
            role: self.role(&raw.role, &raw.external_id)?,
            trails: self.list(&raw.trails, trail)?,
            readers: self.list(&raw.readers, principal)?,
            writers: self.list(&raw.writers, principal)?,
            administrators: self.list(&raw.administrators, principal)?,
            accepted: raw.accept.iter().map(|entry| self.acceptance(entry)).collect::<Read<_>>()?,
        }))
    }

    fn acceptance(&self, entry: &At<raw::Acceptance>) -> Read<Acceptance> {
        let raw = entry.get_ref();
        let weakness = self.needed(&raw.weakness, entry, "this accepts no `weakness`")?;
        let weakness = self.parsed(weakness, |text| {
            let sentence = || {
                format!(
                    "`{}` is no weakness: a kind of docs/posture.md, or an id that `trailwarden posture` prints",
                    printable(text, 80)
                )
            };
            if is_known(text) { Ok(text.to_owned()) } else { Err(sentence()) }
        })?;
        let reason = self.needed(&raw.reason, entry, "a weakness is accepted for a `reason`, and there is none")?;
        Ok(Acceptance { weakness, reason: self.parsed(reason, filled)? })
    }
}

fn trail(text: &str) -> Result<String, String> {
    let is_trail =
        text.split(':').nth(2) == Some("cloudtrail") && text.contains(":trail/") && account_of(text).is_some();
    let shown = printable(text, 120);
    if is_trail && !text.contains(['*', '?']) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{shown}` is no trail: an arn like \"arn:aws:cloudtrail:eu-central-1:111122223333:trail/org\""))
    }
}

fn principal(text: &str) -> Result<Principal, String> {
    Principal::parse(text).filter(|who| *who != Principal::Everyone).ok_or_else(|| {
        format!("`{}` names nobody: an account, the ARN of a role or user, or a service", printable(text, 120))
    })
}
