//! What OKX says of a market's state: best prices, mark, index, open interest, funding.

use prism_schemas::event::Ticker;
use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, Market, Ts};

use super::frames::{BookData, Envelope, StateData, TickerData};
use super::{Events, Okx, instrument, sized};
use crate::{DecodeError, Fields, event_of};

impl Okx {
    pub(super) fn tickers(&self, tickers: &[TickerData], ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        for raw in tickers {
            out.push(self.ticker(raw, ts_recv)?);
        }
        Ok(())
    }

    pub(super) fn ticker(&self, raw: &TickerData, ts_recv: Ts) -> Result<(InstrumentId, Event), DecodeError> {
        let fields = Fields { kind: "tickers" };
        let id = instrument(fields, "instId", raw.instrument)?;
        let unit = self.unit(&id, raw.instrument)?;
        // Volume and turnover: of spot in base and quote, of contracts in contracts and base.
        let (volume, turnover) = match id.market {
            Market::Spot => (raw.contracts_24h, raw.currency_24h),
            Market::Linear => (raw.currency_24h, None),
            Market::Inverse => (raw.contracts_24h, None),
        };
        let ticker = Ticker {
            last: fields.optional("last", raw.last)?,
            bid_price: fields.optional("bidPx", raw.bid_price)?,
            bid_size: sized(fields, "bidSz", raw.bid_size, unit)?,
            ask_price: fields.optional("askPx", raw.ask_price)?,
            ask_size: sized(fields, "askSz", raw.ask_size, unit)?,
            open_24h: fields.optional("open24h", raw.open_24h)?,
            high_24h: fields.optional("high24h", raw.high_24h)?,
            low_24h: fields.optional("low24h", raw.low_24h)?,
            volume_24h: fields.rounded("vol24h", volume)?,
            turnover_24h: fields.rounded("volCcy24h", turnover)?,
            ..Ticker::default()
        };
        let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
        Ok((id, event_of(ts_event, ts_recv, Body::Ticker(ticker.into()))))
    }

    /// Best prices at a number that those of the book's updates share.
    pub(super) fn best(
        &self,
        envelope: &Envelope<'_, ()>,
        updates: &[BookData],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "bbo-tbt" };
        let (id, unit) = self.addressed(fields, envelope)?;
        for (index, raw) in (0..).zip(updates) {
            let (bid, ask) = (raw.bids.first(), raw.asks.first());
            let ticker = Ticker {
                bid_price: fields.optional("bids", bid.map(|row| row.0))?,
                bid_size: sized(fields, "bids", bid.map(|row| row.1), unit)?,
                ask_price: fields.optional("asks", ask.map(|row| row.0))?,
                ask_size: sized(fields, "asks", ask.map(|row| row.1), unit)?,
                update_id: raw.seq.and_then(|id| u64::try_from(id).ok()),
                ..Ticker::default()
            };
            let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
            out.push((id.clone(), Event { index, ..event_of(ts_event, ts_recv, Body::Ticker(ticker.into())) }));
        }
        Ok(())
    }

    pub(super) fn states(
        kind: &'static str,
        states: &[StateData],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind };
        for raw in states {
            let id = match kind {
                // It is the index of the pair's perpetual contract, which has a name of its own.
                "index-tickers" => instrument(fields, "instId", &format!("{}-SWAP", raw.instrument))?,
                _ => instrument(fields, "instId", raw.instrument)?,
            };
            let open_interest = match id.market {
                Market::Inverse => fields.rounded("oi", raw.contracts)?,
                _ => fields.rounded("oiCcy", raw.currency)?,
            };
            let ticker = Ticker {
                mark: fields.rounded("markPx", raw.mark)?,
                index: fields.rounded("idxPx", raw.index)?,
                open_interest,
                funding_rate: fields.rounded("fundingRate", raw.funding_rate)?,
                next_funding_ts: fields.optional_millis("fundingTime", raw.funding_time)?,
                ..Ticker::default()
            };
            let told = ticker.mark.or(ticker.index).or(open_interest).or(ticker.funding_rate);
            fields.some("markPx, idxPx, oi or fundingRate", told)?;
            let ts_event = fields.optional_millis("ts", raw.ts)?.unwrap_or(ts_recv);
            out.push((id, event_of(ts_event, ts_recv, Body::Ticker(ticker.into()))));
        }
        Ok(())
    }
}
