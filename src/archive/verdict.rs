//! What the digests say of the logs that rows came in: a small table beside the files, as it changes when digests arrive.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use super::{Archive, QUICK, files, schema};
use crate::core::shard::Shard;
use crate::error::Result;
use crate::store::archive::{self, Integrity};

/// Where the table lies; each shard but the first has one of its own beside it.
fn table(shard: Shard) -> String {
    if shard.is_first() {
        return "integrity/objects.parquet".into();
    }
    format!("integrity/objects-{}.parquet", shard.index())
}

impl Archive {
    /// Writes the table of logs that are not verified, for readers without the ledger: `trail`, `object`, `integrity`. What is
    /// not in it is verified, or was folded without a contradiction; rows without a trail were imported, and prove nothing.
    pub async fn write_integrity(&self) -> Result<usize> {
        let doubtful = self.store.read(archive::doubtful).await?;
        let rows = doubtful.len();
        let key = self.place.key(&table(self.shard));
        let write = move || {
            let failed = |error| files::fault("archive:write", &error);
            let column = |of: fn(&(String, String, Integrity)) -> &str| -> ArrayRef {
                Arc::new(StringArray::from_iter_values(doubtful.iter().map(of)))
            };
            let batch = RecordBatch::try_from_iter([
                (schema::TRAIL, column(|row| &row.0)),
                (schema::OBJECT, column(|row| &row.1)),
                ("integrity", column(|row| row.2.name())),
            ])
            .map_err(|error| failed(error.into()))?;
            let mut writer =
                ArrowWriter::try_new(Vec::new(), batch.schema(), Some(schema::properties(QUICK))).map_err(failed)?;
            writer.write(&batch).map_err(failed)?;
            writer.into_inner().map_err(failed)
        };
        let body = self.env.blocking(write).await??;
        self.place.put_text(&key, body).await?;
        Ok(rows)
    }
}
