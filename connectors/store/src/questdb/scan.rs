//! Stored rows read back as Parquet, in stretches of time: no answer has to hold a table.

use std::ops::RangeInclusive;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::FieldRef;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prism_questdb::blocking::Client;
use prism_questdb::{Error, within};
use prism_schemas::each_row;
use prism_schemas::time::{format_ts, parse_ts};
use prism_schemas::{Ts, Version};
use serde_json::Value;

use super::{QuestDbError, STATEMENT, Target};

/// Rows asked for at once, about.
const ROWS_AT_ONCE: u64 = 200_000;
/// Bytes of one answer at most: several times what so many rows have.
const BYTES_MAX: usize = 256 << 20;

impl Target {
    /// Reads all rows, in the order of their designated timestamp.
    pub fn scan(&self, client: &Client, see: &mut dyn FnMut(Version)) -> Result<(), QuestDbError> {
        for stretch in self.stretches(client)? {
            self.scan_stretch(client, &stretch, None, see)?;
        }
        Ok(())
    }

    /// The stretches of time to read one by one, oldest first.
    pub(super) fn stretches(&self, client: &Client) -> Result<Vec<RangeInclusive<Ts>>, QuestDbError> {
        Ok(client.stretches(self.stored.name, &(Ts::MIN..=Ts::MAX), ROWS_AT_ONCE, STATEMENT)?)
    }

    /// Reads the rows of a stretch that became known at or after `known`.
    pub fn scan_since(
        &self,
        client: &Client,
        range: &RangeInclusive<Ts>,
        known: Ts,
        see: &mut dyn FnMut(Version),
    ) -> Result<(), QuestDbError> {
        self.scan_stretch(client, range, Some(&format!("known_at >= '{}'", format_ts(known.max(0)))), see)
    }

    /// Reads the rows of a stretch for which a condition holds.
    pub(super) fn scan_stretch(
        &self,
        client: &Client,
        range: &RangeInclusive<Ts>,
        condition: Option<&str>,
        see: &mut dyn FnMut(Version),
    ) -> Result<(), QuestDbError> {
        self.scan_bounded(client, range, condition, BYTES_MAX, see)
    }

    /// As `scan_stretch`; what is larger than an answer may be is read in two halves.
    pub(super) fn scan_bounded(
        &self,
        client: &Client,
        range: &RangeInclusive<Ts>,
        condition: Option<&str>,
        bytes_max: usize,
        see: &mut dyn FnMut(Version),
    ) -> Result<(), QuestDbError> {
        let columns: Vec<&str> = self.table.columns.iter().map(|column| column.name).collect();
        match client.export(&self.select(&columns.join(", "), range, condition), bytes_max, STATEMENT) {
            Ok(file) => self.each(client, file, see),
            Err(error @ Error::TooLarge { .. }) => {
                let Some(halves) = self.halves(client, range, condition)? else { return Err(error.into()) };
                halves.iter().try_for_each(|half| self.scan_bounded(client, half, condition, bytes_max, see))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A stretch cut in the middle of its rows' times; none if they all have the same.
    fn halves(
        &self,
        client: &Client,
        range: &RangeInclusive<Ts>,
        condition: Option<&str>,
    ) -> Result<Option<[RangeInclusive<Ts>; 2]>, QuestDbError> {
        let ts = self.table.designated;
        let rows = client.exec(&self.select(&format!("min({ts}), max({ts})"), range, condition), STATEMENT)?;
        let time = |at: usize| rows.first()?.get(at).and_then(Value::as_str).and_then(parse_ts);
        let (Some(first), Some(last)) = (time(0), time(1)) else { return Ok(None) };
        let middle = first + (last - first) / 2_000 * 1_000;
        Ok((first < last).then(|| [*range.start()..=middle, middle + 1_000..=*range.end()]))
    }

    fn select(&self, columns: &str, range: &RangeInclusive<Ts>, condition: Option<&str>) -> String {
        let mut conditions = within(self.table.designated, range);
        conditions.extend(self.run.as_ref().map(|run| format!("run_id = '{}'", run.replace('\'', "''"))));
        conditions.extend(condition.map(str::to_string));
        let is_all = conditions.is_empty();
        let filter = if is_all { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        format!("SELECT {columns} FROM {}{filter}", self.stored.name)
    }

    fn each(&self, client: &Client, file: Bytes, see: &mut dyn FnMut(Version)) -> Result<(), QuestDbError> {
        let schema = self.table.schema();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
        // Who says 200 and sends something else is not QuestDB.
        let address = || client.address().to_string();
        let reader = reader.map_err(|error| Error::Away { address: address(), detail: error.to_string() })?;
        for batch in reader {
            let batch = batch?;
            let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
                Some(column) => arrow::compute::cast(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            };
            let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
            each_row(self.table, &RecordBatch::try_new(schema.clone(), columns)?, &mut *see);
        }
        Ok(())
    }
}
