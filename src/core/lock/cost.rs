//! What a plan costs: an estimate from the ledger's sums and a table of prices, in the currency of that table.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::lifecycle::{Class, Filter, Rule, SMALL, When};

/// Bytes of a price's unit.
const GIB: f64 = (1_u64 << 30) as f64;
/// What an archived object takes besides itself: of its own class, and of STANDARD.
const ARCHIVED: (u64, u64) = (32 << 10, 8 << 10);
/// Days of which the mean is taken for what a day brings.
const RECENT: i64 = 30;

/// A thousand-millionth of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Price(pub u64);

impl Price {
    fn value(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// Of a class: a GiB kept for a month, and a thousand objects moved to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassPrice {
    pub month: Price,
    pub moves: Price,
}

/// A list of prices as of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// Where and when the list was taken from.
    pub source: String,
    pub classes: BTreeMap<Class, ClassPrice>,
    /// A thousand PUT-like and a thousand GET-like requests.
    pub put: Price,
    pub get: Price,
    /// A thousand objects of INTELLIGENT_TIERING watched for a month.
    pub watch: Price,
}

impl Default for Prices {
    fn default() -> Self {
        let class =
            |month: u64, moves: u64| ClassPrice { month: Price(month * 10_000), moves: Price(moves * 10_000_000) };
        Self {
            source: "list prices of us-east-1, January 2025, US dollars".into(),
            classes: BTreeMap::from([
                (Class::Standard, class(2_300, 0)),
                (Class::StandardIa, class(1_250, 1)),
                (Class::IntelligentTiering, class(2_300, 1)),
                (Class::OnezoneIa, class(1_000, 1)),
                (Class::GlacierIr, class(400, 2)),
                (Class::Glacier, class(360, 3)),
                (Class::DeepArchive, class(99, 5)),
            ]),
            put: Price(5_000_000),
            get: Price(400_000),
            watch: Price(2_500_000),
        }
    }
}

impl Prices {
    fn of(&self, class: Class) -> ClassPrice {
        self.classes.get(&class).copied().unwrap_or(ClassPrice { month: Price(0), moves: Price(0) })
    }

    /// A month of these objects in a class.
    pub fn month(&self, what: Amount, class: Class) -> f64 {
        let (objects, bytes) = (what.objects, what.bytes);
        let gib = |bytes: f64, class: Class| bytes / GIB * self.of(class).month.value();
        match class {
            Class::Standard => gib(bytes, class),
            Class::IntelligentTiering => {
                let watched = if what.mean() >= SMALL as f64 { objects } else { 0.0 };
                gib(bytes, class) + watched / 1000.0 * self.watch.value()
            }
            // Whatever is smaller is paid for as if it were not.
            Class::StandardIa | Class::OnezoneIa | Class::GlacierIr => gib(bytes.max(objects * SMALL as f64), class),
            Class::Glacier | Class::DeepArchive => {
                gib(bytes + objects * ARCHIVED.0 as f64, class) + gib(objects * ARCHIVED.1 as f64, Class::Standard)
            }
        }
    }

    /// Locking objects one by one: a look at each, and a call for each.
    pub fn calls(&self, objects: u64) -> f64 {
        objects as f64 / 1000.0 * (self.get.value() + self.put.value())
    }
}

/// Objects and their bytes; a mean is no whole number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amount {
    pub objects: f64,
    pub bytes: f64,
}

impl Amount {
    pub fn new(objects: u64, bytes: u64) -> Self {
        Self { objects: objects as f64, bytes: bytes as f64 }
    }

    fn mean(self) -> f64 {
        if self.objects > 0.0 { self.bytes / self.objects } else { 0.0 }
    }
}

/// What was delivered on a day, apart by size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pile {
    pub small: (u64, u64),
    pub large: (u64, u64),
}

impl Pile {
    /// Objects of one size, or of one mean size.
    pub fn add(&mut self, objects: u64, bytes: u64) {
        let side = if objects > 0 && bytes / objects >= SMALL { &mut self.large } else { &mut self.small };
        side.0 += objects;
        side.1 += bytes;
    }

    fn sides(self) -> [Amount; 2] {
        [self.small, self.large].map(|(objects, bytes)| Amount::new(objects, bytes))
    }
}

/// What the ledger holds of the archive, by the day of its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    pub days: BTreeMap<Date, Pile>,
}

impl Stock {
    pub fn objects(&self) -> u64 {
        self.days.values().map(|pile| pile.small.0 + pile.large.0).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.days.values().map(|pile| pile.small.1 + pile.large.1).sum()
    }

    /// The share of objects that are too small to be moved by default.
    pub fn small(&self) -> (u64, u64) {
        (self.days.values().map(|pile| pile.small.0).sum(), self.objects())
    }

    /// What a day brings: the mean of the last days before `today`.
    fn daily(&self, today: Date) -> [Amount; 2] {
        let recent = self.days.range(..today).rev().take_while(|(day, _)| age(**day, today) <= RECENT);
        let (mut total, mut days) = ([Amount::default(); 2], 0_i64);
        for (day, pile) in recent {
            days = days.max(age(*day, today));
            for (sum, side) in total.iter_mut().zip(pile.sides()) {
                sum.objects += side.objects;
                sum.bytes += side.bytes;
            }
        }
        let days = days.max(1) as f64;
        total.map(|sum| Amount { objects: sum.objects / days, bytes: sum.bytes / days })
    }
}

/// Days from a day to another.
pub fn age(day: Date, today: Date) -> i64 {
    today.since(day).map_or(0, |span| i64::from(span.get_days()))
}

/// What lifecycle rules make of an object, by its age and size.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// Days, class, and the size below which it does not move.
    moves: Vec<(i64, Class, u64)>,
    expire: Option<i64>,
}

impl Course {
    /// Of the rules that can mean objects under one of these prefixes. `minimum` is the configuration's rule for small objects.
    pub fn of(rules: &[Rule], prefixes: &[String], minimum: Option<&str>) -> Self {
        let mut course = Self::default();
        let meant = |filter: &Filter| filter.meets(prefixes) && !filter.tagged && !filter.is_empty();
        for rule in rules.iter().filter(|rule| rule.enabled && meant(&rule.filter)) {
            for (when, class) in &rule.moves {
                if let (When::Days(days), Some(class)) = (when, class) {
                    let smallest = smallest(rule, *class, minimum);
                    course.moves.push((i64::from(*days), *class, smallest));
                }
            }
            if let Some(When::Days(days)) = rule.expiration {
                course.expire = Some(course.expire.unwrap_or(i64::MAX).min(i64::from(days)));
            }
        }
        course.moves.sort_unstable();
        course
    }

    /// Where an object is by now; `None` is nowhere.
    fn at(&self, age: i64, mean: f64) -> Option<Class> {
        if self.expire.is_some_and(|days| age >= days) {
            return None;
        }
        let reached = self.moves.iter().filter(|(days, _, smallest)| age >= *days && mean >= *smallest as f64);
        Some(reached.map(|(_, class, _)| *class).fold(Class::Standard, Class::max))
    }

    pub fn month(&self, stock: &Stock, today: Date, prices: &Prices) -> f64 {
        let parts = stock.days.iter().flat_map(|(day, pile)| pile.sides().map(|side| (age(*day, today), side)));
        parts.filter_map(|(age, side)| self.at(age, side.mean()).map(|class| prices.month(side, class))).sum()
    }
}

/// The size from which on a rule moves an object to a class.
pub fn smallest(rule: &Rule, class: Class, minimum: Option<&str>) -> u64 {
    match rule.filter.larger {
        Some(larger) => larger.saturating_add(1),
        None if class.is_archive() && minimum == Some("varies_by_storage_class") => 0,
        None => SMALL,
    }
}

/// The effect of a step, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Objects that it touches, of those that are there now.
    pub objects: u64,
    pub bytes: u64,
    /// Requests that it takes, and what they and the moves cost, once.
    pub calls: u64,
    pub once: f64,
    /// What a month of the present archive costs more (or less) by it.
    pub monthly: f64,
}

/// What changes when the rules do: objects that are elsewhere by it.
pub fn change(before: &Course, after: &Course, stock: &Stock, today: Date, prices: &Prices) -> Estimate {
    let mut estimate = Estimate { calls: 1, once: prices.put.value() / 1000.0, ..Estimate::default() };
    for (day, pile) in &stock.days {
        for side in pile.sides().into_iter().filter(|side| side.objects > 0.0) {
            let age = age(*day, today);
            let (from, to) = (before.at(age, side.mean()), after.at(age, side.mean()));
            if from == to {
                continue;
            }
            estimate.objects += side.objects as u64;
            estimate.bytes += side.bytes as u64;
            estimate.once += to.map_or(0.0, |to| side.objects / 1000.0 * prices.of(to).moves.value());
            let month = |class: Option<Class>| class.map_or(0.0, |class| prices.month(side, class));
            estimate.monthly += month(to) - month(from);
        }
    }
    estimate
}

/// The whole archive, now and when it is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    pub objects: u64,
    pub bytes: u64,
    /// A month of what is there, under the rules as they are, and as planned.
    pub month: f64,
    pub month_planned: f64,
    /// What is there once every promised day is full, if each brings as much as the last thirty did; and a month of it.
    pub full_objects: u64,
    pub full_bytes: u64,
    pub full_month: f64,
}

impl Archive {
    pub fn of(courses: (&Course, &Course), stock: &Stock, today: Date, keep: u32, prices: &Prices) -> Self {
        let (before, after) = courses;
        let mut archive = Self {
            objects: stock.objects(),
            bytes: stock.bytes(),
            month: before.month(stock, today, prices),
            month_planned: after.month(stock, today, prices),
            ..Self::default()
        };
        let daily = stock.daily(today);
        let (mut objects, mut bytes) = (0.0, 0.0);
        for age in 0..i64::from(keep) {
            for side in daily {
                let Some(class) = after.at(age, side.mean()) else { continue };
                objects += side.objects;
                bytes += side.bytes;
                archive.full_month += prices.month(side, class);
            }
        }
        (archive.full_objects, archive.full_bytes) = (objects.round() as u64, bytes.round() as u64);
        archive
    }
}
