//! Volume: who trades how much, and whether price follows.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::window::{Window, sum},
    score::{
        component::{Columns, MissingColumn},
        profile::{Dimension, Weighted},
    },
};

mod adl;
mod cmf;
mod divergence;
mod obv;
mod relative_volume;
mod volume_delta;

#[cfg(test)]
mod tests;

pub use adl::Adl;
pub use cmf::Cmf;
pub use divergence::Divergence;
pub use obv::Obv;
pub use relative_volume::RelativeVolume;
pub use volume_delta::VolumeDelta;

/// The dimension with its components and their weights.
pub fn dimension(weight: f64, columns: &Columns<'_>) -> Result<Dimension, MissingColumn> {
    let components = vec![
        Weighted { weight: 0.20, component: Box::new(VolumeDelta::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(Adl::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(Cmf::new(columns)?) },
        Weighted { weight: 0.20, component: Box::new(RelativeVolume::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(Obv::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(Divergence::new(columns)?) },
    ];
    Ok(Dimension { name: "volume", weight, components })
}

/// Net taker flow `sum(volume_delta, n) / sum(V, n)`; absent without flow or volume.
#[derive(Clone, Serialize, Deserialize)]
struct NetFlow {
    deltas: Window,
    volumes: Window,
}

impl NetFlow {
    fn new(n_bars: usize) -> NetFlow {
        NetFlow { deltas: Window::new(n_bars), volumes: Window::new(n_bars) }
    }

    fn next(&mut self, bar: &Bar, delta: Option<f64>) -> Option<f64> {
        let (deltas, volumes) = (self.deltas.push_or_reset(delta), self.volumes.push(bar.volume));
        let (delta, volume) = (sum(deltas?), sum(volumes?));
        (volume != 0.0).then(|| delta / volume)
    }
}
