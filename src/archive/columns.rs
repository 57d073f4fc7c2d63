//! Records cut up into columns.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef, ListArray, StringArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field};

use super::schema;
use crate::core::row::{self, GROUPS, Holds, LEAVES, Place, RESOURCE, Row};

/// Bytes of a column that there is room for before they come.
const ROOM: usize = 1 << 20;

/// What is made of records, row by row: one batch after the other.
pub struct Columns {
    leaves: Vec<Sparse>,
    groups: [Vec<bool>; GROUPS],
    /// Of all rows together, and how many there are.
    resources: Vec<Sparse>,
    listed: usize,
    /// Where each row's resources end, and whether it has a list of them.
    ends: Vec<i32>,
    lists: Vec<bool>,
    rest: Sparse,
    shape: StringBuilder,
    rows: usize,
    /// Used again for every shape.
    text: String,
}

/// A column that many rows have nothing in: that is written down when there is something again.
#[derive(Default)]
struct Sparse(StringBuilder, usize);

impl Sparse {
    fn set(&mut self, row: usize, value: &str) {
        self.skip_to(row);
        self.0.append_value(value);
        self.1 += 1;
    }

    fn skip_to(&mut self, row: usize) {
        if row > self.1 {
            self.0.append_nulls(row - self.1);
            self.1 = row;
        }
    }

    /// As long as `nothing`, which stands for it where there is nothing.
    fn finish(&mut self, nothing: &ArrayRef) -> ArrayRef {
        if self.1 == 0 {
            return nothing.clone();
        }
        self.skip_to(nothing.len());
        self.1 = 0;
        finish(&mut self.0)
    }
}

/// What was built; the next batch is likely to be about as large, unless this one was odd.
fn finish(column: &mut StringBuilder) -> ArrayRef {
    let array = column.finish();
    *column = StringBuilder::with_capacity(array.len(), (array.value_data().len() * 9 / 8).min(ROOM));
    Arc::new(array)
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            leaves: std::iter::repeat_with(Sparse::default).take(LEAVES).collect(),
            groups: Default::default(),
            resources: std::iter::repeat_with(Sparse::default).take(RESOURCE.len()).collect(),
            listed: 0,
            ends: vec![0],
            lists: Vec::new(),
            rest: Sparse::default(),
            shape: StringBuilder::default(),
            rows: 0,
            text: String::new(),
        }
    }
}

impl Columns {
    pub fn push(&mut self, row: Row<'_>) {
        for (place, value) in row.values() {
            match place {
                Place::Leaf(number) => {
                    if let Some(column) = self.leaves.get_mut(usize::from(number)) {
                        column.set(self.rows, value);
                    }
                }
                Place::Resource => self.listed += 1,
                Place::Part(part) => {
                    if let Some(column) = self.resources.get_mut(usize::from(part)) {
                        column.set(self.listed - 1, value);
                    }
                }
            }
        }
        for (number, column) in self.groups.iter_mut().enumerate() {
            column.push(row.has_group(number));
        }
        self.ends.push(i32::try_from(self.listed).unwrap_or(i32::MAX));
        self.lists.push(row.has_resources());
        if let Some(rest) = row.rest() {
            self.rest.set(self.rows, rest);
        }
        self.text.clear();
        row.shape(&mut self.text);
        self.shape.append_value(&self.text);
        self.rows += 1;
    }

    /// The columns that are made of records, in their order.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let nothing: ArrayRef = Arc::new(StringArray::new_null(rows));
        let leaves: Vec<ArrayRef> = self.leaves.iter_mut().map(|column| column.finish(&nothing)).collect();
        let groups = self.groups.each_mut().map(|there| NullBuffer::from(std::mem::take(there)));
        let no_part: ArrayRef = Arc::new(StringArray::new_null(std::mem::take(&mut self.listed)));
        let resources: Vec<ArrayRef> = self.resources.iter_mut().map(|column| column.finish(&no_part)).collect();
        let resources = StructArray::try_new(schema::resource(), resources, None)?;
        let element = Arc::new(Field::new("element", DataType::Struct(schema::resource()), true));
        let resources = ListArray::try_new(
            element,
            OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.ends, vec![0]))),
            Arc::new(resources),
            Some(NullBuffer::from(std::mem::take(&mut self.lists))),
        )?;
        let mut columns = assemble(row::FIELDS, &leaves, &groups, &(Arc::new(resources) as ArrayRef))?;
        columns.extend([self.rest.finish(&nothing), finish(&mut self.shape)]);
        Ok(columns)
    }
}

/// Puts leaves into their structs.
fn assemble(
    fields: &[row::Field],
    leaves: &[ArrayRef],
    groups: &[NullBuffer],
    resources: &ArrayRef,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let missing = || ArrowError::SchemaError("a column is missing".into());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len());
    for field in fields {
        columns.push(match &field.holds {
            Holds::Leaf(number) => leaves.get(*number).ok_or_else(missing)?.clone(),
            Holds::Resources => resources.clone(),
            Holds::Group(number, inner) => {
                let inner_columns = assemble(inner, leaves, groups, resources)?;
                let names: Vec<Field> = inner
                    .iter()
                    .zip(&inner_columns)
                    .map(|(field, column)| Field::new(schema::name(field.json), column.data_type().clone(), true))
                    .collect();
                let there = groups.get(*number).ok_or_else(missing)?.clone();
                Arc::new(StructArray::try_new(names.into(), inner_columns, Some(there))?)
            }
        });
    }
    Ok(columns)
}
