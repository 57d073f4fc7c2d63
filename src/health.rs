//! Health that tells the truth: every loop reports its progress here, and silence is what makes it red.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::printable;

/// What a loop last reported.
#[derive(Debug, Clone)]
struct Beat {
    /// When it last did anything, well or not.
    turned: Instant,
    /// When it last did what it is for; before that, when it was announced.
    worked: Instant,
    new: bool,
    /// A loop that does nothing for this long hangs.
    patience: Duration,
    /// A loop that does not do what it is for in this time is of no use.
    objective: Duration,
    /// Why it does not work, in its own words.
    trouble: Option<String>,
}

#[derive(Debug, Default)]
pub struct Health {
    loops: Mutex<BTreeMap<String, Beat>>,
    stopping: AtomicBool,
}

impl Health {
    /// Announces a loop: until it works for the first time, the warden is not ready.
    pub fn expect(&self, name: &str, patience: Duration) {
        self.expect_within(name, patience, patience);
    }

    /// Announces a loop that moves at least every `patience`, and does its work at least every `objective`.
    pub fn expect_within(&self, name: &str, patience: Duration, objective: Duration) {
        let now = Instant::now();
        let beat = Beat { turned: now, worked: now, new: true, patience, objective, trouble: None };
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), beat);
    }

    /// A loop that is no more is not waited for.
    pub fn forget(&self, name: &str) {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The handle with which a loop that was announced reports.
    pub fn pulse(self: &Arc<Self>, name: &str) -> Pulse {
        Pulse(Some((self.clone(), name.into())))
    }

    pub fn worked(&self, name: &str) {
        self.update(name, |beat| {
            (beat.worked, beat.new) = (beat.turned, false);
            beat.trouble = None;
        });
    }

    pub fn failed(&self, name: &str, why: impl ToString) {
        self.update(name, |beat| beat.trouble = Some(why.to_string()));
    }

    /// A part of its work goes on, so that the rest may take longer.
    pub fn moved(&self, name: &str) {
        self.update(name, |beat| beat.worked = beat.turned);
    }

    fn update(&self, name: &str, change: impl FnOnce(&mut Beat)) {
        if let Some(beat) = self.loops.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            beat.turned = Instant::now();
            change(beat);
        }
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Loops that hang: name and reason.
    pub fn hung(&self) -> Vec<(String, String)> {
        self.reasons(|beat| {
            let still = beat.turned.elapsed();
            (still > beat.patience).then(|| format!("no progress for {} s", still.as_secs()))
        })
    }

    /// Loops that hang; empty when live.
    pub fn not_live(&self) -> Vec<String> {
        self.hung().into_iter().map(|(name, why)| format!("{name}: {why}")).collect()
    }

    /// Loops that have done nothing of what they are for in the time that they have for it: name and reason.
    pub fn stuck(&self) -> Vec<(String, String)> {
        self.reasons(|beat| {
            let idle = beat.worked.elapsed();
            let why = beat.trouble.as_ref().map_or_else(String::new, |trouble| format!(": {trouble}"));
            (idle > beat.objective).then(|| format!("has not worked for {} s{why}", idle.as_secs()))
        })
    }

    /// Loops that hang, have not worked yet, or stopped working; empty when ready.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = self.not_live();
        if self.stopping.load(Ordering::Relaxed) {
            reasons.push("stopping".into());
        }
        let troubled = self.reasons(|beat| match &beat.trouble {
            Some(trouble) => Some(trouble.clone()),
            None if beat.new => Some("has not worked yet".into()),
            None if beat.worked.elapsed() > beat.objective => {
                Some(format!("last worked {} s ago", beat.worked.elapsed().as_secs()))
            }
            None => None,
        });
        reasons.extend(troubled.into_iter().map(|(name, why)| format!("{name}: {why}")));
        reasons
    }

    /// Whether a loop has still to show for the first time that it works, within its patience: nothing is known yet.
    pub fn is_starting(&self) -> bool {
        !self.reasons(|beat| (beat.new && beat.worked.elapsed() <= beat.patience).then(String::new)).is_empty()
    }

    /// How it is, in one line for people; what others wrote in it is made printable.
    pub fn line(&self) -> String {
        const LONGEST: usize = 300;
        let reasons = self.not_ready();
        if reasons.is_empty() {
            return "watching; all is well".into();
        }
        let state = if self.is_starting() { "starting" } else { "not well" };
        printable(&format!("{state}: {}", reasons.join("; ")), LONGEST)
    }

    fn reasons(&self, why: impl Fn(&Beat) -> Option<String>) -> Vec<(String, String)> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.iter().filter_map(|(name, beat)| Some((name.clone(), why(beat)?))).collect()
    }
}

/// How the work inside a loop says that it goes on; the default says it to nobody.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Option<(Arc<Health>, String)>);

impl Pulse {
    /// A step of a long pass was made.
    pub fn beat(&self) {
        if let Some((health, name)) = &self.0 {
            health.update(name, |_| {});
        }
    }

    pub fn worked(&self) {
        if let Some((health, name)) = &self.0 {
            health.worked(name);
        }
    }

    pub fn failed(&self, why: impl ToString) {
        if let Some((health, name)) = &self.0 {
            health.failed(name, why);
        }
    }

    /// Sleeps, and is known to: resting is not hanging.
    pub async fn rest(&self, time: Duration) {
        if let Some((health, name)) = &self.0 {
            health.update(name, |beat| beat.turned += time);
        }
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_ready_when_it_works_and_red_when_it_stops_or_hangs() {
        let health = Health::default();
        health.expect("queue org", MINUTE);
        assert_eq!(health.not_ready(), ["queue org: has not worked yet"]);
        assert!(health.not_live().is_empty() && health.is_starting());
        health.worked("queue org");
        assert!(health.not_ready().is_empty() && !health.is_starting());
        health.failed("queue org", "access denied");
        assert_eq!(health.not_ready(), ["queue org: access denied"]);
        health.worked("queue org");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(health.not_live(), ["queue org: no progress for 61 s"]);
        assert!(!health.not_ready().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pass_that_moves_is_live_and_one_that_never_ends_is_not_ready() {
        let health = Arc::new(Health::default());
        health.expect_within("sweep org", MINUTE, 10 * MINUTE);
        let pulse = health.pulse("sweep org");
        pulse.worked();
        for _ in 0..15 {
            tokio::time::advance(Duration::from_secs(50)).await;
            pulse.beat();
            assert!(health.not_live().is_empty());
        }
        assert_eq!(health.not_ready(), ["sweep org: last worked 750 s ago"]);
        assert_eq!(health.stuck(), [("sweep org".to_owned(), "has not worked for 750 s".to_owned())]);
        pulse.worked();
        assert!(health.not_ready().is_empty() && health.stuck().is_empty());
        tokio::time::advance(2 * MINUTE).await;
        assert_eq!(health.not_live(), ["sweep org: no progress for 120 s"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_fails_is_stuck_once_its_time_is_over_and_says_why() {
        let health = Arc::new(Health::default());
        health.expect_within("members", MINUTE, 10 * MINUTE);
        let pulse = health.pulse("members");
        for _ in 0..20 {
            assert!(health.stuck().is_empty());
            pulse.failed("access denied");
            assert_eq!(health.not_ready(), ["members: access denied"]);
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        pulse.failed("access denied");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(health.stuck(), [("members".to_owned(), "has not worked for 601 s: access denied".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_line_says_how_it_is_and_is_one_line_whatever_an_error_says() {
        let health = Health::default();
        health.expect("queue org", MINUTE);
        assert_eq!(health.line(), "starting: queue org: has not worked yet");
        health.worked("queue org");
        assert_eq!(health.line(), "watching; all is well");
        health.failed("queue org", "denied\nWATCHDOG=1");
        let line = health.line();
        assert!(line.starts_with("not well: queue org: denied") && !line.contains('\n'), "{line}");
        health.failed("queue org", "x".repeat(5000));
        assert!(health.line().len() < 400);
    }

    #[tokio::test(start_paused = true)]
    async fn resting_is_not_hanging() {
        let health = Arc::new(Health::default());
        health.expect_within("scrub org", MINUTE, 10 * MINUTE);
        let resting = health.pulse("scrub org");
        let rest = tokio::spawn(async move { resting.rest(Duration::from_secs(500)).await });
        for _ in 0..49 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert!(health.not_live().is_empty());
        }
        assert!(!rest.is_finished());
        rest.await.unwrap();
    }
}
