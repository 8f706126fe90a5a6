//! The venue's bars as rows: which columns say what, and whether they are of the timeframe that their file is named by.

use prism_schemas::event::Kline;
use prism_schemas::event::event::Body;
use prism_schemas::time::{MILLISECOND, SECOND};
use prism_schemas::{Decimal, Event, Timeframe, Ts};

use super::super::Events;
use super::super::row::{Row, number};
use super::super::rows::{Layout, Wrong};
use super::super::sight::Sight;
use super::super::who::Who;

/// Rows that are looked at before a file is read.
const LOOKED_AT: usize = 64;

/// Where the parts of a bar are.
#[derive(Clone)]
pub(super) struct Bars {
    pub(super) who: Who,
    pub(super) timeframe: Timeframe,
    pub(super) start: usize,
    pub(super) open: usize,
    pub(super) high: usize,
    pub(super) low: usize,
    pub(super) close: usize,
    pub(super) volume: usize,
    pub(super) turnover: Option<usize>,
    pub(super) n_trades: Option<usize>,
    pub(super) buy_volume: Option<usize>,
    /// The last instant of the bar.
    pub(super) end: Option<usize>,
}

impl Bars {
    /// Start, prices and volume in six columns behind each other.
    pub(super) fn plain(who: Who, timeframe: Timeframe) -> Bars {
        Bars {
            who,
            timeframe,
            start: 0,
            open: 1,
            high: 2,
            low: 3,
            close: 4,
            volume: 5,
            turnover: None,
            n_trades: None,
            buy_volume: None,
            end: None,
        }
    }
}

impl Layout for Bars {
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong> {
        let start = row.time(self.start)?;
        if let Some(end) = self.end {
            closes(self.timeframe, start, row.time(end)?)?;
        }
        let optional = |at: Option<usize>| at.and_then(|at| row.optional(at));
        let n_trades = optional(self.n_trades).map(count).transpose()?;
        let volume = row.number(self.volume)?;
        if volume.mantissa == 0 && n_trades.is_some_and(|n| 0 < n) {
            return Err(NO_TRADES.into());
        }
        let kline = Kline {
            timeframe: self.timeframe.name().into(),
            start,
            open: Some(row.number(self.open)?),
            high: Some(row.number(self.high)?),
            low: Some(row.number(self.low)?),
            close: Some(row.number(self.close)?),
            volume: Some(volume),
            turnover: optional(self.turnover).map(number).transpose()?,
            buy_volume: optional(self.buy_volume).map(number).transpose()?,
            n_trades,
            closed: true,
        };
        if !row.has_been(self.timeframe.end(start)) {
            return Err(UNFINISHED.into());
        }
        let instrument = self.who.of(row)?;
        out.push((instrument, bar(self.timeframe, start, kline)));
        Ok(())
    }
}

/// What the last bar of a file often is.
pub(super) const UNFINISHED: &str = "its interval is not over: the bar is not finished";

/// What bars without volume that count trades are.
pub(super) const NO_TRADES: &str =
    "no volume, but a count: bars of an index, a mark price or a premium, which are no trades; take klines";

/// A closed bar is known at its end.
pub(super) fn bar(timeframe: Timeframe, start: Ts, kline: Kline) -> Event {
    let end = timeframe.end(start);
    Event { ts_event: end, ts_recv: end, seq: None, index: 0, body: Some(Body::Kline(kline.into())) }
}

fn count(text: &str) -> Result<u64, String> {
    let whole = |number: Decimal| (number.decimals == 0).then(|| u64::try_from(number.mantissa).ok()).flatten();
    Decimal::parse(text).and_then(whole).ok_or_else(|| format!("\"{text}\" is no count"))
}

/// A bar's own close time is the last instant of its interval.
pub(super) fn closes(timeframe: Timeframe, start: Ts, close: Ts) -> Result<(), String> {
    let length = timeframe.end(start) - start;
    match (length - MILLISECOND..=length).contains(&(close - start)) {
        true => Ok(()),
        false => {
            Err(format!("a bar of {timeframe} that closes {} s after it opens", (close - start + MILLISECOND) / SECOND))
        }
    }
}

/// A timeframe as file names spell it: `1m`, `1h`, `1M`, `1mo`, `d`, `hour`, `minute`.
pub(super) fn timeframe(text: &str) -> Result<Timeframe, String> {
    let name = match text {
        "minute" | "1min" | "min" => "1m",
        "hour" | "hourly" | "h" | "1hour" => "1h",
        "day" | "daily" | "d" | "1day" | "1D" => "1d",
        "1w" | "week" | "weekly" => "1w",
        "1mo" | "month" | "monthly" => "1M",
        other => other,
    };
    name.parse()
}

/// What the first rows say if they contradict the timeframe that the file is named by: rows that are all further apart, or
/// that begin where no bar does.
pub(super) fn contradicts(sight: &Sight, timeframe: Timeframe, start: usize, rows: &[Vec<String>]) -> Option<String> {
    let times = rows.iter().filter_map(|row| sight.instants.text(row.get(start)?).ok());
    let times: Vec<Ts> = times.take(LOOKED_AT).collect();
    if 1 < times.len() && times.iter().all(|ts| timeframe.start(*ts) != *ts) {
        return Some(format!("no row begins where a bar of {timeframe} does: name it by the timeframe that it has"));
    }
    let apart: Vec<Ts> = times.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let least = apart.iter().copied().min()?;
    let is_steady = 3 <= apart.len() && apart.iter().all(|one| *one == least);
    let is_other = timeframe.length() < least || (1..timeframe.length()).contains(&least);
    // A month is as long as it is.
    (is_steady && is_other && timeframe != Timeframe::Month).then(|| {
        format!("named {timeframe}, but its rows are {} s apart: name it by the timeframe that it has", least / SECOND)
    })
}

/// The first rows of a file.
pub(super) fn first_rows(sight: &Sight, skip: usize) -> Vec<Vec<String>> {
    sight
        .text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .skip(skip)
        .take(LOOKED_AT)
        .map(|line| sight.cells(line))
        .collect()
}
