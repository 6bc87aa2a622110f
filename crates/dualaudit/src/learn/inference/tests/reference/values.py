#!/usr/bin/env python3
"""Prints the reference values that the statistics are tested against, as JSON.

    python3 -m venv venv && venv/bin/pip install scipy mpmath
    venv/bin/python values.py > values.json

SciPy's own functions where it has one; exact fractions, or 50 digits of mpmath, where a formula is plain. Nothing
here shares code or method with what is tested.
"""

import json
from fractions import Fraction as F

import numpy
import scipy
from mpmath import mp, mpf
from scipy import stats

mp.dps = 50


def exact(fraction):
    return mpf(fraction.numerator) / mpf(fraction.denominator)


def z_of(confidence):
    return mp.sqrt(2) * mp.erfinv(mpf(confidence))


def two_sided(z):
    return mp.erfc(abs(z) / mp.sqrt(2))


def wilson(successes, failures, confidence):
    n, z = mpf(successes + failures), z_of(confidence)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * mp.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def wilson_cases():
    samples = [(0, 1), (1, 0), (3, 7), (10, 0), (0, 30), (17, 983), (500_000, 500_000), (999_999_990, 10)]
    for successes, failures in samples:
        for confidence in [0.8, 0.95, 0.99]:
            lower, upper = wilson(successes, failures, confidence)
            test = stats.binomtest(successes, successes + failures).proportion_ci(confidence, "wilson")
            assert abs(test.low - lower) < 1e-9 and abs(test.high - upper) < 1e-9
            yield {"sample": [successes, failures], "confidence": confidence, "lower": lower, "upper": upper}


def newcombe(a, b, c, d, confidence):
    (l1, u1), (l2, u2) = wilson(a, b, confidence), wilson(c, d, confidence)
    p1, p2 = mpf(a) / (a + b), mpf(c) / (c + d)
    down = mp.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    up = mp.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return p1 - p2, p1 - p2 - down, p1 - p2 + up


def newcombe_cases():
    # The first six are the examples of Newcombe's table II.
    tables = [(56, 14, 48, 32), (9, 1, 3, 7), (6, 1, 2, 5), (5, 51, 0, 29), (0, 10, 0, 20), (10, 0, 0, 10)]
    for table in [*tables, (160, 40, 120, 80), (5, 0, 5, 0), (999_000, 1_000, 998_500, 1_500)]:
        estimate, lower, upper = newcombe(*table, 0.95)
        yield {"table": table, "estimate": estimate, "lower": lower, "upper": upper}


def fisher(a, b, c, d):
    """All tables with these margins that are at most as probable; probabilities in exact ratios, or 50 digits of
    them for large counts, from the table itself."""
    number = F if a + b + c + d < 2_000 else mpf
    one, other, good = a + b, c + d, a + c
    least, most = max(0, good - other), min(good, one)
    terms = {a: number(1)}
    for step in (1, -1):
        x, term = a, number(1)
        while least <= x + step <= most:
            if step == 1:
                term = term * ((one - x) * (good - x)) / ((x + 1) * (other - good + x + 1))
            else:
                term = term * (x * (other - good + x)) / ((one - x + 1) * (good - x + 1))
            x += step
            terms[x] = term
    limit = number(10_000_001) / 10_000_000
    rare = sum(term for term in terms.values() if term <= limit)
    p = rare / sum(terms.values())
    return exact(p) if number is F else p


def fisher_cases():
    tables = [(3, 1, 1, 3), (8, 2, 1, 5), (0, 5, 5, 0), (10, 10, 10, 10), (1, 9, 11, 3), (0, 20, 3, 400)]
    tables += [(7, 0, 0, 1)]
    tables += [(190, 10, 160, 40), (1, 0, 0, 1_000), (30, 12, 25, 14), (500, 20, 480, 60)]
    tables += [(60_000, 40_000, 59_000, 41_000), (99_990, 10, 99_960, 40), (20_000, 180_000, 24_000, 176_000)]
    for table in tables:
        p = fisher(*table)
        theirs = stats.fisher_exact([table[:2], table[2:]]).pvalue
        assert abs(theirs - p) <= 1e-6 * p, (table, p, theirs)
        yield {"table": table, "p": p}


def mantel_haenszel(strata, confidence):
    effect = weight = p = q = F(0)
    for a, b, c, d in strata:
        n1, n0 = a + b, c + d
        n = n1 + n0
        effect += F(a * n0 - c * n1, n)
        weight += F(n1 * n0, n)
        p += F(2 * (c * n1 * n1 - a * n0 * n0) + n1 * n0 * (n0 - n1), 2 * n * n)
        q += F(a * (n0 - c) + c * (n1 - a), 2 * n)
    delta, z = effect / weight, z_of(confidence)
    # The roots of (δ̂ − δ)² = z²(δP + Q)/W², by the school's formula.
    linear = -2 * exact(delta) - z * z * exact(p / weight**2)
    constant = exact(delta) ** 2 - z * z * exact(q / weight**2)
    root = mp.sqrt(linear * linear - 4 * constant)
    error = mp.sqrt(exact((delta * p + q) / weight**2))
    p_value = two_sided(exact(effect) / mp.sqrt(exact(q)))
    return exact(delta), (-linear - root) / 2, (-linear + root) / 2, error, p_value


def mantel_haenszel_cases():
    groups = [
        [(81, 6, 234, 36), (192, 71, 55, 25)],
        [(8, 2, 5, 5)],
        [(10, 0, 0, 10)],
        [(1, 0, 0, 1), (1, 0, 1, 0), (0, 1, 0, 2), (1, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0)],
        [(4, 1, 16, 4), (30, 20, 3, 2), (7, 3, 6, 8), (110, 5, 80, 30)],
        [(400_000, 100_000, 300_000, 90_000), (3, 4, 5, 6)],
    ]
    for strata in groups:
        estimate, lower, upper, _, p = mantel_haenszel(strata, 0.95)
        yield {"strata": strata, "estimate": estimate, "lower": max(lower, -1), "upper": min(upper, 1), "p": p}


def adjusted_cases():
    rng = numpy.random.default_rng(1)
    for p in [[0.01, 0.02, 0.03, 0.04, 0.05], [0.5, 0.001, 0.04, 0.04, 0.9, 0.0], rng.uniform(size=40) ** 3]:
        yield {"p": list(p), "q": list(stats.false_discovery_control(p, method="bh"))}


def kleinman(days):
    """Mean, overdispersion, and the sums at its last weights, by plain iteration."""
    rho = 0.0
    for _ in range(2_000):
        w = [n / (1 + (n - 1) * rho) for _, n in days]
        total = sum(w)
        mean = sum(wi * s / n for wi, (s, n) in zip(w, days)) / total
        spread = sum(wi * (s / n - mean) ** 2 for wi, (s, n) in zip(w, days))
        chance = sum(wi / n * (1 - wi / total) for wi, (_, n) in zip(w, days))
        day = sum(wi * (1 - wi / total) for wi in w)
        pq = mean * (1 - mean)
        at = lambda inflation: min(max((spread * inflation - pq * chance) / (pq * (day - chance)), 0.0), 0.999)
        if abs(at(1.0) - rho) < 1e-15:
            break
        rho = at(1.0)
    return mean, rho, at


def beta_binomial_cdf(k, n, a, b):
    a, b = mpf(a), mpf(b)
    if n > 5_000:
        return stats.betabinom.cdf(k, n, float(a), float(b))
    return sum(mp.binomial(n, x) * mp.beta(x + a, n - x + b) for x in range(k + 1)) / mp.beta(a, b)


def beta_binomial_cases():
    rng = numpy.random.default_rng(2)
    baselines = [
        [[9, 10], [8, 10], [10, 10], [7, 10], [9, 9], [10, 12], [3, 3]],
        [[int(rng.binomial(n, rng.beta(18, 2))), int(n)] for n in rng.integers(1, 60, 28)],
        [[int(rng.binomial(n, rng.beta(1.8, 0.2))), int(n)] for n in rng.integers(5, 40, 28)],
        [[int(rng.binomial(n, 0.7)), int(n)] for n in rng.integers(100, 2_000, 28)],
    ]
    for days in baselines:
        mean, rho, at = kleinman(days)
        k = len(days)
        cautious = at((k - 1) / stats.chi2.ppf(0.2, k - 1))
        runs = sum(n / (1 + (n - 1) * cautious) for _, n in days)
        m = (mean * runs + 0.5) / (runs + 1)
        ahead = cautious + (1 - cautious) / (runs + 2)
        a, b = m * (1 / ahead - 1), (1 - m) * (1 / ahead - 1)
        judged = []
        for s, n in [(0, 1), (3, 10), (7, 10), (9, 10), (0, 40), (20, 40), (30, 40), (600, 1_000), (2_000, 4_000)]:
            judged.append({"day": [s, n - s], "p": beta_binomial_cdf(s, n, a, b)})
        yield {"days": [[s, n - s] for s, n in days], "mean": mean, "rho": rho, "runs": runs, "judged": judged}


def shrinkage_cases():
    groups = [
        [(10, F(9, 10), F(1, 20)), (4, F(1, 2), F(1, 10)), (30, F(3, 4), F(1, 25)), (1, F(1), F(0))],
        [(100, F(4, 5), F(1, 20)), (80, F(3, 5), F(1, 16)), (3, F(1, 10), F(1, 50))],
        [(10, F(1, 2), F(1, 5)), (12, F(51, 100), F(1, 5)), (9, F(49, 100), F(1, 4))],
    ]
    for group in groups:
        within = sum((n - 1) * v for n, _, v in group) / sum(n - 1 for n, _, _ in group)
        w = [F(n) / within for n, _, _ in group]
        mean = sum(wi * m for wi, (_, m, _) in zip(w, group)) / sum(w)
        q = sum(wi * (m - mean) ** 2 for wi, (_, m, _) in zip(w, group))
        between = max(F(0), (q - (len(group) - 1)) / (sum(w) - sum(wi * wi for wi in w) / sum(w)))
        precision = [1 / (between + within / n) for n, _, _ in group]
        mean = sum(pi * m for pi, (_, m, _) in zip(precision, group)) / sum(precision)
        weight = [between / (between + within / n) for n, _, _ in group]
        yield {
            "group": [[n, float(m), float(v)] for n, m, v in group],
            "within": exact(within),
            "between": exact(between),
            "mean": exact(mean),
            "weights": [exact(w) for w in weight],
            "means": [exact(w * m + (1 - w) * mean) for w, (_, m, _) in zip(weight, group)],
        }


def posterior_cases():
    narrow = [(0, 0), (1, 0), (0, 1), (3, 1), (40, 2), (0, 500), (900, 100), (2_990, 5_000), (3_100, 3_050)]
    narrow += [(99_990, 10), (500_000, 200_000), (999_999, 3_500), (600_000_000, 300_000_000)]
    for s, f in narrow:
        for ws, wf in [(0, 0), (6, 4), (900, 100)]:
            scale = min(1.0, 20 / (ws + wf)) if ws + wf else 0.0
            a, b = 0.5 + ws * scale + s, 0.5 + wf * scale + f
            yield {"narrow": [s, f], "wide": [ws, wf], "lower": stats.beta.ppf(0.05, a, b), "mean": a / (a + b)}


def quantile_cases():
    for n in [5, 20, 59, 100, 368, 1_000, 20_000, 1_000_000, 50_000_000]:
        for share in [0.5, 0.9, 0.99]:
            for confidence in [0.9, 0.95]:
                tail = (1 - confidence) / 2
                # The largest r with P(B ≤ r − 1) ≤ α/2: ppf is the least k with P(B ≤ k) ≥ α/2.
                r = int(stats.binom.ppf(tail, n, share))
                if stats.binom.cdf(r, n, share) <= tail:
                    r += 1
                s = int(stats.binom.ppf(1 - tail, n, share)) + 1
                yield {"n": n, "share": share, "confidence": confidence, "ranks": [r, s]}


def shift_cases():
    rng = numpy.random.default_rng(3)
    sides = [(12, 15, 1.0), (40, 30, 1.5), (200, 300, 1.1), (1_000, 50, 1.0), (1, 1, 2.0), (3_000, 3_000, 1.3)]
    for n1, n2, factor in sides:
        one = numpy.ceil(rng.lognormal(1.5, 0.6, n1) * factor)
        other = numpy.ceil(rng.lognormal(1.5, 0.6, n2))
        test = stats.mannwhitneyu(one, other, use_continuity=True, method="asymptotic")
        count = lambda values: [[float(v), int(c)] for v, c in zip(*numpy.unique(values, return_counts=True))]
        yield {"one": count(one), "other": count(other), "larger": test.statistic / n1 / n2, "p": test.pvalue}


def plain(value):
    return float(value) if isinstance(value, (mpf, numpy.floating)) else value.item()


print(
    json.dumps(
        {
            "made_with": f"SciPy {scipy.__version__}",
            "wilson": list(wilson_cases()),
            "newcombe": list(newcombe_cases()),
            "fisher": list(fisher_cases()),
            "mantel_haenszel": list(mantel_haenszel_cases()),
            "adjusted": list(adjusted_cases()),
            "beta_binomial": list(beta_binomial_cases()),
            "shrinkage": list(shrinkage_cases()),
            "posterior": list(posterior_cases()),
            "quantile": list(quantile_cases()),
            "shift": list(shift_cases()),
        },
        default=plain,
        indent=1,
    )
)
