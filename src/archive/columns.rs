//! Records cut up into columns.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field};

use super::schema;
use crate::core::row::{self, GROUPS, Holds, LEAVES, RESOURCE};

/// What is made of records, row by row.
pub struct Columns {
    leaves: Vec<Sparse>,
    groups: [Vec<bool>; GROUPS],
    resources: Vec<StringBuilder>,
    /// Where each row's resources end, and whether it has any.
    ends: Vec<i32>,
    listed: Vec<bool>,
    rest: Sparse,
    shape: StringBuilder,
    rows: usize,
}

/// A column that most rows have nothing in: that is written down when there is something again.
struct Sparse(StringBuilder, usize);

impl Sparse {
    fn of(rows: usize) -> Self {
        Self(StringBuilder::with_capacity(rows, 0), 0)
    }

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

    fn finish(mut self, rows: usize) -> ArrayRef {
        self.skip_to(rows);
        Arc::new(self.0.finish())
    }
}

impl Columns {
    /// For about so many rows.
    pub fn of(rows: usize) -> Self {
        Self {
            leaves: (0..LEAVES).map(|_| Sparse::of(rows)).collect(),
            groups: Default::default(),
            resources: (0..RESOURCE.len()).map(|_| StringBuilder::new()).collect(),
            ends: vec![0],
            listed: Vec::with_capacity(rows),
            rest: Sparse::of(0),
            shape: StringBuilder::with_capacity(rows, 0),
            rows: 0,
        }
    }

    pub fn push(&mut self, text: &str) {
        let cut = row::columns(text);
        for (column, value) in self.leaves.iter_mut().zip(&cut.leaves) {
            if let Some(value) = value {
                column.set(self.rows, value);
            }
        }
        for (column, there) in self.groups.iter_mut().zip(cut.groups) {
            column.push(there);
        }
        for resource in cut.resources.iter().flatten() {
            for (column, value) in self.resources.iter_mut().zip(resource) {
                column.append_option(value.as_deref());
            }
        }
        let before = self.ends.last().copied().unwrap_or(0);
        let more = cut.resources.as_ref().map_or(0, Vec::len);
        self.ends.push(before.saturating_add(i32::try_from(more).unwrap_or(i32::MAX)));
        self.listed.push(cut.resources.is_some());
        if let Some(rest) = &cut.rest {
            self.rest.set(self.rows, rest);
        }
        self.shape.append_value(&cut.shape);
        self.rows += 1;
    }

    /// The columns that are made of records, in their order.
    pub fn finish(mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let leaves: Vec<ArrayRef> = self.leaves.into_iter().map(|column| column.finish(self.rows)).collect();
        let resources: Vec<ArrayRef> =
            self.resources.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let resources = StructArray::try_new(schema::resource(), resources, None)?;
        let element = Arc::new(Field::new("element", DataType::Struct(schema::resource()), true));
        let resources = ListArray::try_new(
            element,
            OffsetBuffer::new(ScalarBuffer::from(self.ends)),
            Arc::new(resources),
            Some(NullBuffer::from(self.listed)),
        )?;
        let mut columns = assemble(row::FIELDS, &leaves, &self.groups, &(Arc::new(resources) as ArrayRef))?;
        columns.extend([self.rest.finish(self.rows), Arc::new(self.shape.finish())]);
        Ok(columns)
    }
}

/// Puts leaves into their structs.
fn assemble(
    fields: &[row::Field],
    leaves: &[ArrayRef],
    groups: &[Vec<bool>],
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
                let there = NullBuffer::from(groups.get(*number).ok_or_else(missing)?.clone());
                Arc::new(StructArray::try_new(names.into(), inner_columns, Some(there))?)
            }
        });
    }
    Ok(columns)
}
