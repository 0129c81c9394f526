-- One row: what an account in one line of business had bought by $as_of, as the purchase models take it.
-- From order_days; money in the reporting currency. A purchase occasion is a day with a net amount above 0; repeat_revenue leaves the
-- first out.
with days as (
    select
        account_id,
        line,
        order_day,
        cast(sum(amount) as decimal(18, 4)) as amount
    from order_days
    where booked_on <= $as_of
    group by account_id, line, order_day
)

select
    account_id,
    line,
    cast(
        coalesce(sum(amount) filter (where amount > 0) - min_by(amount, order_day) filter (where amount > 0), 0)
        as decimal(18, 4)
    ) as repeat_revenue,
    count(*) filter (where amount > 0) as occasions,
    min(order_day) filter (where amount > 0) as first_order_on,
    max(order_day) filter (where amount > 0) as last_order_on
from days
group by account_id, line
