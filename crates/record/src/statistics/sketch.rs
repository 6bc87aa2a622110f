//! How durations are spread: counts by bins whose bounds grow by the same factor (DDSketch).
//!
//! Source: Masson, Rim and Lee, DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees,
//! VLDB 2019. The bins are those of the crate `sketches-ddsketch`. That one keeps a minimum, a maximum and a sum of
//! floats beside them, and an array for each sketch; here are counts alone, so that any part can be taken away again.

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sketches_ddsketch::Config;

/// A quantile is at most this part of the true value away from it.
pub const RELATIVE_ERROR: f64 = 0.01;

/// Only the bins are asked of it.
static BINS: LazyLock<Config> = LazyLock::new(|| Config::new(RELATIVE_ERROR, 2048, 1.0e-9));

/// The bin of what took less than a microsecond.
const NOTHING: i16 = -1;

/// How many durations, in microseconds, fall into each bin. Bins with none are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// In the order of the bins.
    bins: Vec<(i16, i64)>,
}

impl Sketch {
    /// Counts a duration `times` more often; a negative number takes it back.
    pub fn add(&mut self, micros: u64, times: i64) {
        self.add_to(0, bin(micros), times);
    }

    /// Adds all of another, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        self.add_bins(other.bins.iter().map(|&(bin, count)| (bin, count * times)));
    }

    /// Adds bins, which come in their order.
    fn add_bins(&mut self, bins: impl Iterator<Item = (i16, i64)>) {
        let mut from = 0;
        for (bin, count) in bins {
            from = self.add_to(from, bin, count);
        }
    }

    /// Adds to a bin, which is at this place or behind; answers the place behind it.
    fn add_to(&mut self, from: usize, bin: i16, times: i64) -> usize {
        // The next bin of two that are alike is mostly the next.
        let place = match self.bins.get(from) {
            None => Err(from),
            Some((here, _)) if *here == bin => Ok(from),
            Some((here, _)) if *here > bin => Err(from),
            Some(_) => {
                let found = self.bins[from..].binary_search_by_key(&bin, |(bin, _)| *bin);
                found.map(|place| from + place).map_err(|place| from + place)
            }
        };
        match place {
            Ok(place) => {
                self.bins[place].1 += times;
                if self.bins[place].1 == 0 {
                    self.bins.remove(place);
                    return place;
                }
                place + 1
            }
            Err(place) if times == 0 => place,
            Err(place) => {
                self.bins.insert(place, (bin, times));
                place + 1
            }
        }
    }

    /// Its bins as numbers: how many bins lie between each and the one before, and its count.
    pub fn gaps(&self) -> impl ExactSizeIterator<Item = (u16, i64)> {
        let mut next = NOTHING;
        self.bins.iter().map(move |&(bin, count)| {
            let gap = bin.abs_diff(next);
            next = bin + 1;
            (gap, count)
        })
    }

    /// Adds bins by their [gaps](Self::gaps); answers whether there are such bins.
    pub fn add_gaps(&mut self, gaps: impl Iterator<Item = (u16, i64)>) -> bool {
        let mut next = Some(NOTHING);
        let bins = gaps.map_while(|(gap, count)| {
            let bin = next.and_then(|next| next.checked_add_unsigned(gap));
            next = bin.and_then(|bin| bin.checked_add(1));
            bin.map(|bin| (bin, count))
        });
        self.add_bins(bins);
        next.is_some()
    }

    /// Whether it counts nothing.
    pub fn is_zero(&self) -> bool {
        self.bins.is_empty()
    }

    /// How many durations it counts.
    pub fn count(&self) -> i64 {
        self.bins.iter().map(|(_, count)| count).sum()
    }

    /// The value that stands for each bin, in microseconds, and how many durations are in it; ascending.
    pub fn bins(&self) -> impl Iterator<Item = (f64, i64)> {
        self.bins.iter().map(|&(bin, count)| (value(bin), count))
    }

    /// The duration, in microseconds, below which a share `q` of them lies: the one of rank ⌊q(n−1)⌋ of n in ascending
    /// order, to within [`RELATIVE_ERROR`]. `None` of no durations.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count <= 0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a rank within the count"
        )]
        let rank = (q.clamp(0.0, 1.0) * (count - 1) as f64).floor() as i64;
        let mut below = 0;
        self.bins.iter().find_map(|&(bin, count)| {
            below += count;
            (below > rank).then(|| value(bin))
        })
    }
}

/// The bin that a duration falls into.
fn bin(micros: u64) -> i16 {
    if micros == 0 {
        return NOTHING;
    }
    #[expect(clippy::cast_precision_loss, reason = "durations are below 2^53 ns")]
    let key = BINS.key(micros as f64);
    i16::try_from(key).expect("64 bits have fewer than 2,300 bins").max(0)
}

fn value(bin: i16) -> f64 {
    /// Of the first bins, as many as any duration needs.
    static VALUES: LazyLock<Vec<f64>> = LazyLock::new(|| (0..2300).map(|bin| BINS.value(bin)).collect());
    let known = usize::try_from(bin).ok().map(|place| VALUES.get(place).copied());
    known.map_or(0.0, |known| known.unwrap_or_else(|| BINS.value(bin.into())))
}

/// As pairs: how many bins lie between this one and the one before, and the count.
impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.gaps())
    }
}

impl<'de> Deserialize<'de> for Sketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let gaps = Vec::<(u16, i64)>::deserialize(deserializer)?;
        let mut sketch = Self::default();
        match sketch.add_gaps(gaps.into_iter()) {
            true => Ok(sketch),
            false => Err(de::Error::custom("a bin beyond the last")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::submitted::MAX_DURATION;

    fn sketch(durations: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        durations.iter().for_each(|&micros| sketch.add(micros, 1));
        sketch
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        assert_eq!(Sketch::default().quantile(0.5), None);
        assert_eq!(sketch(&[0]).quantile(0.5), Some(0.0));
        assert_eq!(sketch(&[0, 0, 1]).count(), 3);
    }

    #[test]
    fn the_longest_duration_has_a_bin() {
        let longest = MAX_DURATION / 1000;
        let found = sketch(&[longest]).quantile(1.0).unwrap();
        assert!((found / longest as f64 - 1.0).abs() <= RELATIVE_ERROR + 1e-9, "{found}");
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_the_error_of_the_true_one(
            mut durations in vec(0..MAX_DURATION / 1000, 1..200),
            q in 0.0..=1.0_f64,
        ) {
            let found = sketch(&durations).quantile(q).unwrap();
            durations.sort_unstable();
            let rank = (q * (durations.len() - 1) as f64).floor() as usize;
            let truth = durations[rank] as f64;
            prop_assert!((found - truth).abs() <= truth * (RELATIVE_ERROR + 1e-9), "{found} for {truth}");
        }

        #[test]
        fn what_was_added_can_be_taken_back(
            some in vec(0..MAX_DURATION / 1000, 0..50),
            more in vec(0..MAX_DURATION / 1000, 0..50),
        ) {
            let all: Vec<_> = some.iter().chain(&more).copied().collect();
            let mut left = sketch(&all);
            left.merge(&sketch(&more), -1);
            prop_assert_eq!(&left, &sketch(&some));
            let json = serde_json::to_string(&left).unwrap();
            prop_assert_eq!(serde_json::from_str::<Sketch>(&json).unwrap(), left);
        }
    }
}
