-- One row: how an account's monthly revenue in one line is spread, over the calendar months from $first_month to that of $as_of.
-- From occasion_days; money in the reporting currency. Months before the first purchase occasion do not count; months without
-- orders have no row here and count as 0 in the feature.
with firsts as (
    select
        account_id,
        line,
        min(order_month) as first_order_month
    from occasion_days
    where is_occasion
    group by account_id, line
),

months as (
    select
        counted.account_id,
        counted.line,
        cast(sum(counted.amount) as decimal(18, 4)) as amount
    from occasion_days as counted
    inner join firsts on counted.account_id = firsts.account_id and counted.line = firsts.line
    where counted.order_month >= $first_month and counted.order_month >= firsts.first_order_month
    group by counted.account_id, counted.line, counted.order_month
)

select
    account_id,
    line,
    cast(sum(amount) as decimal(18, 4)) as monthly_revenue_sum,
    cast(sum(cast(amount as decimal(19, 4)) * amount) as decimal(38, 8)) as monthly_revenue_squared_sum
from months
group by account_id, line
