//! Many questions at once: some answer "yes" by chance alone.

/// The p-values adjusted by Benjamini and Hochberg (J. R. Stat. Soc. B 57 (1995) 289–300), in the order they
/// came: the least false discovery rate at which each would be called a discovery, min over j ≥ i of m·p₍ⱼ₎/j
/// where p₍₁₎ is the smallest of m. At most 1, never below its p-value, and in the same order as the p-values.
///
/// The rate holds for independent tests and for those that depend positively, such as days that share a storm.
/// What is not a number counts as 1, which can't make a discovery and is not left out of m.
pub fn adjusted(p_values: &[f64]) -> Vec<f64> {
    let p = |at: usize| if p_values[at].is_nan() { 1.0 } else { p_values[at].clamp(0.0, 1.0) };
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&one, &other| p(one).total_cmp(&p(other)));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least = 1.0_f64;
    for (place, &at) in order.iter().enumerate().rev() {
        least = least.min(p(at) * (p_values.len() as f64 / (place + 1) as f64));
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    #[test]
    fn equal_ones_are_adjusted_alike_and_none_is_none() {
        assert!(adjusted(&[]).is_empty());
        assert_eq!(adjusted(&[0.03]), [0.03]);
        assert_eq!(adjusted(&[0.04, 0.04, 0.04]), [0.04; 3]);
        assert_eq!(adjusted(&[f64::NAN, 0.01, 7.0, -1.0]), [1.0, 0.02, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn the_order_stays_and_nothing_gets_surer(p_values in collection::vec(0.0..=1.0_f64, 0..60)) {
            let q_values = adjusted(&p_values);
            for (i, (&p, &q)) in p_values.iter().zip(&q_values).enumerate() {
                prop_assert!(p <= q && q <= 1.0);
                for (other, &larger) in p_values.iter().zip(&q_values).skip(i + 1) {
                    prop_assert!((p <= *other && q <= larger) || (p >= *other && q >= larger));
                }
            }
        }
    }
}
