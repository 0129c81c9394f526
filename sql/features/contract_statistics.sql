-- One row: an account's contracts in one line as of $as_of, and prepaid recurring revenue spread evenly over its term.
-- From contract_terms booked up to $as_of; money in the reporting currency. booked_12m is what the same contracts put into revenue_12m.
-- Prepaid is what is longer than any month. A contract that was cancelled or given back in full does not run; a day under several
-- contracts is one day under contract.
with contracts as (
    select
        account_id,
        line,
        starts_on,
        term_days,
        cast(sum(amount) as decimal(18, 4)) as amount
    from contract_terms
    where booked_on <= $as_of
    group by account_id, line, starts_on, term_days
),

spread as (
    select
        account_id,
        line,
        amount,
        term_days,
        starts_on,
        starts_on + term_days - 1 as last_day,
        max(starts_on + term_days - 1) over (
            partition by account_id, line, amount > 0
            order by starts_on, term_days
            rows between unbounded preceding and 1 preceding
        ) as covered_until
    from contracts
),

counted as (
    select
        *,
        greatest(0, date_diff('day', greatest(starts_on, $year_from), least(last_day, $as_of)) + 1) as days_12m,
        greatest(
            0,
            date_diff(
                'day', greatest(starts_on, $year_from, coalesce(covered_until + 1, starts_on)), least(last_day, $as_of)
            ) + 1
        ) as first_covered_days_12m
    from spread
)

select
    account_id,
    line,
    cast(coalesce(sum(amount) filter (where starts_on >= $year_from and term_days > 31), 0) as decimal(18, 4)) as prepaid_booked_12m,
    coalesce(sum(cast(cast(amount as double) * days_12m / term_days as decimal(38, 16))) filter (where term_days > 31), 0)
        as prepaid_recognised_12m,
    coalesce(sum(first_covered_days_12m) filter (where amount > 0), 0) as contract_days_12m,
    max(last_day) filter (where amount > 0) as contract_runs_until
from counted
group by account_id, line
