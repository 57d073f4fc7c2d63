//! Functions of Athena's that the engine lacks, and some for addresses. What cannot be computed of a row is null: a record with
//! a false time or a broken text is no reason to answer nothing at all.

use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringViewArray, TimestampMillisecondArray};
use arrow_schema::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::SessionContext;

use super::{json, time};

/// A function of columns of one length.
type Body = fn(&[ArrayRef], usize) -> ArrayRef;

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

pub fn register(context: &SessionContext) {
    use DataType::{Boolean, Int64, Utf8View};
    let of_json = |find: fn(&str) -> Option<String>| move |args: &[ColumnarValue]| at_path(args, find);
    for name in ["json_extract", "json_get"] {
        let whole = of_json(|json| (json != "null").then(|| json.to_owned()));
        context.register_udf(create_udf(name, vec![Utf8View; 2], Utf8View, Volatility::Immutable, Arc::new(whole)));
    }
    for name in ["json_extract_scalar", "json_get_str"] {
        let scalar = of_json(|json| json::scalar(json).map(|text| text.into_owned()));
        context.register_udf(create_udf(name, vec![Utf8View; 2], Utf8View, Volatility::Immutable, Arc::new(scalar)));
    }
    let bodies: [(&str, Vec<DataType>, DataType, Body); 9] = [
        ("json_get_int", vec![Utf8View; 2], Int64, json_get_int),
        ("json_array_length", vec![Utf8View], Int64, json_array_length),
        ("from_iso8601_timestamp", vec![Utf8View], time_type(), from_iso8601_timestamp),
        ("date_parse", vec![Utf8View; 2], time_type(), date_parse),
        ("date_format", vec![time_type(), Utf8View], Utf8View, date_format),
        ("date_add", vec![Utf8View, Int64, time_type()], time_type(), date_add),
        ("date_diff", vec![Utf8View, time_type(), time_type()], Int64, date_diff),
        ("cidr_contains", vec![Utf8View; 2], Boolean, cidr_contains),
        ("ip_prefix", vec![Utf8View, Int64], Utf8View, ip_prefix),
    ];
    for (name, takes, gives, body) in bodies {
        let call = move |args: &[ColumnarValue]| called(args, body);
        context.register_udf(create_udf(name, takes, gives, Volatility::Immutable, Arc::new(call)));
    }
}

/// Calls a function: of constants alone it is a constant.
fn called(args: &[ColumnarValue], body: Body) -> Result<ColumnarValue> {
    let is_constant = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let columns = ColumnarValue::values_to_arrays(args)?;
    let rows = columns.first().map_or(0, |column| column.len());
    let column = body(&columns, rows);
    if is_constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?));
    }
    Ok(ColumnarValue::Array(column))
}

/// What stands at a path of each text; a path that is a constant is read once.
fn at_path(args: &[ColumnarValue], find: fn(&str) -> Option<String>) -> Result<ColumnarValue> {
    let constant = match args.get(1) {
        Some(ColumnarValue::Scalar(path)) => match path.try_as_str().flatten() {
            None => return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(None))),
            Some(text) => match json::path(text) {
                None => return plan_err!("`{text}` is no path: write $.member, $['member'] or $.list[0]"),
                steps => steps,
            },
        },
        _ => None,
    };
    let columns = ColumnarValue::values_to_arrays(args)?;
    let (texts, paths) = (text(&columns, 0), text(&columns, 1));
    let of = |(text, path): (Option<&str>, Option<&str>)| {
        let found = match &constant {
            Some(steps) => json::find(text?, steps),
            None => json::find(text?, &json::path(path?)?),
        };
        find(found?)
    };
    let found: StringViewArray = texts.iter().zip(paths.iter()).map(of).collect();
    match args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?)),
        false => Ok(ColumnarValue::Array(Arc::new(found))),
    }
}

/// The engine has cast arguments to the types that were registered; what it did not is taken for nulls.
fn text(columns: &[ArrayRef], at: usize) -> StringViewArray {
    let rows = columns.first().map_or(0, |column| column.len());
    let known = columns.get(at).and_then(|column| column.as_string_view_opt().cloned());
    known.unwrap_or_else(|| StringViewArray::new_null(rows))
}

fn number(columns: &[ArrayRef], at: usize) -> Int64Array {
    let rows = columns.first().map_or(0, |column| column.len());
    let known = columns.get(at).and_then(|column| column.as_primitive_opt::<Int64Type>().cloned());
    known.unwrap_or_else(|| Int64Array::new_null(rows))
}

fn moment(columns: &[ArrayRef], at: usize) -> TimestampMillisecondArray {
    let rows = columns.first().map_or(0, |column| column.len());
    let known = columns.get(at).and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>().cloned());
    known.unwrap_or_else(|| TimestampMillisecondArray::new_null(rows))
}

fn value<A: Array, V>(column: &A, row: usize, get: impl Fn(&A, usize) -> V) -> Option<V> {
    column.is_valid(row).then(|| get(column, row))
}

fn json_get_int(columns: &[ArrayRef], _rows: usize) -> ArrayRef {
    let (texts, paths) = (text(columns, 0), text(columns, 1));
    let of = |(text, path): (Option<&str>, Option<&str>)| {
        json::scalar(json::find(text?, &json::path(path?)?)?)?.parse::<i64>().ok()
    };
    Arc::new(texts.iter().zip(paths.iter()).map(of).collect::<Int64Array>())
}

fn json_array_length(columns: &[ArrayRef], _rows: usize) -> ArrayRef {
    let length = |text: Option<&str>| {
        let elements = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(text?).ok()?;
        i64::try_from(elements.len()).ok()
    };
    Arc::new(text(columns, 0).iter().map(length).collect::<Int64Array>())
}

fn from_iso8601_timestamp(columns: &[ArrayRef], _rows: usize) -> ArrayRef {
    let times = text(columns, 0).iter().map(|text| time::iso(text?)).collect::<TimestampMillisecondArray>();
    Arc::new(times.with_timezone("UTC"))
}

fn date_parse(columns: &[ArrayRef], _rows: usize) -> ArrayRef {
    let (texts, forms) = (text(columns, 0), text(columns, 1));
    let times = texts.iter().zip(forms.iter()).map(|(text, form)| time::parsed(text?, form?));
    Arc::new(times.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
}

fn date_format(columns: &[ArrayRef], _rows: usize) -> ArrayRef {
    let (times, forms) = (moment(columns, 0), text(columns, 1));
    let texts = times.iter().zip(forms.iter()).map(|(time, form)| time::formatted(time?, form?));
    Arc::new(texts.collect::<StringViewArray>())
}

fn date_add(columns: &[ArrayRef], rows: usize) -> ArrayRef {
    let (units, counts, times) = (text(columns, 0), number(columns, 1), moment(columns, 2));
    let of = |row: usize| {
        let (time, count) = (
            value(&times, row, |column, row| column.value(row))?,
            value(&counts, row, |column, row| column.value(row))?,
        );
        time::later(time, units.is_valid(row).then(|| units.value(row))?, count)
    };
    Arc::new((0..rows).map(of).collect::<TimestampMillisecondArray>().with_timezone("UTC"))
}

fn date_diff(columns: &[ArrayRef], rows: usize) -> ArrayRef {
    let (units, from, to) = (text(columns, 0), moment(columns, 1), moment(columns, 2));
    let of = |row: usize| {
        let (from, to) =
            (value(&from, row, |column, row| column.value(row))?, value(&to, row, |column, row| column.value(row))?);
        time::between(units.is_valid(row).then(|| units.value(row))?, from, to)
    };
    Arc::new((0..rows).map(of).collect::<Int64Array>())
}

fn cidr_contains(columns: &[ArrayRef], _rows: usize) -> ArrayRef {
    let (networks, addresses) = (text(columns, 0), text(columns, 1));
    let of = |(network, address): (Option<&str>, Option<&str>)| {
        let (base, bits) = network?.split_once('/')?;
        let (base, bits, address) = (base.parse().ok()?, bits.parse().ok()?, address?.parse().ok()?);
        let kinds_differ = || std::mem::discriminant::<IpAddr>(&base) != std::mem::discriminant(&address);
        Some(!kinds_differ() && cut(base, bits)? == cut(address, bits)?)
    };
    Arc::new(networks.iter().zip(addresses.iter()).map(of).collect::<BooleanArray>())
}

fn ip_prefix(columns: &[ArrayRef], _rows: usize) -> ArrayRef {
    let (addresses, lengths) = (text(columns, 0), number(columns, 1));
    let of = |(address, bits): (Option<&str>, Option<i64>)| {
        let bits = u32::try_from(bits?).ok()?;
        Some(format!("{}/{bits}", cut(address?.parse().ok()?, bits)?))
    };
    Arc::new(addresses.iter().zip(lengths.iter()).map(of).collect::<StringViewArray>())
}

/// The network of an address.
fn cut(address: IpAddr, bits: u32) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    })
}
