//! `[insights]`: what is unusual without a rule that says so.

use std::time::Duration;

use super::meaning::Lines;
use super::raw;
use super::read::{DAY, Read, Reader};
use super::units::show_duration;
use crate::core::anomaly::{Aspect, Plan, Tuning};

const YEAR: Duration = Duration::from_secs(366 * 86_400);

impl Reader<'_> {
    pub(super) fn insights(&self, raw: Option<&raw::Insights>) -> Read<Plan> {
        let Some(raw) = raw else { return Ok(Plan::none()) };
        let default = Plan::default();
        let aspect = |text: &str| {
            let known: Vec<&str> = Aspect::ALL.into_iter().map(Aspect::name).collect();
            Aspect::parse(text).ok_or_else(|| format!("`never_seen` is of {}", known.join(", ")))
        };
        let number = |value, default: u32, least| {
            let number = self.number(value, default.into(), least, 1_000_000)?;
            Ok(u32::try_from(number).unwrap_or(default))
        };
        let days = |text, default: u32| {
            let whole = self.duration(text, days(default), DAY, YEAR)?.as_secs().div_ceil(DAY.as_secs());
            Ok(u32::try_from(whole).unwrap_or(default))
        };
        let (least, factor) = (default.tuning.least, default.tuning.factor);
        let mut never_seen = self.list(&raw.never_seen, aspect)?;
        never_seen.sort_unstable();
        never_seen.dedup();
        Ok(Plan {
            call_rate: raw.call_rate.unwrap_or(default.call_rate),
            error_rate: raw.error_rate.unwrap_or(default.error_rate),
            tuning: Tuning {
                least: number(&raw.least, least, 1)?,
                factor: number(&raw.factor, factor, 1)?,
                ..default.tuning
            },
            never_seen,
            learning: days(&raw.learning, default.learning)?,
            memory: days(&raw.memory, default.memory)?,
        })
    }
}

fn days(days: u32) -> Duration {
    DAY * days
}

pub(super) fn say(plan: &Plan, lines: &mut Lines) {
    let mut say = |key: &str, value: String| lines.push((format!("insights.{key}"), value));
    if plan.is_none() {
        return say("call_rate", "off, and all else".into());
    }
    let on = |on| if on { "on" } else { "off" }.to_owned();
    say("call_rate", on(plan.call_rate));
    say("error_rate", on(plan.error_rate));
    say("least", format!("more than {} in five minutes", plan.tuning.least));
    say("factor", format!("more than {} times the usual peak", plan.tuning.factor));
    let told: Vec<&str> = plan.never_seen.iter().map(|aspect| aspect.name()).collect();
    say("never_seen", if told.is_empty() { "nothing".into() } else { told.join(", ") });
    say("learning", show_duration(days(plan.learning)));
    say("memory", show_duration(days(plan.memory)));
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::core::anomaly::{Aspect, Plan, Tuning};

    fn read(text: &str) -> Result<Plan, String> {
        let trail = "[organization]\nmembers = \"m.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file:///b\"\nqueue = \"file:///q\"\nkeys = \"k\"\n";
        Config::from_text(&format!("{trail}{text}"), "here")
            .map(|config| config.insights)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn rates_are_told_where_insights_are_asked_for() {
        assert_eq!(read(""), Ok(Plan::none()));
        assert_eq!(read("[insights]\n"), Ok(Plan::default()));
        let all = "[insights]\ncall_rate = false\nerror_rate = false\nleast = 5\nfactor = 3\nnever_seen = [\"chain\", \"api\", \"api\"]\nlearning = \"36h\"\nmemory = \"1y\"";
        let tuning = Tuning { least: 5, factor: 3, ..Tuning::default() };
        let never_seen = vec![Aspect::Api, Aspect::Chain];
        let plan = Plan { call_rate: false, error_rate: false, never_seen, tuning, learning: 2, memory: 366 };
        assert_eq!(read(all), Ok(plan));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, wanted) in [
            ("never_seen = [\"country\"]", "`never_seen` is of api, region, principal, network, chain"),
            ("least = 0", "0 is out of bounds: 1 to 1000000"),
            ("learning = \"1h\"", "`1h` is too short"),
            ("call_rates = true", "unknown field `call_rates`"),
        ] {
            let told = read(&format!("[insights]\n{text}")).unwrap_err();
            assert!(told.contains(wanted) && told.contains("here:"), "{told}");
        }
    }
}
