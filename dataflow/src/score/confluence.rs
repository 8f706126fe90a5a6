//! From component readings to dimensions and confluence, as of each role's close.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use prism_schemas::Ts;
use timely::dataflow::channels::pact::Pipeline;

use crate::{
    analyse::{Analysed, Catalogue, WINDOW_OF_SCORES},
    bar::Quality,
    operator::{Emit, Kept, Recent, Watch, in_order_of, shared},
    score::{
        component::sign,
        profile::{COMPONENTS_MAX, Profile},
        rows::{Confluence, Part, Parts, RoleScore, Score, Vote},
    },
    settings::Settings,
    types::{Diff, Rows},
    values::Values,
};

/// Vote weights closer than this are a tie: they are sums of the same weights in another order.
const TIE: f64 = 1e-12;

/// Roles at most, as settings are checked for.
const ROLES_MAX: usize = 4;

/// The roles that are present at a base close, with their weights.
type RolesNow<'a> = [Option<(f64, &'a RoleScore)>; ROLES_MAX];

/// A closed bar of a role with its outcome.
struct Entry {
    /// The bar's, at hand for whoever looks for a place, by which it is as of a close.
    end: Ts,
    analysed: Arc<Analysed>,
    role: Option<Arc<RoleScore>>,
    confluence: Option<Arc<Confluence>>,
}

impl Kept for Entry {
    fn key(&self) -> Ts {
        self.end
    }

    fn end(&self) -> Ts {
        self.end
    }
}

/// One instrument: recent closed bars of each role, base first.
struct Instrument {
    roles: Vec<Recent<Entry>>,
    /// Bytes it kept when that was told.
    bytes_told: usize,
}

impl Instrument {
    fn new(n_roles: usize) -> Instrument {
        Instrument { roles: (0..n_roles).map(|_| Recent::default()).collect(), bytes_told: 0 }
    }

    /// A row of a role came or went; false if it has no place.
    fn place(&mut self, role: usize, row: Arc<Analysed>, diff: Diff) -> bool {
        let end = row.bar().end;
        let make = |old: Option<Entry>| {
            let (role, confluence) = old.map_or((None, None), |old| (old.role, old.confluence));
            Entry { end, analysed: row, role, confluence }
        };
        self.roles[role].apply(end, diff, make).is_some()
    }

    /// Scores all that ends at `first_end` or later anew, higher roles first.
    fn score(&mut self, scorer: &Scorer, first_end: Ts, emit: &mut Emit<Score>) {
        for role in (0..self.roles.len()).rev() {
            for gone in self.roles[role].removed() {
                emit.replace(gone.role.map(Score::Role), None);
                emit.replace(gone.confluence.map(Score::Confluence), None);
            }
            let from = self.roles[role].first_from(first_end);
            for at in from..self.roles[role].len() {
                let role_score = scorer.role(self, role, at).map(Arc::new);
                if let Some(entry) = self.roles[role].at_mut(at) {
                    let old = std::mem::replace(&mut entry.role, role_score.clone());
                    emit.replace(old.map(Score::Role), role_score.map(Score::Role));
                }
                if role != 0 {
                    continue;
                }
                let all = scorer.confluence(self, at).map(Arc::new);
                if let Some(entry) = self.roles[0].at_mut(at) {
                    let old = std::mem::replace(&mut entry.confluence, all.clone());
                    emit.replace(old.map(Score::Confluence), all.map(Score::Confluence));
                }
            }
        }
    }

    /// Scores of rows that follow those it has, base last; it keeps none of them.
    fn peek(&mut self, scorer: &Scorer, rows: &[Arc<Analysed>]) -> Vec<Score> {
        let roles = &scorer.settings.timeframes.roles;
        let kept: Vec<usize> = self.roles.iter().map(|entries| entries.len()).collect();
        let mut scores = Vec::new();
        for role in (0..self.roles.len()).rev() {
            for row in rows.iter().filter(|row| row.bar().timeframe == roles[role]) {
                let at = self.roles[role].len();
                let follows = self.roles[role].back().is_none_or(|last| last.end < row.bar().end);
                if !follows || !self.place(role, row.clone(), 1) {
                    continue;
                }
                let role_score = scorer.role(self, role, at).map(Arc::new);
                self.roles[role].at_mut(at).into_iter().for_each(|entry| entry.role.clone_from(&role_score));
                scores.extend(role_score.map(Score::Role));
                let all = if role == 0 { scorer.confluence(self, at) } else { None };
                scores.extend(all.map(|all| Score::Confluence(Arc::new(all))));
            }
        }
        self.roles.iter_mut().zip(kept).for_each(|(entries, n)| entries.truncate(n));
        scores
    }

    /// Bytes it keeps.
    fn bytes(&self) -> usize {
        let rows: usize =
            self.roles.iter().map(|entries| entries.bytes() + entries.len() * shared::<RoleScore>()).sum();
        rows + self.roles.first().map_or(0, |base| base.len()) * shared::<Confluence>()
    }

    /// Forgets what ended before `cutoff`, but for the newest of each role.
    fn trim(&mut self, cutoff: Ts) {
        self.roles.iter_mut().for_each(|entries| while entries.forget(cutoff, true).is_some() {});
    }

    /// The newest entry of a role that ends at or before `end`.
    fn as_of(&self, role: usize, end: Ts) -> Option<&Entry> {
        let entries = &self.roles[role];
        let at = entries.find(end).map_or_else(|at| at, |at| at + 1);
        at.checked_sub(1).map(|at| &entries[at])
    }
}

/// Component, dimension and confluence scores.
///
/// Keeps, per instrument and role, the closed bars of the horizon and the newest one before it.
pub fn confluence<'s>(
    analysed: Rows<'s, Arc<Analysed>>,
    settings: &Settings,
    catalogue: Arc<Catalogue>,
    watch: &Watch,
) -> (Rows<'s, Score>, Scores) {
    let (watch, mut gauge) = (watch.clone(), watch.gauge("confluence"));
    let scorer = Scorer { settings: settings.clone(), catalogue };
    let scores = Scores(Rc::new(RefCell::new((scorer, Vec::new()))));
    let own = scores.clone();
    let roles = settings.timeframes.roles.clone();
    let keep = settings.keep();
    let mut touched: Vec<(usize, Ts)> = Vec::new();
    let of_roles = {
        let roles = roles.clone();
        move |row: Arc<Analysed>| roles.contains(&row.bar().timeframe).then_some(row)
    };
    let rows = in_order_of(
        analysed,
        "confluence",
        Pipeline,
        of_roles,
        move |time, batch: &mut Vec<(Arc<Analysed>, Diff)>, emit| {
            let (scorer, instruments) = &mut *own.0.borrow_mut();
            batch.sort_by_key(|(row, diff)| (row.bar().instrument, *diff));
            touched.clear();
            for (row, diff) in batch.drain(..) {
                let at = row.bar().instrument as usize;
                if instruments.len() <= at {
                    instruments.resize_with(at + 1, || None);
                }
                let instrument = instruments[at].get_or_insert_with(|| Instrument::new(roles.len()));
                let Some(role) = roles.iter().position(|tf| *tf == row.bar().timeframe) else { continue };
                let (end, start) = (row.bar().end, row.bar().start);
                if !instrument.place(role, row, diff) {
                    watch.tell("confluence", at as u32, start, diff, time);
                    continue;
                }
                match touched.last_mut() {
                    Some((last, first)) if *last == at => *first = (*first).min(end),
                    _ => touched.push((at, end)),
                }
            }
            for (at, first_end) in touched.drain(..) {
                let Some(instrument) = instruments[at].as_mut() else { continue };
                instrument.score(scorer, first_end, emit);
                // After all roles: the rows of one that come late may need those of another.
                instrument.trim(time as Ts - keep);
                let bytes = instrument.bytes();
                gauge.tell(&mut instrument.bytes_told, bytes);
            }
        },
    );
    (rows, scores)
}

/// The scores of a worker's instruments.
#[derive(Clone)]
pub struct Scores(Rc<RefCell<(Scorer, Vec<Option<Instrument>>)>>);

impl Scores {
    /// What they would be if an instrument's rows, which follow those that came, were closed.
    pub fn peek(&self, rows: &[Arc<Analysed>]) -> Vec<Score> {
        let (scorer, instruments) = &mut *self.0.borrow_mut();
        let Some(at) = rows.first().map(|row| row.bar().instrument as usize) else { return Vec::new() };
        let n_roles = scorer.settings.timeframes.roles.len();
        match instruments.get_mut(at).and_then(Option::as_mut) {
            Some(instrument) => instrument.peek(scorer, rows),
            None => Instrument::new(n_roles).peek(scorer, rows),
        }
    }
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
        let higher: [Option<(f64, &Analysed)>; ROLES_MAX] = std::array::from_fn(|h| {
            let row = (role < h && h < instrument.roles.len()).then(|| instrument.as_of(h, own.bar().end))??;
            Some((self.settings.timeframes.weights[h], &*row.analysed))
        });
        let profile = self.profile();
        let mut parts = Parts::default();
        let mut divs = [0.0; COMPONENTS_MAX];
        let mut number = 0;
        for (d, dimension) in profile.dimensions.iter().enumerate() {
            let (first, numbers) = (number, number..number + dimension.components.len());
            let is_there = |n: usize| own.reading(first + n).is_some();
            number = numbers.end;
            let weight = dimension.present(is_there);
            if weight <= 0.0 {
                continue;
            }
            let mut score = 0.0;
            for (number, weighted) in numbers.zip(&dimension.components) {
                let Some(reading) = own.reading(number) else { continue };
                divs[number] = self.divergence(own, number, reading.score, &higher);
                score += weighted.weight / weight * profile.adjusted(reading.score, divs[number]);
            }
            parts.set(d, Part { score, coverage: dimension.coverage(is_there) });
        }
        let is_adjusted = divs.iter().any(|div| *div != 0.0);
        let divs = if is_adjusted { Values::new(&divs[..number]) } else { Values::default() };
        parts.present().next().is_some().then(|| RoleScore { analysed: own.clone(), divs, parts })
    }

    /// The adjustment of a component whose higher roles disagree.
    fn divergence(&self, own: &Analysed, number: usize, score: f64, higher: &[Option<(f64, &Analysed)>]) -> f64 {
        if !self.profile().divergence {
            return 0.0;
        }
        let (mut weight, mut sum) = (0.0, 0.0);
        for (w, row) in higher.iter().flatten() {
            if let Some(reading) = row.reading(number) {
                weight += w;
                sum += w * (reading.score - score);
            }
        }
        let adx = self.catalogue.adx.and_then(|column| own.indicator(column));
        let (Some(adx), true) = (adx, 0.0 < weight) else { return 0.0 };
        let (threshold, most) = (self.settings.score.divergence_threshold, self.settings.score.divergence_max);
        let diff = sum / weight;
        if diff.abs() <= threshold {
            return 0.0;
        }
        sign(diff) * most * ((diff.abs() - threshold) / 40.0).min(1.0) * (adx / 25.0).min(1.0)
    }

    /// The confluence at a base close.
    fn confluence(&self, instrument: &Instrument, at: usize) -> Option<Confluence> {
        let profile = self.profile();
        let analysed = instrument.roles[0][at].analysed.clone();
        let bar = analysed.bar();
        if bar.quality == Quality::Gap {
            return None;
        }
        let weights = &self.settings.timeframes.weights;
        let roles: RolesNow<'_> = std::array::from_fn(|role| match role {
            0 => Some((weights[0], instrument.roles[0][at].role.as_deref()?)),
            role if role < instrument.roles.len() => {
                Some((weights[role], instrument.as_of(role, bar.end)?.role.as_deref()?))
            }
            _ => None,
        });
        let all_roles: f64 = weights.iter().sum();
        let mut parts = Parts::default();
        let (mut covered, mut role_covered) = (0.0, 0.0);
        let mut first = 0;
        for (d, dimension) in profile.dimensions.iter().enumerate() {
            let (mut weight, mut sum) = (0.0, 0.0);
            for (w, role) in roles.iter().flatten() {
                if let Some(have) = role.parts.get(d) {
                    weight += w;
                    sum += w * have.score;
                    role_covered += w * dimension.weight * have.coverage;
                }
            }
            if 0.0 < weight {
                let is_present = |n: usize| roles.iter().flatten().any(|(_, role)| role.analysed.reading(n).is_some());
                let coverage = dimension.coverage(|n| is_present(first + n));
                covered += dimension.weight * coverage;
                parts.set(d, Part { score: sum / weight, coverage });
            }
            first += dimension.components.len();
        }
        let score = match parts.present().next() {
            None => profile.when_absent?,
            Some(_) => (profile.finish)(profile.shares(&parts).map(|dimension| dimension.impact).sum()),
        };
        let (consensus, consensus_strength) = self.vote(&roles);
        let reaches_over_hole = |role: &RoleScore| role.analysed.reaches_over_hole(WINDOW_OF_SCORES);
        Some(Confluence {
            score,
            coverage: covered / profile.weight,
            parts,
            consensus,
            consensus_strength,
            quality: match bar.quality {
                Quality::Ok if roles.iter().flatten().any(|(_, role)| reaches_over_hole(role)) => Quality::Partial,
                quality => quality,
            },
            role_coverage: role_covered / (all_roles * profile.weight),
            analysed,
        })
    }

    fn vote(&self, roles: &RolesNow<'_>) -> (Vote, f64) {
        let mut votes = [0.0; 3];
        for (w, role) in roles.iter().flatten() {
            let (mut weight, mut score, mut coverage) = (0.0, 0.0, 0.0);
            for (d, dimension) in self.profile().dimensions.iter().enumerate() {
                let Some(part) = role.parts.get(d) else { continue };
                weight += dimension.weight;
                score += dimension.weight * part.score;
                coverage += dimension.weight * part.coverage;
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
