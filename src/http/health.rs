//! Health that tells the truth: every loop reports its progress here, and silence is what makes it red.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a loop last reported.
#[derive(Debug, Clone)]
struct Beat {
    /// When it last went round, well or not.
    turned: Instant,
    /// When it last did what it is for.
    worked: Option<Instant>,
    /// A loop that does not go round in this time hangs.
    patience: Duration,
    /// Why it does not work, in its own words.
    trouble: Option<String>,
}

#[derive(Debug, Default)]
pub struct Health {
    loops: Mutex<BTreeMap<String, Beat>>,
    stopping: std::sync::atomic::AtomicBool,
}

impl Health {
    /// Announces a loop: until it works for the first time, the warden is not ready.
    pub fn expect(&self, name: &str, patience: Duration) {
        let beat = Beat { turned: Instant::now(), worked: None, patience, trouble: None };
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), beat);
    }

    /// A loop that is no more is not waited for.
    pub fn forget(&self, name: &str) {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub fn worked(&self, name: &str) {
        self.update(name, |beat| {
            beat.worked = Some(Instant::now());
            beat.trouble = None;
        });
    }

    /// It is still at it.
    pub fn turned(&self, name: &str) {
        self.update(name, |_| {});
    }

    pub fn failed(&self, name: &str, why: impl ToString) {
        self.update(name, |beat| beat.trouble = Some(why.to_string()));
    }

    fn update(&self, name: &str, change: impl FnOnce(&mut Beat)) {
        if let Some(beat) = self.loops.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            beat.turned = Instant::now();
            change(beat);
        }
    }

    pub fn stop(&self) {
        self.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Loops that hang; empty when live.
    pub fn not_live(&self) -> Vec<String> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops
            .iter()
            .filter(|(_, beat)| beat.turned.elapsed() > beat.patience)
            .map(|(name, beat)| format!("{name}: no progress for {} s", beat.turned.elapsed().as_secs()))
            .collect()
    }

    /// Loops that hang, have not worked yet, or stopped working; empty when ready.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = self.not_live();
        if self.stopping.load(std::sync::atomic::Ordering::Relaxed) {
            reasons.push("stopping".into());
        }
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, beat) in loops.iter() {
            match (&beat.trouble, beat.worked) {
                (Some(trouble), _) => reasons.push(format!("{name}: {trouble}")),
                (None, None) => reasons.push(format!("{name}: has not worked yet")),
                (None, Some(worked)) if worked.elapsed() > beat.patience => {
                    reasons.push(format!("{name}: last worked {} s ago", worked.elapsed().as_secs()));
                }
                _ => {}
            }
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_ready_when_it_works_and_red_when_it_stops_or_hangs() {
        let health = Health::default();
        health.expect("queue org", Duration::from_secs(60));
        assert_eq!(health.not_ready(), ["queue org: has not worked yet"]);
        assert!(health.not_live().is_empty());
        health.worked("queue org");
        assert!(health.not_ready().is_empty());
        health.failed("queue org", "access denied");
        assert_eq!(health.not_ready(), ["queue org: access denied"]);
        health.worked("queue org");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(health.not_live(), ["queue org: no progress for 61 s"]);
        assert!(!health.not_ready().is_empty());
    }
}
