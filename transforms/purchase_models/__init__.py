"""Models of purchase histories: whether an account still buys, how often and for how much.

`occasions` counts days with an order and renewals of contracts, `values` prices them, `fits` finds the
parameters and decides, per line of business, which to trust.
"""
