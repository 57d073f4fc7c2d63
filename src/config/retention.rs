//! `[retention]`: what is promised of the archive, and how far the warden may go to keep it so.

use std::time::Duration;

use super::raw::{self, At, Text};
use super::read::{Read, Reader, YEARS, word};
use super::units;
use super::{Enforce, Retention};
use crate::core::id::AccountId;
use crate::core::lock::lifecycle::{Class, SMALL};
use crate::core::lock::warn::misfit;
use crate::core::lock::{Evidence, Mode, Move, Override, Prices, Promise, Term, cost::Price};
use crate::core::printable;

const DAY: u64 = 86_400;
/// S3 locks nothing for longer.
const LONGEST: u32 = 36_500;
/// Of uploads that were never completed.
const UPLOADS: u32 = 7;
const AUDIT: Duration = Duration::from_secs(3600);
/// Requests a second.
const REQUESTS: u64 = 50;

impl Reader<'_> {
    pub(super) fn retention(&self, raw: &raw::Retention) -> Read<Option<Retention>> {
        let Some(keep) = self.optional(&raw.keep, days)? else {
            return if *raw == raw::Retention::default() {
                Ok(None)
            } else {
                Err(self.missing("[retention] has no `keep`: nothing would be promised; write keep = \"7y\", or leave the section out"))
            };
        };
        let mode = self.optional(&raw.mode, |text| word(text, Mode::ALL, Mode::name, "mode"))?;
        let term = Term { mode: mode.unwrap_or(Mode::Governance), days: keep };
        let overrides = raw.more.iter().map(|entry| self.more(entry, term)).collect::<Read<Vec<_>>>()?;
        let longest = overrides.iter().map(|more| more.days).fold(keep, u32::max);
        let no_sooner = |text: &Text, what: &str| {
            self.optional(text, |text| match days(text)? {
                days if days < longest => {
                    Err(format!("{what} after {days} days is sooner than the promise of {longest} days"))
                }
                days => Ok(days),
            })
        };
        let expire = no_sooner(&raw.expire, "an end")?;
        let promise = Promise {
            term,
            moves: self.moves(raw, expire)?,
            overrides,
            smallest: self.size(&raw.transition_at_least, SMALL, 1)?,
            expire,
            noncurrent: no_sooner(&raw.noncurrent, "an old version's end")?,
            uploads: match &raw.incomplete_uploads {
                Some(text) if text.get_ref() == "keep" => None,
                text => Some(self.optional(text, days)?.unwrap_or(UPLOADS)),
            },
        };
        let enforce = self.optional(&raw.enforce, |text| word(text, Enforce::ALL, Enforce::name, "way to enforce"))?;
        Ok(Some(Retention {
            promise,
            audit: self.duration(&raw.audit, AUDIT, Duration::from_secs(60), YEARS)?,
            enforce: enforce.unwrap_or(Enforce::Observe),
            requests: self.number(&raw.requests, REQUESTS, 1, 3_500)?,
            role: self.role(&raw.role, &raw.external_id)?,
            prices: self.prices(&raw.prices)?,
        }))
    }

    fn more(&self, entry: &At<raw::Override>, term: Term) -> Read<Override> {
        let raw = entry.get_ref();
        let keep = self.needed(&raw.keep, entry, "the override has no `keep`")?;
        let days = self.parsed(keep, days)?;
        if days < term.days {
            let told = format!("an override extends, and {days} days are fewer than the {} promised to all", term.days);
            return Err(self.at(keep, told));
        }
        let more = Override {
            ou: self.optional(&raw.ou, super::read::filled)?,
            account: self.optional(&raw.account, AccountId::parse)?,
            evidence: self.optional(&raw.kind, |text| word(text, Evidence::ALL, Evidence::name, "kind of evidence"))?,
            days,
        };
        if more.ou.is_none() && more.account.is_none() && more.evidence.is_none() {
            return Err(self.at(entry, "the override is for nobody: it names an `ou`, an `account` or a `kind`"));
        }
        Ok(more)
    }

    fn moves(&self, raw: &raw::Retention, expire: Option<u32>) -> Read<Vec<Move>> {
        let mut moves: Vec<Move> = Vec::new();
        for entry in raw.transitions.iter().flatten() {
            let raw = entry.get_ref();
            let after = self.parsed(self.needed(&raw.after, entry, "the transition has no `after`")?, days)?;
            let class = self.needed(&raw.class, entry, "the transition has no `class`")?;
            let class = self.parsed(class, |text| word(text, Class::ALL, Class::name, "storage class"))?;
            if after < class.least_age() {
                return Err(self.at(entry, format!("S3 moves nothing to {class} before day {}", class.least_age())));
            }
            if let Some(why) = moves.last().and_then(|last| misfit((last.after, last.class), (after, class))) {
                return Err(self.at(entry, why));
            }
            if expire.is_some_and(|expire| after >= expire) {
                return Err(self.at(entry, "objects have expired by then"));
            }
            moves.push(Move { after, class });
        }
        Ok(moves)
    }

    fn prices(&self, raw: &raw::Prices) -> Read<Prices> {
        let mut prices = Prices::default();
        if let Some(source) = self.optional(&raw.source, super::read::filled)? {
            prices.source = source;
        }
        let one = |value: &Option<At<f64>>, usual: Price| value.as_ref().map_or(Ok(usual), |value| self.price(value));
        prices.put = one(&raw.put, prices.put)?;
        prices.get = one(&raw.get, prices.get)?;
        prices.watch = one(&raw.watch, prices.watch)?;
        for (table, is_month) in [(&raw.month, true), (&raw.moves, false)] {
            for (name, value) in table {
                let class = prices.classes.iter_mut().find(|(class, _)| class.name() == name);
                let (_, price) =
                    class.ok_or_else(|| self.at(value, format!("`{}` is no storage class", printable(name, 40))))?;
                let side = if is_month { &mut price.month } else { &mut price.moves };
                *side = self.price(value)?;
            }
        }
        Ok(prices)
    }

    fn price(&self, value: &At<f64>) -> Read<Price> {
        let number = *value.get_ref();
        if (0.0..1e9).contains(&number) {
            Ok(Price((number * 1e9).round() as u64))
        } else {
            Err(self.at(value, format!("{number} is no price")))
        }
    }
}

/// Whole days, and no more than S3 locks for.
fn days(text: &str) -> Result<u32, String> {
    let seconds = units::duration(text)?.as_secs();
    let shown = text.trim();
    match u32::try_from(seconds / DAY) {
        _ if !seconds.is_multiple_of(DAY) || seconds == 0 => {
            Err(format!("`{shown}` is no number of whole days, which is what S3 counts in"))
        }
        Ok(days) if days <= LONGEST => Ok(days),
        _ => Err(format!("`{shown}` is longer than the {LONGEST} days that S3 locks for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_whole_days() {
        for (text, wanted) in [("7y", 2557), ("1y", 366), ("90d", 90), ("24h", 1), ("10y", 3653), ("2w", 14)] {
            assert_eq!(days(text), Ok(wanted), "{text}");
        }
        for bad in ["36h", "0d", "90m", "100y", "7"] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }
}
