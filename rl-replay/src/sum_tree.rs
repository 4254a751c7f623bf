//! Sums over a changing list of weights.

/// How many nodes a node sums. Eight numbers are one line of the processor's cache.
const FAN: usize = 8;

/// Weights, none of them negative, with the sums that finding the place of a point among them needs: each node sums
/// eight. Sums are always recomputed from what they sum, so they do not drift, and depend on nothing but the weights.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SumTree {
    /// How many weights there are.
    len: usize,
    /// The weights, filled up with zeros to whole nodes, then their sums by eight, and so on up to one number.
    levels: Vec<Vec<f64>>,
}

impl SumTree {
    /// The bytes that room for `capacity` weights takes, none where they cannot be counted.
    pub(crate) fn bytes(capacity: usize) -> Option<usize> {
        // Each level takes an eighth of the one below, and is filled up to a node.
        let sums = capacity / (FAN - 1) + FAN * FAN;
        capacity.checked_add(sums)?.checked_mul(size_of::<f64>())
    }

    /// Room for `capacity` weights, all zero.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut levels = vec![vec![0.0; capacity.next_multiple_of(FAN)]];
        while let Some(len) = levels.last().map(Vec::len).filter(|len| *len > 1) {
            let sums = len.div_ceil(FAN);
            levels.push(vec![0.0; if sums == 1 { 1 } else { sums.next_multiple_of(FAN) }]);
        }
        SumTree { len: capacity, levels }
    }

    /// The weight in a place.
    pub(crate) fn get(&self, place: usize) -> f64 {
        self.levels[0][place]
    }

    /// The weights.
    pub(crate) fn weights(&self) -> &[f64] {
        &self.levels[0][..self.len]
    }

    /// The sum of all.
    pub(crate) fn total(&self) -> f64 {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or(0.0)
    }

    /// Changes a weight.
    pub(crate) fn set(&mut self, place: usize, weight: f64) {
        self.levels[0][place] = weight;
        let mut node = place;
        for level in 1..self.levels.len() {
            node /= FAN;
            let (below, above) = self.levels.split_at_mut(level);
            let children = &below[level - 1];
            let end = (node * FAN + FAN).min(children.len());
            above[0][node] = children[node * FAN..end].iter().sum();
        }
    }

    /// The places that points of `[0, total)` fall into, the weights being laid end to end; ones with a weight. `rests`
    /// holds the points, and afterwards how far each lies into its place.
    pub(crate) fn find(&self, rests: &mut [f64], places: &mut [usize]) {
        places.fill(0);
        // All points go down by a level together: what they read of it does not depend on one another, so that the
        // memory is waited for once, not once a point.
        for children in self.levels.iter().rev().skip(1) {
            for (rest, node) in rests.iter_mut().zip(places.iter_mut()) {
                let first = *node * FAN;
                let group = &children[first..(first + FAN).min(children.len())];
                let mut chosen = None;
                for (i, weight) in group.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                    chosen = Some(i);
                    if *rest < *weight {
                        break;
                    }
                    *rest -= weight;
                }
                // Where rounding carries the point past the end it falls into the last node that has a weight.
                *node = first + chosen.unwrap_or(0);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_point_is_found_where_the_running_sum_says(
            weights in prop::collection::vec(0u32..5, 1..700), changes in prop::collection::vec((0usize..700, 0u32..5), 0..40),
            share in 0.0f64..1.0,
        ) {
            let mut weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
            let mut tree = SumTree::new(weights.len());
            weights.iter().enumerate().for_each(|(i, w)| tree.set(i, *w));
            for (place, weight) in changes {
                let place = place % weights.len();
                weights[place] = weight.into();
                tree.set(place, weight.into());
            }
            // Small integers: sums are exact.
            let total: f64 = weights.iter().sum();
            prop_assert_eq!(tree.total(), total);
            if total > 0.0 {
                let at = share * total;
                let mut sum = 0.0;
                let expected = weights.iter().position(|w| { sum += w; at < sum }).unwrap();
                let (mut points, mut places) = ([at, total, 0.0], [usize::MAX; 3]);
                tree.find(&mut points, &mut places);
                prop_assert_eq!(places[0], expected);
                prop_assert!(weights[places[1]] > 0.0, "past the end");
                prop_assert_eq!(Some(places[2]), weights.iter().position(|w| *w > 0.0));
            }
        }
    }
}
