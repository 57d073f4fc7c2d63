use super::{Document, Expected, Weakness};
pub fn weaknesses(_: &Document, _: &Expected) -> Vec<Weakness> {
    Vec::new()
}
