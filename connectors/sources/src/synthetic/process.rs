//! The price process: a common factor and each symbol's own part, each with slow and fast regimes.
//!
//! Return over dt minutes: `beta * factor + own`, each part `deviation * (drift * dt + volatility * sqrt(dt) * normal)`.
//! Fast regimes (trend up, trend down, range, high volatility) last about an hour and carry the short timeframes; slow
//! ones (up, down, none) last about a day and a half and carry the long ones. In a range the price is pulled back.

use prism_schemas::random::Random;

/// Deviation of the factor's return over a minute: about 43 % a year.
pub(super) const DEVIATION: f64 = 0.000_6;
const FAST_DRIFT: f64 = 0.22;
const SLOW_DRIFT: f64 = 0.06;
/// Share of the distance to its anchor that a ranging price loses each minute.
const PULL: f64 = 0.03;

/// One part of a price: the factor or a symbol's own.
#[derive(Clone, Debug)]
pub(super) struct Part {
    random: Random,
    deviation: f64,
    /// The sum of its returns.
    pub(super) level: f64,
    slow: f64,
    slow_minutes: f64,
    fast: f64,
    fast_minutes: f64,
    volatility: f64,
    anchor: Option<f64>,
}

impl Part {
    pub(super) fn new(seed: u64, name: &str, deviation: f64) -> Part {
        Part {
            random: Random::new(seed, name),
            deviation,
            level: 0.0,
            slow: 0.0,
            slow_minutes: 0.0,
            fast: 0.0,
            fast_minutes: 0.0,
            volatility: 1.0,
            anchor: None,
        }
    }

    /// Drift in deviations per minute.
    pub(super) fn drift(&self) -> f64 {
        self.slow + self.fast
    }

    pub(super) fn volatility(&self) -> f64 {
        self.volatility
    }

    pub(super) fn advance(&mut self, minutes: f64) {
        self.slow_minutes -= minutes;
        self.fast_minutes -= minutes;
        if self.slow_minutes <= 0.0 {
            self.slow_minutes = 600.0 + 1_600.0 * self.random.exponential();
            let strength = SLOW_DRIFT * (0.6 + 0.8 * self.random.uniform());
            self.slow = match self.random.below(5) {
                0 | 1 => strength,
                2 | 3 => -strength,
                _ => 0.0,
            };
        }
        if self.fast_minutes <= 0.0 {
            self.fast_minutes = 20.0 + 45.0 * self.random.exponential();
            let strength = FAST_DRIFT * (0.6 + 0.8 * self.random.uniform());
            // Fast trends follow the slow one more often than not.
            let with =
                if self.random.uniform() < 0.65 { 1.0f64.copysign(self.slow) } else { -1.0f64.copysign(self.slow) };
            (self.fast, self.volatility, self.anchor) = match self.random.below(10) {
                0..=5 => (strength * with, 1.0, None),
                6..=8 => (0.0, 0.7, Some(self.level)),
                _ => (0.5 * strength * with, 2.5, None),
            };
        }
        let (drift, pull) = match self.anchor {
            Some(anchor) => (0.0, (PULL * minutes).min(1.0) * (anchor - self.level)),
            None => (self.drift() * minutes, 0.0),
        };
        let noise = self.volatility * libm::sqrt(minutes) * self.random.normal();
        self.level += self.deviation * (drift + noise) + pull;
    }
}

/// A bar of log prices, with an activity of mean about 1; many are kept, and seven digits are less than a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogBar {
    pub(super) open: f32,
    pub(super) high: f32,
    pub(super) low: f32,
    pub(super) close: f32,
    pub(super) activity: f32,
}

impl LogBar {
    /// Neighbouring bars as one; activity adds up.
    pub(super) fn over(bars: &[LogBar]) -> Option<LogBar> {
        let (first, last) = (bars.first()?, bars.last()?);
        Some(LogBar {
            open: first.open,
            high: bars.iter().map(|bar| bar.high).fold(f32::NEG_INFINITY, f32::max),
            low: bars.iter().map(|bar| bar.low).fold(f32::INFINITY, f32::min),
            close: last.close,
            activity: bars.iter().map(|bar| bar.activity).sum(),
        })
    }
}

/// All symbols' log prices.
#[derive(Clone, Debug)]
pub(super) struct Process {
    factor: Part,
    betas: Vec<f64>,
    own: Vec<Part>,
}

impl Process {
    pub(super) fn new(seed: u64, symbols: &[super::Symbol]) -> Process {
        Process {
            factor: Part::new(seed, "factor", DEVIATION),
            betas: symbols.iter().map(|symbol| symbol.beta).collect(),
            own: symbols.iter().map(|symbol| Part::new(seed, symbol.name, symbol.own * DEVIATION)).collect(),
        }
    }

    pub(super) fn advance(&mut self, minutes: f64) {
        self.factor.advance(minutes);
        self.own.iter_mut().for_each(|own| own.advance(minutes));
    }

    pub(super) fn level(&self, at: usize) -> f64 {
        self.betas[at] * self.factor.level + self.own[at].level
    }

    /// Which way a symbol is pushed, about -1..1.
    pub(super) fn push(&self, at: usize) -> f64 {
        (1.5 * (self.betas[at] * self.factor.drift() + self.own[at].drift())).clamp(-1.0, 1.0)
    }

    /// How much it moves compared with quiet times.
    pub(super) fn volatility(&self, at: usize) -> f64 {
        f64::midpoint(self.factor.volatility(), self.own[at].volatility())
    }

    /// One bar of each symbol, from four steps.
    pub(super) fn bars(&mut self, minutes: f64, random: &mut Random, out: &mut [Vec<LogBar>]) {
        let n = out.len();
        let mut bars: Vec<LogBar> = (0..n)
            .map(|at| {
                let open = self.level(at) as f32;
                LogBar { open, high: open, low: open, close: open, activity: 0.0 }
            })
            .collect();
        for _ in 0..4 {
            self.advance(minutes / 4.0);
            for (at, bar) in bars.iter_mut().enumerate() {
                bar.close = self.level(at) as f32;
                bar.high = bar.high.max(bar.close);
                bar.low = bar.low.min(bar.close);
            }
        }
        for ((at, mut bar), out) in bars.into_iter().enumerate().zip(out) {
            bar.activity = (minutes * (0.5 + random.uniform()) * self.volatility(at)) as f32;
            out.push(bar);
        }
    }
}
