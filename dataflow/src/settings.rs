//! The settings that shape results, and their hash.

use std::collections::BTreeMap;

use prism_schemas::{Timeframe, Ts, instrument::fnv1a, time::duration};
use serde::{Deserialize, Serialize};

use crate::relation::WINDOW_MAX;

/// Changes whenever a formula changes, so that rows of different formulas never share a config_hash.
const FORMULA_VERSION: u32 = 11;

/// Everything that changes results; nothing that does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Knowledge time and lateness.
    pub time: TimeSettings,
    /// Which bars are made and what they are for.
    pub timeframes: TimeframeSettings,
    /// How bars are made.
    pub bars: BarSettings,
    /// Which indicators are kept.
    pub indicators: IndicatorSettings,
    /// How scores are made.
    pub score: ScoreSettings,
    /// How relations are made.
    pub relations: RelationSettings,
    /// When signals are raised.
    pub signals: SignalSettings,
}

/// Knowledge time and lateness, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSettings {
    /// Knowledge time is rounded up to a multiple of this.
    #[serde(with = "duration")]
    pub epoch: i64,
    /// A bar closes this long after its end.
    #[serde(with = "duration")]
    pub grace: i64,
    /// How long a bar stays correctable.
    #[serde(with = "duration")]
    pub horizon: i64,
    /// How far an event's time may lead its receive time.
    #[serde(with = "duration")]
    pub max_ahead: i64,
}

impl TimeSettings {
    /// The knowledge time of an event received at `ts_recv`, the latest of its partition so far.
    pub fn round_up(&self, ts: Ts) -> Ts {
        ts.div_euclid(self.epoch) * self.epoch + if ts.rem_euclid(self.epoch) == 0 { 0 } else { self.epoch }
    }

    /// When a bar that ends at `end` closes.
    pub fn close(&self, end: Ts) -> Ts {
        self.round_up(end + self.grace)
    }
}

/// Which bars are made and what they are for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeframeSettings {
    /// Timeframes of bars and indicators.
    pub maintained: Vec<Timeframe>,
    /// Base, LTF, MTF and HTF: the timeframes that scores read.
    pub roles: Vec<Timeframe>,
    /// Their weights in directional scores.
    pub weights: Vec<f64>,
}

impl TimeframeSettings {
    /// The base timeframe: confluence, signals and relations are made at its closes.
    pub fn base(&self) -> Timeframe {
        self.roles[0]
    }
}

/// What an interval without trades becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Empty {
    /// A bar that repeats the close, or a gap bar if the feed was not connected.
    Flat,
    /// Nothing.
    Omit,
}

/// How bars are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BarSettings {
    /// What an interval without trades becomes.
    pub empty: Empty,
    /// Streams of trades, the most wanted first: where an instrument has several, these feed its bars before any other.
    pub streams: Vec<String>,
    /// A bar further than this factor from the last close is suspect.
    pub jump: f64,
    /// Gap bars are made for at most this long after a feed's end; then the series waits for the next trade.
    #[serde(with = "duration")]
    pub gap_max: i64,
}

/// Which indicators are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndicatorSettings {
    /// Column names; an indicator is kept if one of its columns is named. Empty: all.
    pub columns: Vec<String>,
}

/// How scores are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreSettings {
    /// Name of the score profile: `prism`, `w1`, or one of `profiles`.
    pub profile: String,
    /// Profiles of one's own, by name: weights of dimensions.
    #[serde(default)]
    pub profiles: BTreeMap<String, BTreeMap<String, DimensionWeights>>,
    /// Points by which higher roles must disagree before a component is adjusted.
    pub divergence_threshold: f64,
    /// Most points of an adjustment.
    pub divergence_max: f64,
}

/// What a profile makes of a dimension of `prism`; one that it does not name is not scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimensionWeights {
    /// Its share in the confluence, among the weights of all.
    pub weight: f64,
    /// Shares of its components among each other; those of `prism` if empty. One that is not named is not scored.
    #[serde(default)]
    pub components: BTreeMap<String, f64>,
}

/// How relations are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationSettings {
    /// Symbol whose returns explain the others', on the same exchange and market.
    pub benchmark: String,
    /// Pairs of returns in a regression.
    pub window: usize,
}

/// When signals are raised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalSettings {
    /// A score at or above raises a bullish signal.
    pub bullish: f64,
    /// A score at or below raises a bearish signal.
    pub bearish: f64,
    /// Points a score must come back to end a signal.
    pub hysteresis: f64,
    /// Least time between two signals of one direction.
    #[serde(with = "duration")]
    pub cooldown: i64,
    /// Share of the capital that a position of a signal may lose at its stop.
    pub risk: f64,
    /// Percent of the capital that it takes at most.
    pub position_max: f64,
}

impl Settings {
    /// Settings that contradict themselves, as a sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        let frames = &self.timeframes;
        let sorted = |list: &[Timeframe]| list.windows(2).all(|pair| pair[0] < pair[1]);
        let fail = |message: String| Err(message);
        if self.time.epoch <= 0 {
            return fail("time.epoch must be longer than 0".into());
        }
        if self.time.grace < 0 || self.time.horizon < 0 || self.time.max_ahead < 0 {
            return fail("durations in [time] cannot be negative".into());
        }
        if frames.maintained.is_empty() || !sorted(&frames.maintained) {
            return fail("timeframes.maintained must name timeframes once each, shortest first".into());
        }
        let finest = frames.maintained[0];
        if let Some(bad) = frames.maintained.iter().find(|tf| tf.length() % finest.length() != 0) {
            return fail(format!("timeframes.maintained: {bad} is not a multiple of {finest}"));
        }
        if frames.maintained.contains(&Timeframe::Month) && Timeframe::D1 < finest {
            return fail(format!(
                "timeframes.maintained: 1M is a calendar month, not made of {finest}: name 1d or shorter"
            ));
        }
        if frames.roles.is_empty() || 4 < frames.roles.len() || !sorted(&frames.roles) {
            return fail("timeframes.roles must name one to four timeframes, shortest first".into());
        }
        if let Some(missing) = frames.roles.iter().find(|tf| !frames.maintained.contains(tf)) {
            return fail(format!("timeframes.roles: {missing} is not in timeframes.maintained"));
        }
        if frames.weights.len() != frames.roles.len() || frames.weights.iter().any(|w| !(0.0 < *w && w.is_finite())) {
            return fail("timeframes.weights must give each role a weight above 0".into());
        }
        let streams = &self.bars.streams;
        if (1..streams.len()).any(|at| streams[..at].contains(&streams[at])) {
            return fail("bars.streams must name each stream once".into());
        }
        if let Some(own) = ["prism", "w1"].into_iter().find(|own| self.score.profiles.contains_key(*own)) {
            return fail(format!(
                "score.profiles: {own} is there already and is not yours to change: use another name"
            ));
        }
        if self.bars.jump.is_nan() || self.bars.jump <= 1.0 {
            return fail("bars.jump must be above 1".into());
        }
        if !(2..=WINDOW_MAX).contains(&self.relations.window) {
            return fail(format!("relations.window must be 2 to {WINDOW_MAX}"));
        }
        let signals = &self.signals;
        let apart = signals.bearish + signals.hysteresis < signals.bullish - signals.hysteresis;
        if signals.hysteresis < 0.0 || !apart {
            return fail("signals: bearish + hysteresis must be below bullish - hysteresis".into());
        }
        if ![signals.risk, signals.position_max / 100.0].iter().all(|share| (0.0..=1.0).contains(share)) {
            return fail("signals.risk must be 0 to 1, signals.position_max 0 to 100".into());
        }
        Ok(())
    }

    /// How long rows are kept for corrections, in nanoseconds.
    pub fn keep(&self) -> i64 {
        self.time.horizon + self.timeframes.base().length()
    }

    /// Length of the longest maintained timeframe, in nanoseconds.
    pub fn longest(&self) -> i64 {
        self.timeframes.maintained.iter().map(|timeframe| timeframe.length()).max().unwrap_or(0)
    }

    /// Hash of everything here and of the formulas, 16 hex digits.
    pub fn hash(&self) -> String {
        // What other profiles say changes nothing.
        let mut own = self.clone();
        own.score.profiles.retain(|name, _| *name == self.score.profile);
        let text = serde_json::to_string(&own).unwrap_or_default();
        format!("{:016x}", fnv1a(format!("{FORMULA_VERSION}|{text}").as_bytes()))
    }
}
