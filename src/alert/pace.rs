//! How fast a channel is told. A flood of findings must not become a flood of pages, nor hide what is not part of it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::alert::Reason;

/// Findings of a group (a kind, or what a rule raised) that a channel hears of one by one, until the group was quiet for an hour.
const ONE_BY_ONE: usize = 20;
pub const QUIET: Duration = Duration::from_secs(3_600);
/// All others wait this long, and then one alert tells of them together.
pub const TOGETHER: Duration = Duration::from_secs(900);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Alone,
    /// In the name of all that wait with it.
    ForAll,
    After(Duration),
}

/// What a channel was told lately.
#[derive(Default)]
pub struct Pace {
    told: HashMap<(String, Reason), Lately>,
}

struct Lately {
    /// Those that it heard of one by one; of these it may hear again.
    findings: HashSet<String>,
    /// When it last heard of another one.
    news: Instant,
    last: Instant,
}

impl Pace {
    pub fn manner(&self, group: &str, reason: Reason, finding: &str, together: Duration) -> Manner {
        match self.told.get(&(group.to_owned(), reason)) {
            Some(lately) if lately.is_full() && !lately.findings.contains(finding) => {
                match together.saturating_sub(lately.news.elapsed()) {
                    Duration::ZERO => Manner::ForAll,
                    rest => Manner::After(rest),
                }
            }
            _ => Manner::Alone,
        }
    }

    pub fn told(&mut self, group: &str, reason: Reason, finding: &str) {
        self.told_at(group, reason, finding, Instant::now());
    }

    /// As [`Pace::told`], of a time that has passed: another process of ours may have told it. The oldest comes first.
    pub fn told_at(&mut self, group: &str, reason: Reason, finding: &str, now: Instant) {
        let lately = self.told.entry((group.to_owned(), reason)).or_insert_with(|| Lately {
            findings: HashSet::new(),
            news: now,
            last: now,
        });
        if now.duration_since(lately.last) >= QUIET {
            lately.findings.clear();
        }
        lately.last = now;
        if !lately.findings.contains(finding) {
            lately.news = now;
            if lately.findings.len() < ONE_BY_ONE {
                lately.findings.insert(finding.to_owned());
            }
        }
    }
}

impl Lately {
    fn is_full(&self) -> bool {
        self.findings.len() >= ONE_BY_ONE && self.last.elapsed() < QUIET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNLISTED: (&str, Reason) = ("log_unlisted", Reason::First);

    fn manner(pace: &Pace, finding: &str) -> Manner {
        pace.manner(UNLISTED.0, UNLISTED.1, finding, TOGETHER)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_together_and_a_trickle_one_by_one() {
        let mut pace = Pace::default();
        for number in 0..ONE_BY_ONE {
            assert_eq!(manner(&pace, &number.to_string()), Manner::Alone);
            pace.told(UNLISTED.0, UNLISTED.1, &number.to_string());
        }
        assert_eq!(manner(&pace, "one more"), Manner::After(TOGETHER));
        assert_eq!(manner(&pace, "3"), Manner::Alone, "it is known");
        assert_eq!(pace.manner("log_missing", Reason::First, "another kind", TOGETHER), Manner::Alone);
        tokio::time::advance(TOGETHER / 3).await;
        pace.told(UNLISTED.0, UNLISTED.1, "3");
        assert_eq!(manner(&pace, "one more"), Manner::After(TOGETHER * 2 / 3), "what is known keeps nobody waiting");
        tokio::time::advance(TOGETHER * 2 / 3).await;
        assert_eq!(manner(&pace, "one more"), Manner::ForAll);
        pace.told(UNLISTED.0, UNLISTED.1, "one more");
        assert_eq!(manner(&pace, "and one"), Manner::After(TOGETHER));
        tokio::time::advance(QUIET).await;
        assert_eq!(manner(&pace, "and one"), Manner::Alone);
        pace.told(UNLISTED.0, UNLISTED.1, "and one");
        assert_eq!(manner(&pace, "and two"), Manner::Alone);
    }
}
