//! What OKX answers to market requests.

use prism_schemas::event::Instrument;
use prism_schemas::event::event::Body;
use prism_schemas::{Decimal, Event, InstrumentId, Market, Ts};

use super::frames::{Answer, InstrumentItem};
use super::{Events, ID, Okx, instrument, sized};
use crate::{DecodeError, Fields, decimals_of, each_row, event_of};

impl Okx {
    /// The answer to instruments: one Instrument event per symbol.
    pub fn decode_instruments(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let answer: Answer<'_, InstrumentItem<'_>> = Fields { kind: "instruments" }.json(body)?;
        if answer.code != "0" {
            return Err(DecodeError::Refused(answer.msg.unwrap_or_default().into()));
        }
        // Options are nobody's here.
        let named = answer.data.iter().filter_map(|one| Some((one, instrument(KIND, "instId", one.id).ok()?)));
        let rows = named.map(|(one, id)| (one.id, described(one, id, ts_recv)));
        out.append(&mut each_row((ID, self.market), ts_recv, rows)?);
        Ok(())
    }
}

const KIND: Fields = Fields { kind: "instruments" };

fn described(one: &InstrumentItem<'_>, id: InstrumentId, ts_recv: Ts) -> Result<(InstrumentId, Event), DecodeError> {
    let contract_size = contract_size(one, id.market)?;
    // What a linear contract counts is told in base, as its sizes are.
    let unit = match id.market {
        Market::Linear => Some(contract_size.ok_or_else(|| DecodeError::Contract(one.id.into()))?),
        _ => None,
    };
    let tick_size = KIND.optional("tickSz", one.tick_size)?;
    let lot_size = sized(KIND, "lotSz", one.lot_size, unit)?;
    let (base, quote) = match id.market {
        Market::Spot => (one.base, one.quote),
        Market::Linear => (one.contract_currency, one.settle),
        Market::Inverse => (one.settle, one.contract_currency),
    };
    let described = Instrument {
        price_decimals: decimals_of(tick_size),
        size_decimals: decimals_of(lot_size),
        tick_size,
        lot_size,
        min_size: sized(KIND, "minSz", one.min_size, unit)?,
        max_size: sized(KIND, "maxLmtSz", one.max_size, unit)?,
        contract_size,
        contract_type: one.kind.into(),
        base: base.into(),
        quote: quote.into(),
        settlement: one.settle.into(),
        expiry: KIND.optional_millis("expTime", one.expiry)?,
        status: one.state.into(),
        native_symbol: one.id.into(),
        ..Instrument::default()
    };
    Ok((id, event_of(ts_recv, ts_recv, Body::Instrument(described.into()))))
}

/// What a contract is worth: of inverse ones in quote, of linear ones in base. None if it is in another currency.
fn contract_size(one: &InstrumentItem<'_>, market: Market) -> Result<Option<Decimal>, DecodeError> {
    let base = one.id.split('-').next().unwrap_or_default();
    if market == Market::Linear && one.contract_currency != base {
        return Ok(None);
    }
    let value = KIND.optional("ctVal", one.contract_value)?;
    sized(KIND, "ctVal", one.contract_value, KIND.optional("ctMult", one.contract_multiplier)?)
        .map(|size| size.or(value))
}
