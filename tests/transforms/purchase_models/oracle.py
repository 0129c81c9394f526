"""The models' stories, added up number by number: `math` alone, and none of the closed forms under test."""

import math

END = 4.8
STEP = 0.06


def positive_numbers(step=STEP):
    """Points on (0, inf) and their weights, double exponential."""
    for k in range(round(-END / step), round(END / step) + 1):
        u = step * k
        yield math.exp(math.pi / 2 * math.sinh(u)), step * math.pi / 2 * math.cosh(u)


def shares(step=STEP):
    """Points p on (0, 1) with 1 - p and their weights, double exponential; p (1 - p) is in the weight."""
    for k in range(round(-END / step), round(END / step) + 1):
        odds = math.pi * math.sinh(step * k)
        yield 1 / (1 + math.exp(-odds)), 1 / (1 + math.exp(odds)), step * math.pi * math.cosh(step * k)


def log_gamma_density(value, shape, rate):
    """Times the value, whose differential is in the weight of `positive_numbers`."""
    return shape * math.log(rate * value) - rate * value - math.lgamma(shape)


def log_beta_density(p, q, a, b):
    """Times p q, which is in the weight of `shares`."""
    return math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(p) + b * math.log(q)


def beta_geometric(model, x, t_x, T, weeks):
    """Log-likelihood, chance to be alive, expected orders, for a drop-out that comes with a purchase."""
    chances = x + model.chances_at_first
    alive = gone = ahead = 0.0
    dropouts = [
        (p, math.log(q), weight * math.exp(log_beta_density(p, q, model.a, model.b)))
        for p, q, weight in shares()
        if p > 0 and q > 0
    ]
    for rate, rate_weight in positive_numbers():
        bought = rate_weight * math.exp(log_gamma_density(rate, model.r, model.alpha) + x * math.log(rate))
        silent, active = bought * math.exp(-rate * t_x), bought * math.exp(-rate * T)
        for p, log_q, weight in dropouts:
            stayed = weight * math.exp(chances * log_q)
            alive += active * stayed
            ahead += active * stayed * -math.expm1(-rate * p * weeks) / p
            if chances:
                gone += silent * weight * p * math.exp((chances - 1) * log_q)
    return math.log(alive + gone), alive / (alive + gone), ahead / (alive + gone)


def pareto(model, x, t_x, T, weeks):
    """Log-likelihood, chance to be alive, expected orders, for a drop-out that comes at any moment."""
    alive = gone = ahead = 0.0
    dropouts = [
        (leaving, weight * math.exp(log_gamma_density(leaving, model.s, model.beta)))
        for leaving, weight in positive_numbers()
    ]
    for rate, rate_weight in positive_numbers():
        bought = rate_weight * math.exp(log_gamma_density(rate, model.r, model.alpha) + x * math.log(rate))
        for leaving, weight in dropouts:
            active = bought * weight * math.exp(-(rate + leaving) * T)
            alive += active
            ahead += active * rate * -math.expm1(-leaving * weeks) / leaving
            since_last = math.exp(-(rate + leaving) * t_x) * -math.expm1(-(rate + leaving) * (T - t_x))
            gone += bought * weight * leaving / (rate + leaving) * since_last
    return math.log(alive + gone), alive / (alive + gone), ahead / (alive + gone)


def gamma_gamma(model, x, mean):
    """Log-likelihood of the mean spend of x days, and the expected spend on another day."""
    density = spend = 0.0
    for rate, weight in positive_numbers(step=0.003):
        prior = weight * math.exp(log_gamma_density(rate, model.q, model.gamma))
        mean_is_seen = math.exp(log_gamma_density(mean, model.p * x, rate * x)) / mean if x else 1.0
        density += prior * mean_is_seen
        spend += prior * mean_is_seen * model.p / rate
    return math.log(density), spend / density


def sbg_survival(model, renewals):
    """Share of accounts that stayed at each of so many renewals."""
    return math.fsum(
        weight * math.exp(log_beta_density(p, q, model.alpha, model.beta) + renewals * math.log(q))
        for p, q, weight in shares()
        if p > 0 and q > 0
    )
