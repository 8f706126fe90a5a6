//! A change that subscribers hear of: a row of a channel's table, encoded once for all of them.

use std::sync::{Arc, OnceLock};

use prism_schemas::table::{BARS, BOOK_FEATURES, COMPONENT_SCORES, CONFLUENCE, INDICATORS, ORDER_FLOW, SIGNALS};
use prism_schemas::{Cell, Table, Ts, Version};
use serde::Deserialize;

use crate::shape;

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channel {
    Signal,
    Confluence,
    Bars,
    Indicators,
    Components,
    Book,
    Trades,
}

impl Channel {
    pub(crate) const ALL: [Channel; 7] = [
        Channel::Signal,
        Channel::Confluence,
        Channel::Bars,
        Channel::Indicators,
        Channel::Components,
        Channel::Book,
        Channel::Trades,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Channel::Signal => "signal",
            Channel::Confluence => "confluence",
            Channel::Bars => "bars",
            Channel::Indicators => "indicators",
            Channel::Components => "components",
            Channel::Book => "book",
            Channel::Trades => "trades",
        }
    }

    /// Whether each change is told, or counted where a slow client lost it; of the others the newest row of a key is.
    pub(crate) const fn is_told_whole(self) -> bool {
        matches!(self, Channel::Signal | Channel::Confluence)
    }

    pub(crate) fn table(self) -> &'static Table {
        match self {
            Channel::Signal => &SIGNALS,
            Channel::Confluence => &CONFLUENCE,
            Channel::Bars => &BARS,
            Channel::Indicators => &INDICATORS,
            Channel::Components => &COMPONENT_SCORES,
            Channel::Book => &BOOK_FEATURES,
            Channel::Trades => &ORDER_FLOW,
        }
    }

    pub(crate) fn of(table: &Table) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.table() == table)
    }
}

/// A row that became known.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) channel: Channel,
    /// `signal`, `signal_withdrawn` or the channel's name.
    pub(crate) kind: &'static str,
    pub(crate) symbol: Arc<str>,
    /// What it is about: a later change of the same key makes this one needless.
    pub(crate) key: Arc<str>,
    /// Start and end of its bar, and when it became known.
    pub(crate) ts: Ts,
    pub(crate) end: Ts,
    pub(crate) known: Ts,
    /// Changes of the same key that it passed over.
    pub(crate) n_passed: u64,
    /// Whether it is a signal in force.
    pub(crate) is_active: bool,
    /// Whether its bar is open: it is what the row would be if that closed now.
    pub(crate) forming: bool,
    row: Arc<Version>,
    text: OnceLock<Box<str>>,
}

impl Change {
    /// None if the row is of no channel.
    pub(crate) fn new(row: Arc<Version>) -> Option<Change> {
        let channel = Channel::of(row.table)?;
        let text = |name: &str| match row.get(name) {
            Some(Cell::Text(text)) => &**text,
            _ => "",
        };
        let is_gone = row.get("retracted") == Some(&Cell::Bool(true));
        let status = text("status");
        let (kind, key) = match channel {
            Channel::Signal if is_gone || status == "withdrawn" => ("signal_withdrawn", text("signal_id").into()),
            Channel::Signal => ("signal", text("signal_id").into()),
            _ => {
                let names = ["exchange", "market", "symbol", "timeframe", "dimension", "component"].map(text);
                (channel.name(), names.join("|").into())
            }
        };
        let [ts, end, known] = ["ts", "ts_close", "known_at"].map(|name| match row.get(name) {
            Some(Cell::Ts(ts)) => *ts,
            _ => 0,
        });
        let is_active = channel == Channel::Signal && !is_gone && status == "active";
        let symbol = text("symbol").into();
        Some(Change {
            channel,
            kind,
            symbol,
            key,
            ts,
            end,
            known,
            n_passed: 0,
            is_active,
            forming: false,
            row,
            text: OnceLock::new(),
        })
    }

    /// As `new`, of a row that forms.
    pub(crate) fn forming(row: Version) -> Option<Change> {
        Change::new(Arc::new(row)).map(|change| Change { forming: true, ..change })
    }

    /// The row as a JSON object; encoded for the first who asks.
    pub(crate) fn text(&self) -> &str {
        // Memory does not refuse, and a row's cells are what JSON has.
        self.text.get_or_init(|| shape::text(&self.row).unwrap_or_else(|_| "{}".into()).into())
    }

    /// As the message of this number.
    pub(crate) fn message(&self, seq: u64) -> String {
        let row = self.text();
        let mut message = String::with_capacity(row.len() + 48);
        message.push_str("{\"type\":\"");
        message.push_str(self.kind);
        message.push_str("\",\"seq\":");
        message.push_str(&seq.to_string());
        // A row has a `ts` at least, so that what follows is never empty.
        message.push_str(if self.forming { ",\"forming\":true," } else { "," });
        message.push_str(&row[1..]);
        message
    }
}
