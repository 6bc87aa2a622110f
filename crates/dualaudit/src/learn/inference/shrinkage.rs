//! Means of few runs, drawn to those of the others in their group: the best and the worst of a list are mostly
//! those with the fewest runs.

/// What is known of a workflow's scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// How many there are.
    pub runs: u64,
    /// Their mean.
    pub mean: f64,
    /// Their variance about it, Σ(x − mean)²/(n − 1); of one run it is not looked at.
    pub variance: f64,
}

/// The means of a group of workflows, in the order they came.
#[derive(Clone, Debug, PartialEq)]
pub enum Shrinkage {
    /// Fewer than three workflows have scores: nothing tells how workflows differ. The means are as they are.
    TooFewWorkflows,
    /// No workflow has two scores: nothing tells how its runs differ. The means are as they are.
    SingleRuns,
    /// The means are drawn to the group's.
    Shrunk(Group),
}

/// A group whose means were drawn together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The mean of the means, weighted by how well each is known.
    pub mean: f64,
    /// The variance of a workflow's runs, pooled over all.
    pub within: f64,
    /// The variance of the workflows' true means; 0 when they differ no more than chance alone makes them.
    pub between: f64,
    /// One a workflow.
    pub workflows: Vec<Shrunk>,
}

/// A workflow's mean beside the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shrunk {
    /// `weight` times its own mean and the rest of the group's.
    pub mean: f64,
    /// 0..1: 0 when it has no scores, near 1 when many.
    pub weight: f64,
}

/// Empirical Bayes in a group of workflows (B. Efron and C. Morris, J. Am. Stat. Assoc. 70 (1975) 311–319): the
/// true means vary by τ² about one, each estimate by σ²/nᵢ about its own; then the best guess is the own mean
/// with weight τ²/(τ² + σ²/nᵢ) and the group's with the rest.
///
/// σ² is pooled, Σ (nᵢ − 1)sᵢ²/Σ (nᵢ − 1): a variance of three runs says little. τ² is DerSimonian and Laird's
/// (Control. Clin. Trials 7 (1986) 177–188), which with weights nᵢ/σ² is (Σ nᵢ(mᵢ − m)² − (k − 1)σ²)/(N − Σ
/// nᵢ²/N), 0 at least. Where neither varies all weights are 1. A workflow without scores, or whose mean or
/// variance is not a number, does not count and gets the group's mean at weight 0.
pub fn shrink(workflows: &[Scores]) -> Shrinkage {
    let known: Vec<&Scores> = workflows.iter().filter(|scores| scores.counts()).collect();
    if known.len() < 3 {
        return Shrinkage::TooFewWorkflows;
    }
    let freedom: f64 = known.iter().map(|it| it.n() - 1.0).sum();
    if freedom <= 0.0 {
        return Shrinkage::SingleRuns;
    }
    let within =
        known.iter().filter(|it| it.runs > 1).map(|it| (it.n() - 1.0) / freedom * it.variance).sum::<f64>();

    let total: f64 = known.iter().map(|it| it.n()).sum();
    let mean = known.iter().map(|it| it.n() / total * it.mean).sum::<f64>();
    let spread: f64 = known.iter().map(|it| it.n() * (it.mean - mean) * (it.mean - mean)).sum();
    // N − Σ nᵢ²/N, as the sum over pairs of 2nᵢnⱼ/N: one workflow with nearly all runs cancels nothing.
    let (pairs, _) = known
        .iter()
        .fold((0.0, 0.0), |(pairs, before), it| (pairs + 2.0 * (before / total) * it.n(), before + it.n()));
    let between = ((spread - (known.len() as f64 - 1.0) * within) / pairs).max(0.0);

    // How much of a mean's variance is the workflow's own.
    let weight = |it: &Scores| match (it.counts(), between + within / it.n()) {
        (false, _) => 0.0,
        (true, 0.0) => 1.0,
        (true, all) => between / all,
    };
    let mean = if between > 0.0 {
        let precision: f64 = known.iter().map(|it| weight(it)).sum();
        known.iter().map(|it| weight(it) / precision * it.mean).sum()
    } else {
        mean
    };
    let shrunk = |it: &Scores| match weight(it) {
        0.0 => Shrunk { mean, weight: 0.0 },
        weight => Shrunk { mean: weight * it.mean + (1.0 - weight) * mean, weight },
    };
    Shrinkage::Shrunk(Group { mean, within, between, workflows: workflows.iter().map(shrunk).collect() })
}

impl Scores {
    fn n(&self) -> f64 {
        self.runs as f64
    }

    fn counts(&self) -> bool {
        self.runs > 0
            && self.mean.is_finite()
            && (self.runs == 1 || (self.variance.is_finite() && self.variance >= 0.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn of(runs: u64, mean: f64, variance: f64) -> Scores {
        Scores { runs, mean, variance }
    }

    fn group(workflows: &[Scores]) -> Group {
        match shrink(workflows) {
            Shrinkage::Shrunk(group) => group,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn too_few_are_left_as_they_are() {
        let one = of(10, 0.5, 0.1);
        assert_eq!(shrink(&[]), Shrinkage::TooFewWorkflows);
        assert_eq!(shrink(&[one, one, of(0, 0.9, 0.0), of(5, f64::NAN, 0.1)]), Shrinkage::TooFewWorkflows);
        assert_eq!(shrink(&[of(1, 0.1, 0.0), of(1, 0.5, 0.0), of(1, 0.9, f64::NAN)]), Shrinkage::SingleRuns);
    }

    #[test]
    fn the_fewer_runs_the_nearer_to_the_group() {
        let found = group(&[of(3, 0.95, 0.04), of(300, 0.95, 0.04), of(200, 0.6, 0.04), of(0, 0.0, 0.0)]);
        let [few, many, _, none] = found.workflows[..] else { panic!("{found:?}") };
        assert!(few.mean < many.mean && few.weight < many.weight && many.weight > 0.95);
        assert_eq!(none, Shrunk { mean: found.mean, weight: 0.0 });
    }

    #[test]
    fn what_differs_by_chance_alone_is_one_and_what_never_varies_is_its_own() {
        let alike = group(&[of(10, 0.50, 0.1), of(10, 0.51, 0.1), of(20, 0.49, 0.1)]);
        assert_eq!(alike.between, 0.0);
        assert!(alike.workflows.iter().all(|it| it.weight == 0.0 && it.mean == alike.mean));
        let fixed = group(&[of(10, 1.0, 0.0), of(5, 0.5, 0.0), of(2, 0.0, 0.0)]);
        assert_eq!(fixed.workflows.iter().map(|it| it.mean).collect::<Vec<_>>(), [1.0, 0.5, 0.0]);
        let equal = group(&[of(10, 1.0, 0.0), of(5, 1.0, 0.0), of(2, 1.0, 0.0)]);
        assert!(equal.workflows.iter().all(|it| *it == Shrunk { mean: 1.0, weight: 1.0 }));
    }

    proptest! {
        #[test]
        fn a_mean_lies_between_its_own_and_the_groups(
            workflows in collection::vec(
                (prop_oneof![0..20_u64, 0..=1_000_000_000_u64, Just(u64::MAX)], 0.0..=1.0_f64, 0.0..=0.25_f64)
                    .prop_map(|(runs, mean, variance)| of(runs, mean, variance)),
                0..20,
            )
        ) {
            if let Shrinkage::Shrunk(group) = shrink(&workflows) {
                prop_assert!(group.between >= 0.0 && group.between.is_finite() && group.within >= 0.0);
                for (before, after) in workflows.iter().zip(&group.workflows) {
                    prop_assert!((0.0..=1.0).contains(&after.weight));
                    let (low, high) = (before.mean.min(group.mean), before.mean.max(group.mean));
                    prop_assert!(low - 1e-12 <= after.mean && after.mean <= high + 1e-12);
                }
            }
        }
    }
}
