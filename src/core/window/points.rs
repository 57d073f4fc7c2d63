//! M of N periods, some of them without data, as a CloudWatch alarm sees them (CloudWatch User Guide: how alarms treat missing
//! data).

/// A period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    Breach,
    Fine,
    Missing,
}

/// What a period without data is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    NotBreaching,
    Breaching,
    /// What was stays.
    Ignore,
    Missing,
}

impl Missing {
    pub const ALL: &'static [Self] = &[Self::NotBreaching, Self::Breaching, Self::Ignore, Self::Missing];

    /// As CloudWatch calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotBreaching => "notBreaching",
            Self::Breaching => "breaching",
            Self::Ignore => "ignore",
            Self::Missing => "missing",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Alarm,
    Fine,
    /// As it was.
    Keep,
    /// There is no data to tell by.
    Unknown,
}

/// How `needed` of `of` periods stand. `points` are these periods and some before them, the oldest first: enough real ones are
/// judged by themselves, whatever is missing between them.
pub fn evaluate(points: &[Point], needed: usize, of: usize, missing: Missing) -> Standing {
    let real: Vec<Point> = points.iter().copied().filter(|point| *point != Point::Missing).collect();
    let breaching = |points: &[Point]| points.iter().filter(|point| **point == Point::Breach).count();
    let judged = |breaches: usize| if breaches >= needed { Standing::Alarm } else { Standing::Fine };
    if real.len() >= of {
        return judged(breaching(real.get(real.len() - of..).unwrap_or_default()));
    }
    let breaches = breaching(&real);
    match missing {
        Missing::NotBreaching => judged(breaches),
        Missing::Breaching => judged(breaches + of - real.len()),
        Missing::Ignore if real.is_empty() => Standing::Keep,
        Missing::Missing if real.is_empty() => Standing::Unknown,
        _ if real.len() >= needed || breaches < real.len() => judged(breaches),
        Missing::Ignore => Standing::Keep,
        // fewer than are needed, all of them too much: the oldest must be as old as would have been needed
        Missing::Missing => {
            let oldest = points.iter().position(|point| *point == Point::Breach);
            let age = oldest.map_or(0, |at| points.len() - at);
            if age >= needed { Standing::Alarm } else { Standing::Unknown }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the user guide: 3 periods out of 5 that are looked at, the newest on the right.
    #[test]
    fn missing_periods_are_treated_as_cloudwatch_does() {
        use Standing::{Alarm, Fine, Keep, Unknown};
        for (points, needed, [missing, ignore, breaching, fine]) in [
            ("0-X-X", 3, [Fine, Fine, Fine, Fine]),
            ("0----", 3, [Fine, Fine, Fine, Fine]),
            ("-----", 3, [Unknown, Keep, Alarm, Fine]),
            ("0XX-X", 3, [Alarm, Alarm, Alarm, Alarm]),
            ("--X--", 3, [Alarm, Keep, Alarm, Fine]),
            ("0-X-X", 2, [Alarm, Alarm, Alarm, Alarm]),
            ("00X0X", 2, [Alarm, Alarm, Alarm, Alarm]),
            ("0-X--", 2, [Fine, Fine, Alarm, Fine]),
            ("----0", 2, [Fine, Fine, Alarm, Fine]),
            ("---X-", 2, [Alarm, Keep, Alarm, Fine]),
            ("----X", 2, [Unknown, Keep, Alarm, Fine]),
        ] {
            let of = |c| match c {
                'X' => Point::Breach,
                '0' => Point::Fine,
                _ => Point::Missing,
            };
            let seen: Vec<Point> = points.chars().map(of).collect();
            let found = [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching]
                .map(|treatment| evaluate(&seen, needed, 3, treatment));
            assert_eq!(found, [missing, ignore, breaching, fine], "{points}, {needed} of 3");
        }
    }
}
