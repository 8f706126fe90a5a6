//! Who holds which side in the synthetic market, as venues tell it every few minutes.

use prism_schemas::event::{LongShortRatio, RiskLimit, event::Body, risk_limit::Tier};
use prism_schemas::random::Random;
use prism_schemas::time::MINUTE;
use prism_schemas::{Decimal, Ts};

/// Between two times at which ratios are told.
const RATIOS_EVERY: i64 = 5 * MINUTE;
/// Between two times at which margins are told.
const MARGINS_EVERY: i64 = 15 * MINUTE;

/// Logarithms of long over short: accounts buy what falls, top traders go with the trend.
pub(super) struct Holders {
    random: Random,
    accounts: f64,
    top_positions: f64,
    /// Both as they were when they were to be told last.
    told: [f64; 2],
}

impl Holders {
    /// A few more accounts are long than short.
    pub(super) fn new(random: Random) -> Holders {
        Holders { random, accounts: 0.4, top_positions: 0.0, told: [0.4, 0.0] }
    }

    /// Some seconds pass while the trend is so strong, about -1..1.
    pub(super) fn step(&mut self, push: f64) {
        self.accounts += 0.02 * (0.4 - 1.2 * push - self.accounts) + 0.01 * self.random.normal();
        self.top_positions += 0.02 * (0.8 * push - self.top_positions) + 0.01 * self.random.normal();
    }

    /// A second begins.
    pub(super) fn second(&mut self, at: Ts) {
        if at % RATIOS_EVERY == 0 {
            self.told = [self.accounts, self.top_positions];
        }
    }

    /// The share of them that is long, in ten thousandths: of all accounts, or of top traders' positions.
    pub(super) fn long(&self, kind: &str) -> i64 {
        let log = self.told[usize::from(kind == "top_position")];
        (10_000.0 / (1.0 + libm::exp(-log))).round() as i64
    }

    /// What the venue tells at this time, of the newest at which it tells something.
    pub(super) fn told(&self, at: Ts) -> impl Iterator<Item = Body> {
        let ratio = |kind: &str| {
            let [long, short] = [self.long(kind), 10_000 - self.long(kind)].map(|share| Some(Decimal::new(share, 4)));
            Body::LongShortRatio(LongShortRatio { kind: kind.into(), period: "5m".into(), long, short })
        };
        let ratios = ["account", "top_position"].map(ratio).into_iter().filter(move |_| at % RATIOS_EVERY == 0);
        ratios.chain((at % MARGINS_EVERY == 0).then(margins))
    }
}

/// Five tiers, the smallest first.
fn margins() -> Body {
    let tier = |n: i64| Tier {
        limit: Some(Decimal::new(2_000_000 * n, 0)),
        leverage_max: Some(Decimal::new(10_000 / n, 2)),
        maintenance_margin: Some(Decimal::new(50 * n, 4)),
        initial_margin: Some(Decimal::new(100 * n, 4)),
    };
    Body::RiskLimit(RiskLimit { tiers: (1..=5).map(tier).collect() })
}
