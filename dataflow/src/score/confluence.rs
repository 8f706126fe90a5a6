//! From component readings to dimensions and confluence, as of each role's close.

use std::{collections::VecDeque, sync::Arc};

use prism_schemas::Ts;
use timely::dataflow::channels::pact::Pipeline;

use crate::{
    analyse::{Analysed, Catalogue},
    bar::{Bar, Quality},
    operator::{Misplaced, find, first_from, in_order_of},
    score::{component::sign, profile::Profile},
    settings::Settings,
    types::{Diff, Rows},
};

/// Vote weights closer than this are a tie: they are sums of the same weights in another order.
const TIE: f64 = 1e-12;

/// A component's share in a dimension at one role.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComponentScore {
    /// Number of its dimension in the profile.
    pub dimension: usize,
    /// Its name.
    pub name: &'static str,
    /// The measured value.
    pub raw_value: f64,
    /// Score before divergence.
    pub raw_score: f64,
    /// Bonus or malus.
    pub div: f64,
    /// Adjusted score.
    pub score: f64,
    /// Share among the present components of its dimension.
    pub weight: f64,
    /// `weight x score`.
    pub impact: f64,
    /// The score in words.
    pub label: &'static str,
    /// Present weight of its dimension.
    pub coverage: f64,
}

/// A dimension's share in the confluence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DimensionScore {
    /// Number in the profile.
    pub dimension: usize,
    /// Its score.
    pub score: f64,
    /// Share among the present dimensions.
    pub weight: f64,
    /// `weight x score`.
    pub impact: f64,
    /// Present component weight.
    pub coverage: f64,
}

/// Which way the roles vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Vote {
    Buy,
    Sell,
    Neutral,
}

/// The confluence of an instrument at a base close.
#[derive(Clone, Debug, PartialEq)]
pub struct Confluence {
    /// The base bar.
    pub bar: Bar,
    /// The final score.
    pub score: f64,
    /// Component weight present in at least one role.
    pub coverage: f64,
    /// Dimensions over all roles.
    pub dimensions: Vec<DimensionScore>,
    /// Where most vote weight is.
    pub consensus: Vote,
    /// Its share of all vote weight.
    pub consensus_strength: f64,
    /// Data quality of the base bar.
    pub quality: f64,
    /// Role-weighted coverage.
    pub role_coverage: f64,
    /// Agreement between the dimensions.
    pub agreement: f64,
}

impl Confluence {
    /// Learnt from forward returns once those are kept; neutral until then.
    pub const CALIBRATION: f64 = 1.0;

    /// How far the score can be relied on: the product of its four factors.
    pub fn reliability(&self) -> f64 {
        self.quality * self.role_coverage * self.agreement * Confluence::CALIBRATION
    }
}

/// What scoring says about an instrument at an instant.
#[derive(Clone, Debug, PartialEq)]
pub enum Score {
    /// Components and dimensions of one role at its close.
    Role(Arc<RoleScore>),
    /// The confluence at a base close.
    Confluence(Arc<Confluence>),
}

/// Components and dimensions of one role at its close.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleScore {
    /// The role's bar, absent only in the default.
    pub bar: Option<Bar>,
    /// Present components.
    pub components: Vec<ComponentScore>,
    /// Present dimensions.
    pub dimensions: Vec<DimensionScore>,
}

/// A closed bar of a role with its outcome.
struct Entry {
    analysed: Analysed,
    role: Option<Arc<RoleScore>>,
    confluence: Option<Arc<Confluence>>,
}

/// One instrument: recent closed bars of each role, base first.
struct Instrument {
    roles: Vec<VecDeque<Entry>>,
    /// By role, whether bars before the first were forgotten.
    trimmed: Vec<bool>,
}

impl Instrument {
    fn new(n_roles: usize) -> Instrument {
        Instrument { roles: (0..n_roles).map(|_| VecDeque::new()).collect(), trimmed: vec![false; n_roles] }
    }

    /// The newest entry of a role that ends at or before `end`.
    fn as_of(&self, role: usize, end: Ts) -> Option<&Entry> {
        let entries = &self.roles[role];
        let at = find(entries, &end, |entry| entry.analysed.bar.end).map_or_else(|at| at, |at| at + 1);
        at.checked_sub(1).map(|at| &entries[at])
    }
}

/// Component, dimension and confluence scores.
///
/// Keeps, per instrument and role, the closed bars of the horizon and the newest one before it.
pub fn confluence<'s>(
    analysed: Rows<'s, Analysed>,
    settings: &Settings,
    catalogue: Arc<Catalogue>,
    misplaced: &Misplaced,
) -> Rows<'s, Score> {
    let misplaced = misplaced.clone();
    let scorer = Scorer { settings: settings.clone(), catalogue };
    let roles = settings.timeframes.roles.clone();
    let keep = settings.keep();
    let mut instruments: Vec<Option<Instrument>> = Vec::new();
    let mut touched: Vec<(usize, Ts)> = Vec::new();
    let of_roles = {
        let roles = roles.clone();
        move |row: Analysed| roles.contains(&row.bar.timeframe).then_some(row)
    };
    in_order_of(analysed, "confluence", Pipeline, of_roles, move |time, batch: &mut Vec<(Analysed, Diff)>, emit| {
        batch.sort_by_key(|(row, diff)| (row.bar.instrument, *diff));
        touched.clear();
        for (row, diff) in batch.drain(..) {
            let at = row.bar.instrument as usize;
            if instruments.len() <= at {
                instruments.resize_with(at + 1, || None);
            }
            let instrument = instruments[at].get_or_insert_with(|| Instrument::new(roles.len()));
            let Some(role) = roles.iter().position(|tf| *tf == row.bar.timeframe) else { continue };
            let end = row.bar.end;
            let entries = &mut instrument.roles[role];
            let place = find(entries, &end, |entry| entry.analysed.bar.end);
            match (place, diff) {
                (Ok(place), ..=-1) => {
                    if let Some(old) = entries.remove(place) {
                        old.role.into_iter().for_each(|role| emit.retract(Score::Role(role)));
                        old.confluence.into_iter().for_each(|all| emit.retract(Score::Confluence(all)));
                    }
                }
                (Err(place), 1..) if 0 < place || !instrument.trimmed[role] => {
                    entries.insert(place, Entry { analysed: row, role: None, confluence: None });
                }
                _ => {
                    misplaced.tell("confluence", row.bar.instrument, row.bar.start, diff, time);
                    continue;
                }
            }
            match touched.last_mut() {
                Some((last, first)) if *last == at => *first = (*first).min(end),
                _ => touched.push((at, end)),
            }
        }
        for (at, first_end) in touched.drain(..) {
            let Some(instrument) = instruments[at].as_mut() else { continue };
            for role in (0..roles.len()).rev() {
                let from = first_from(&instrument.roles[role], &first_end, |entry| entry.analysed.bar.end);
                for at in from..instrument.roles[role].len() {
                    let role_score = scorer.role(instrument, role, at).map(Arc::new);
                    let entry = &mut instrument.roles[role][at];
                    let old = std::mem::replace(&mut entry.role, role_score.clone());
                    emit.replace(old.map(Score::Role), role_score.map(Score::Role));
                    if role == 0 {
                        let all = scorer.confluence(instrument, at).map(Arc::new);
                        let old = std::mem::replace(&mut instrument.roles[0][at].confluence, all.clone());
                        emit.replace(old.map(Score::Confluence), all.map(Score::Confluence));
                    }
                }
                let cutoff = time as Ts - keep;
                let entries = &mut instrument.roles[role];
                while entries.get(1).is_some_and(|next| next.analysed.bar.end < cutoff) {
                    entries.pop_front();
                    instrument.trimmed[role] = true;
                }
            }
        }
    })
}

/// The formulas of METHODS.md, section 5.
struct Scorer {
    settings: Settings,
    catalogue: Arc<Catalogue>,
}

impl Scorer {
    fn profile(&self) -> &Profile {
        &self.catalogue.profile
    }

    /// Components and dimensions of a role's bar.
    fn role(&self, instrument: &Instrument, role: usize, at: usize) -> Option<RoleScore> {
        let own = &instrument.roles[role][at].analysed;
        let higher: Vec<(f64, &Analysed)> = (role + 1..instrument.roles.len())
            .filter_map(|h| Some((self.settings.timeframes.weights[h], &instrument.as_of(h, own.bar.end)?.analysed)))
            .collect();
        let mut out = RoleScore { bar: Some(own.bar), ..RoleScore::default() };
        let mut number = 0;
        for (dimension, profile) in self.profile().dimensions.iter().enumerate() {
            let all: f64 = profile.components.iter().map(|weighted| weighted.weight).sum();
            let numbers = number..number + profile.components.len();
            number = numbers.end;
            let present = |number: &usize| own.readings.get(*number).copied().flatten();
            let pairs = || numbers.clone().zip(&profile.components);
            let weight: f64 = pairs().filter(|(n, _)| present(n).is_some()).map(|(_, c)| c.weight).sum();
            let coverage = weight / all;
            let mut score = 0.0;
            for (number, weighted) in pairs() {
                let Some(reading) = present(&number) else { continue };
                let div = self.divergence(own, number, reading.score, &higher);
                let adjusted = reading.score + div;
                let adjusted = if self.profile().divergence { adjusted.clamp(0.0, 100.0) } else { adjusted };
                let share = weighted.weight / weight;
                score += share * adjusted;
                out.components.push(ComponentScore {
                    dimension,
                    name: weighted.component.name(),
                    raw_value: reading.raw,
                    raw_score: reading.score,
                    div,
                    score: adjusted,
                    weight: share,
                    impact: share * adjusted,
                    label: weighted.component.words(reading.raw, adjusted),
                    coverage,
                });
            }
            if 0.0 < weight {
                out.dimensions.push(DimensionScore { dimension, score, weight: 0.0, impact: 0.0, coverage });
            }
        }
        self.share(&mut out.dimensions);
        (!out.dimensions.is_empty()).then_some(out)
    }

    /// The adjustment of a component whose higher roles disagree.
    fn divergence(&self, own: &Analysed, number: usize, score: f64, higher: &[(f64, &Analysed)]) -> f64 {
        if !self.profile().divergence {
            return 0.0;
        }
        let (mut weight, mut sum) = (0.0, 0.0);
        for (w, row) in higher {
            if let Some(Some(reading)) = row.readings.get(number) {
                weight += w;
                sum += w * (reading.score - score);
            }
        }
        let (Some(adx), true) = (own.adx, 0.0 < weight) else { return 0.0 };
        let (threshold, most) = (self.settings.score.divergence_threshold, self.settings.score.divergence_max);
        let diff = sum / weight;
        if diff.abs() <= threshold {
            return 0.0;
        }
        sign(diff) * most * ((diff.abs() - threshold) / 40.0).min(1.0) * (adx / 25.0).min(1.0)
    }

    /// Gives present dimensions their shares.
    fn share(&self, dimensions: &mut [DimensionScore]) {
        let weight_of = |d: &DimensionScore| self.profile().dimensions[d.dimension].weight;
        let all: f64 = dimensions.iter().map(weight_of).sum();
        for dimension in dimensions {
            dimension.weight = weight_of(dimension) / all;
            dimension.impact = dimension.weight * dimension.score;
        }
    }

    /// The confluence at a base close.
    fn confluence(&self, instrument: &Instrument, at: usize) -> Option<Confluence> {
        let profile = self.profile();
        let bar = instrument.roles[0][at].analysed.bar;
        if bar.quality == Quality::Gap {
            return None;
        }
        let weights = &self.settings.timeframes.weights;
        let roles: Vec<(f64, &Entry, &RoleScore)> = (0..instrument.roles.len())
            .filter_map(|role| {
                let entry = if role == 0 { &instrument.roles[0][at] } else { instrument.as_of(role, bar.end)? };
                Some((weights[role], entry, entry.role.as_deref()?))
            })
            .collect();
        let all_roles: f64 = weights.iter().sum();
        let find = |role: &RoleScore, d: usize| role.dimensions.iter().find(|have| have.dimension == d).copied();

        let mut dimensions = Vec::with_capacity(profile.dimensions.len());
        let (mut covered, mut role_covered) = (0.0, 0.0);
        let mut first = 0;
        for (d, dimension) in profile.dimensions.iter().enumerate() {
            let numbers = first..first + dimension.components.len();
            first = numbers.end;
            let (mut weight, mut sum) = (0.0, 0.0);
            for (w, _, role) in &roles {
                if let Some(have) = find(role, d) {
                    weight += w;
                    sum += w * have.score;
                    role_covered += w * dimension.weight * have.coverage;
                }
            }
            let all: f64 = dimension.components.iter().map(|c| c.weight).sum();
            let is_present =
                |n: usize| roles.iter().any(|(_, entry, _)| matches!(entry.analysed.readings.get(n), Some(Some(_))));
            let present: f64 =
                numbers.zip(&dimension.components).filter(|(n, _)| is_present(*n)).map(|(_, c)| c.weight).sum();
            if 0.0 < weight {
                let coverage = present / all;
                covered += dimension.weight * coverage;
                dimensions.push(DimensionScore {
                    dimension: d,
                    score: sum / weight,
                    weight: 0.0,
                    impact: 0.0,
                    coverage,
                });
            }
        }
        self.share(&mut dimensions);
        let score = match dimensions.is_empty() {
            true => profile.when_absent?,
            false => (profile.finish)(dimensions.iter().map(|dimension| dimension.impact).sum()),
        };
        let (consensus, consensus_strength) = self.vote(&roles);
        let scores = || dimensions.iter().map(|dimension| dimension.score);
        let range = scores().fold(f64::MIN, f64::max) - scores().fold(f64::MAX, f64::min);
        Some(Confluence {
            bar,
            score,
            coverage: covered / profile.weight,
            consensus,
            consensus_strength,
            quality: match bar.quality {
                Quality::Ok => 1.0,
                Quality::Partial => 0.5,
                Quality::Suspect => 0.25,
                Quality::Gap => 0.0,
            },
            role_coverage: role_covered / (all_roles * profile.weight),
            agreement: if dimensions.is_empty() { 1.0 } else { 1.0 - range / 100.0 },
            dimensions,
        })
    }

    fn vote(&self, roles: &[(f64, &Entry, &RoleScore)]) -> (Vote, f64) {
        let weight_of = |d: &DimensionScore| self.profile().dimensions[d.dimension].weight;
        let mut votes = [0.0; 3];
        for (w, _, role) in roles {
            let (mut weight, mut score, mut coverage) = (0.0, 0.0, 0.0);
            for dimension in &role.dimensions {
                weight += weight_of(dimension);
                score += weight_of(dimension) * dimension.score;
                coverage += weight_of(dimension) * dimension.coverage;
            }
            let vote = match score / weight {
                s if 55.0 <= s => Vote::Buy,
                s if s <= 45.0 => Vote::Sell,
                _ => Vote::Neutral,
            };
            votes[vote as usize] += w * coverage / self.profile().weight;
        }
        let [buy, sell, neutral] = votes;
        let winner = match () {
            () if buy.max(neutral) + TIE < sell => Vote::Sell,
            () if sell.max(neutral) + TIE < buy => Vote::Buy,
            () => Vote::Neutral,
        };
        let all: f64 = votes.iter().sum();
        (winner, if 0.0 < all { votes[winner as usize] / all } else { 0.0 })
    }
}
