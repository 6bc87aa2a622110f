use proptest::{collection, prelude::*};

use super::*;
use crate::learn::inference::beta::binomial_cdf;

fn of(bins: &[(f64, u64)]) -> Bins {
    Bins::of(bins.iter().map(|&(value, count)| Bin { value, count }))
}

fn at(bins: &Bins, share: f64) -> Quantile {
    quantile(bins, share, Confidence::NINETY_FIVE).unwrap()
}

#[test]
fn bins_come_in_any_order_and_bad_ones_do_not_count() {
    let bins = of(&[(9.0, 2), (f64::NAN, 5), (3.0, 1), (0.0, 1), (9.0, 1), (-4.0, 1), (5.0, 0)]);
    assert_eq!(bins, of(&[(1.0, 2), (3.0, 1), (9.0, 3)]));
    assert_eq!(bins.total(), 6);
    assert_eq!(quantile(&of(&[]), 0.5, Confidence::NINETY_FIVE), None);
    for share in [0.0, 1.0, -1.0, f64::NAN] {
        assert_eq!(quantile(&bins, share, Confidence::NINETY_FIVE), None);
    }
}

#[test]
fn an_interval_goes_by_ranks_and_is_open_where_none_is_left() {
    let ranks = |n: u64| of(&(1..=n).map(|rank| (rank as f64, 1)).collect::<Vec<_>>());
    // Conover's tables: the median of 10 lies between the 2nd and the 9th value with 97.9 %.
    assert_eq!(at(&ranks(10), 0.5), Quantile { estimate: 5.0, lower: Some(2.0), upper: Some(9.0) });
    // With 5 values even the least and the largest hold it with 93.75 % only.
    assert_eq!(at(&ranks(5), 0.5), Quantile { estimate: 3.0, lower: None, upper: None });
    assert_eq!(at(&ranks(10), 0.9).estimate, 9.0);
    assert_eq!((at(&ranks(367), 0.99).upper, at(&ranks(368), 0.99).upper), (None, Some(368.0)));
}

#[test]
fn a_ratio_is_open_where_a_quantile_is() {
    let (few, many) = (of(&[(10.0, 3)]), of(&[(19.0, 40), (20.0, 40), (21.0, 40)]));
    let found = ratio(&at(&many, 0.5), &at(&few, 0.5));
    assert_eq!(found, Ratio { estimate: 2.0, lower: None, upper: None });
    let same = ratio(&at(&many, 0.5), &at(&many, 0.5));
    assert!(same.estimate == 1.0 && same.lower.unwrap() <= 1.0 && same.upper.unwrap() >= 1.0);
}

#[test]
fn what_is_all_tied_is_no_shift() {
    let tied = of(&[(7.0, 20)]);
    assert_eq!(shift(&tied, &tied), Some(Shift { larger: 0.5, p_value: 1.0 }));
    assert_eq!(shift(&tied, &of(&[])), None);
    let longer = shift(&of(&[(9.0, 20)]), &tied).unwrap();
    assert!(longer.larger == 1.0 && longer.p_value < 1e-8, "{longer:?}");
}

fn bins() -> impl Strategy<Value = Bins> {
    let count = prop_oneof![6 => 0..20_u64, 2 => 0..=1_000_000_000_u64, 1 => Just(u64::MAX)];
    let value = prop_oneof![4 => (0..12_i32).prop_map(f64::from), 1 => any::<f64>()];
    collection::vec((value, count), 0..25).prop_map(|bins| of(&bins))
}

/// The ranks that hold a quantile, as they are said to be: by halves, and the distribution's own function alone.
fn plain_ranks(n: u64, share: f64, confidence: Confidence) -> (u64, u64) {
    let first = |holds: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0, n);
        while low < high {
            let middle = low.midpoint(high);
            (low, high) =
                if holds(binomial_cdf(middle, n, share)) { (low, middle) } else { (middle + 1, high) };
        }
        low
    };
    let tail = confidence.tail();
    (first(&|chance| chance > tail), first(&|chance| chance >= 1.0 - tail) + 1)
}

#[test]
fn ranks_of_the_quantiles_that_answers_have_are_the_plain_ones_of_up_to_3000() {
    for n in 0..3000 {
        for share in [0.5, 0.9, 0.99] {
            let confidence = Confidence::NINETY_FIVE;
            assert_eq!(ranks(n, share, confidence), plain_ranks(n, share, confidence), "{n} {share}");
        }
    }
}

proptest! {
    #[test]
    fn ranks_are_the_plain_ones(
        n in prop_oneof![0..100_000_u64, 0..=1_u64 << 40],
        share in prop_oneof![0.001..0.999_f64, Just(0.5), Just(0.9), Just(0.99)],
        confidence in 0.001..0.999_f64,
    ) {
        let confidence = Confidence::new(confidence).unwrap();
        prop_assert_eq!(ranks(n, share, confidence), plain_ranks(n, share, confidence));
    }

    #[test]
    fn a_quantile_lies_within_its_interval(bins in bins(), share in 0.001..0.999_f64) {
        let found = quantile(&bins, share, Confidence::NINETY_FIVE);
        prop_assert_eq!(found.is_some(), bins.total() > 0);
        if let Some(found) = found {
            prop_assert!(found.estimate.is_finite());
            prop_assert!(found.lower.is_none_or(|lower| lower <= found.estimate), "{:?}", found);
            prop_assert!(found.upper.is_none_or(|upper| upper >= found.estimate), "{:?}", found);
        }
    }

    #[test]
    fn a_ratio_turns_with_its_sides(one in bins(), other in bins(), share in 0.01..0.99_f64) {
        let [one, other] = [one, other].map(|it| quantile(&it, share, Confidence::NINETY_FIVE));
        if let (Some(one), Some(other)) = (one, other) {
            let (it, turned) = (ratio(&one, &other), ratio(&other, &one));
            prop_assert!(it.estimate.is_finite() && it.estimate > 0.0);
            prop_assert_eq!(it.lower.is_some(), turned.upper.is_some());
            if let (Some(lower), Some(upper)) = (it.lower, turned.upper) {
                prop_assert!(lower <= it.estimate && (lower * upper - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_shift_turns_with_its_sides(one in bins(), other in bins()) {
        if let (Some(it), Some(turned)) = (shift(&one, &other), shift(&other, &one)) {
            prop_assert!((0.0..=1.0).contains(&it.larger) && 0.0 < it.p_value && it.p_value <= 1.0);
            prop_assert!((it.larger + turned.larger - 1.0).abs() < 1e-9);
        }
    }
}
