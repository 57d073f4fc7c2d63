//! Legal holds for an investigation: put on every version under a prefix, released again, with who and why in the journal.

use crate::core::id::AccountId;
use crate::core::journal::What;
use crate::core::printable;
use crate::error::{Error, Result};
use crate::retain::{Retain, account_of};
use crate::retry::{Policy, retry};
use crate::store::retention::{self, Hold};
use crate::store::{journal, places};

/// What a hold is put on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Prefix(String),
    /// Every root that the ledger has seen of the account.
    Account(AccountId),
}

impl Retain {
    /// Puts or releases; answers how many versions are held or released by it. Interrupted, it is listed as unfinished, and
    /// the same command again finishes it.
    pub async fn hold(&self, scope: &Scope, on: bool, by: &str, reason: &str) -> Result<u64> {
        let listed = self.store.read(retention::holds).await?;
        let here = |hold: &Hold| hold.bucket == self.bucket;
        let own = |hold: &Hold, prefix: &str| here(hold) && hold.trail == self.trail && hold.prefix == prefix;
        let mut roots = self.roots(scope).await?;
        if !on {
            roots.retain(|prefix| listed.iter().any(|hold| own(hold, prefix)));
            if roots.is_empty() {
                let text =
                    format!("trail {} has no hold of exactly that on its list: nothing was released", self.trail);
                return Err(Error::permanent("hold", text));
            }
        }
        let mut changed = 0;
        for prefix in roots {
            let mut others = Vec::new();
            if !on {
                let listed = self.store.read(retention::holds).await?;
                let others_here = listed.into_iter().filter(|hold| here(hold) && !own(hold, &prefix));
                others.extend(others_here.map(|hold| hold.prefix));
            }
            changed += self.hold_prefix(&prefix, on, &others, by, reason).await?;
        }
        Ok(changed)
    }

    async fn roots(&self, scope: &Scope) -> Result<Vec<String>> {
        let account = match scope {
            Scope::Prefix(prefix) if prefix.is_empty() => {
                return Err(Error::permanent("hold", "an empty prefix is the whole bucket"));
            }
            Scope::Prefix(prefix) => return Ok(vec![prefix.clone()]),
            Scope::Account(account) => *account,
        };
        let source = self.source;
        let places = self.store.read(move |conn| places::from(conn, source, 0)).await?;
        let own = places.iter().filter(|place| place.root.account == account);
        let mut roots: Vec<String> = own.map(|place| place.root.path()).collect();
        roots.sort_unstable();
        roots.dedup();
        if roots.is_empty() {
            return Err(Error::permanent("hold", format!("nothing of account {account} has been seen")));
        }
        Ok(roots)
    }

    /// Of what is held for others besides, nothing is touched.
    async fn hold_prefix(&self, prefix: &str, on: bool, others: &[String], by: &str, reason: &str) -> Result<u64> {
        let mut hold = Hold {
            trail: self.trail.clone(),
            bucket: self.bucket.clone(),
            prefix: prefix.to_owned(),
            account: account_of(prefix),
            by: printable(by, 100),
            reason: printable(reason, 500),
            since: self.env().now(),
            objects: 0,
            unfinished: true,
        };
        let begun = hold.clone();
        self.store.write(move |tx| retention::set_hold(tx, &begun)).await?;
        hold.objects = self.hold_versions(prefix, on, others).await?;
        hold.unfinished = false;
        let (what, detail) = (
            if on { What::Held } else { What::Released },
            format!("{} versions by {}: {}", hold.objects, hold.by, hold.reason),
        );
        let (subject, objects) = (format!("{}/{}", self.bucket, printable(prefix, 1024)), hold.objects);
        self.store
            .write(move |tx| {
                journal::append(tx, what, &subject, &detail)?;
                if on { retention::set_hold(tx, &hold) } else { retention::forget_hold(tx, &hold) }
            })
            .await?;
        Ok(objects)
    }

    async fn hold_versions(&self, prefix: &str, on: bool, others: &[String]) -> Result<u64> {
        let (mut after, mut changed) = (None, 0);
        loop {
            let page = retry(self.env(), Policy::STEP, || self.vault.versions(prefix, after.as_ref())).await?;
            let touched = |key: &str| !others.iter().any(|other| key.starts_with(other.as_str()));
            for found in page.0.iter().filter(|found| touched(&found.key)) {
                let version = found.version.as_deref();
                let hold = || self.store.fence().guard(self.vault.hold(&found.key, version, on));
                retry(self.env(), Policy::STEP, hold).await?;
                self.breathe().await;
                changed += 1;
            }
            after = page.1;
            if after.is_none() {
                return Ok(changed);
            }
        }
    }
}
