//! Small maps, which statistics have very many of: of a handful of keys, in one piece of memory.

use std::{cmp::Ordering, convert::Infallible, fmt, ops::Index};

/// Values by keys, in the order of these. None is the default value: what comes to nothing is left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Sorted<K, V>(Vec<(K, V)>);

impl<K: Ord, V: Default + PartialEq> Sorted<K, V> {
    /// Nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Changes the value of a key; what comes to nothing is left out.
    pub fn change(&mut self, key: K, change: impl FnOnce(&mut V)) {
        let place = self.0.binary_search_by(|(other, _)| other.cmp(&key));
        let Ok(()) = self.change_at(
            place,
            || key,
            |value| {
                change(value);
                Ok::<_, Infallible>(())
            },
        );
    }

    /// Changes the value of the key that compares as equal; `key` makes it if it is not there.
    ///
    /// # Errors
    /// That of the change, which may have been made in part.
    pub fn try_change<E>(
        &mut self,
        compare: impl Fn(&K) -> Ordering,
        key: impl FnOnce() -> K,
        change: impl FnOnce(&mut V) -> Result<(), E>,
    ) -> Result<(), E> {
        self.change_at(self.0.binary_search_by(|(other, _)| compare(other)), key, change)
    }

    fn change_at<E>(
        &mut self,
        place: Result<usize, usize>,
        key: impl FnOnce() -> K,
        change: impl FnOnce(&mut V) -> Result<(), E>,
    ) -> Result<(), E> {
        match place {
            Ok(place) => {
                change(&mut self.0[place].1)?;
                if self.0[place].1 == V::default() {
                    self.0.remove(place);
                }
            }
            Err(place) => {
                let mut value = V::default();
                change(&mut value)?;
                if value != V::default() {
                    self.0.insert(place, (key(), value));
                }
            }
        }
        Ok(())
    }

    /// Adds the values of another map to those of this one, as `add` does.
    pub fn merge(&mut self, more: &Self, mut add: impl FnMut(&mut V, &V))
    where
        K: Clone,
    {
        for (key, theirs) in &more.0 {
            self.change(key.clone(), |mine| add(mine, theirs));
        }
    }

    /// Changes each value.
    pub fn change_all(&mut self, mut change: impl FnMut(&K, &mut V)) {
        self.0.iter_mut().for_each(|(key, value)| change(key, value));
        self.0.retain(|(_, value)| *value != V::default());
    }
}

impl<K: Ord> Sorted<K, i64> {
    /// Counts a key `times` more often.
    pub fn add(&mut self, key: K, times: i64) {
        self.change(key, |count| *count += times);
    }
}

impl<K: Ord, V> Sorted<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.binary_search_by(|(other, _)| other.cmp(key)).ok().map(|place| &self.0[place].1)
    }
}

impl<K, V> Sorted<K, V> {
    /// All keys with their values, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.0.iter().map(|(_, value)| value)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves nothing.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V: Default + PartialEq> FromIterator<(K, V)> for Sorted<K, V> {
    /// Of a key that comes again, the last value stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> Self {
        values.into_iter().fold(Self::new(), |mut all, (key, value)| {
            all.change(key, |place| *place = value);
            all
        })
    }
}

impl<K: Ord, V: Default + PartialEq, const N: usize> From<[(K, V); N]> for Sorted<K, V> {
    fn from(values: [(K, V); N]) -> Self {
        values.into_iter().collect()
    }
}

impl<'a, K, V> IntoIterator for &'a Sorted<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl<K: Ord, V> Index<&K> for Sorted<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("a key that is there")
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Sorted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_in_which_nothing_is_zero(changes in vec((0..8_u8, -2..3_i64), 0..40)) {
            let mut sorted = Sorted::new();
            let mut expected: BTreeMap<u8, i64> = BTreeMap::new();
            for &(key, times) in &changes {
                sorted.add(key, times);
                *expected.entry(key).or_default() += times;
                expected.retain(|_, count| *count != 0);
                prop_assert!(sorted.iter().eq(&expected));
                prop_assert_eq!(sorted.get(&key), expected.get(&key));
            }
            let mut twice = sorted.clone();
            twice.merge(&sorted, |mine, theirs| *mine += theirs);
            prop_assert!(twice.values().zip(sorted.values()).all(|(twice, once)| *twice == 2 * once));
            twice.merge(&sorted, |mine, theirs| *mine -= 2 * theirs);
            prop_assert!(twice.is_empty());
        }
    }
}
