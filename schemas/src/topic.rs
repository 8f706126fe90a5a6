//! Topics of the log and which events they carry.

use crate::event::event::Body;

/// A topic of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Topic {
    Trades,
    Books,
    Tickers,
    Liquidations,
    Reference,
    Status,
    Quarantine,
}

impl Topic {
    /// Every topic, in the order used to break ties between events received at the same instant.
    pub const ALL: [Topic; 7] = [
        Topic::Reference,
        Topic::Status,
        Topic::Books,
        Topic::Tickers,
        Topic::Liquidations,
        Topic::Trades,
        Topic::Quarantine,
    ];

    /// Its name on Kafka and on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Trades => "prism.trades",
            Topic::Books => "prism.books",
            Topic::Tickers => "prism.tickers",
            Topic::Liquidations => "prism.liquidations",
            Topic::Reference => "prism.reference",
            Topic::Status => "prism.status",
            Topic::Quarantine => "prism.quarantine",
        }
    }

    /// The topic an event belongs to; `None` for a heartbeat, which belongs to a partition of any topic.
    pub const fn of(body: &Body) -> Option<Topic> {
        Some(match body {
            Body::Trade(_) => Topic::Trades,
            Body::Book(_) => Topic::Books,
            Body::Ticker(_) => Topic::Tickers,
            Body::Liquidation(_) => Topic::Liquidations,
            Body::Kline(_) | Body::Instrument(_) | Body::Universe(_) => Topic::Reference,
            // Rare beside tickers, and read by everybody.
            Body::FundingRate(_) | Body::OpenInterest(_) | Body::LongShortRatio(_) => Topic::Reference,
            Body::RiskLimit(_) | Body::FearGreed(_) => Topic::Reference,
            Body::FeedStatus(_) | Body::Quota(_) => Topic::Status,
            Body::Quarantined(_) => Topic::Quarantine,
            Body::Heartbeat(_) => return None,
        })
    }
}

/// The event type's name in counts and reports.
pub const fn event_type(body: &Body) -> &'static str {
    match body {
        Body::Trade(_) => "trade",
        Body::Book(book) if book.snapshot => "book_snapshot",
        Body::Book(_) => "book_delta",
        Body::Ticker(_) => "ticker",
        Body::Kline(_) => "kline",
        Body::Liquidation(_) => "liquidation",
        Body::FundingRate(_) => "funding_rate",
        Body::OpenInterest(_) => "open_interest",
        Body::LongShortRatio(_) => "long_short_ratio",
        Body::RiskLimit(_) => "risk_limit",
        Body::FearGreed(_) => "fear_greed",
        Body::Universe(_) => "universe",
        Body::Instrument(_) => "instrument",
        Body::FeedStatus(_) => "feed_status",
        Body::Quota(_) => "quota",
        Body::Heartbeat(_) => "heartbeat",
        Body::Quarantined(_) => "quarantined",
    }
}
