-- One row: an account's purchases in one line of business as of $as_of. `_12m` counts the 365 days from $year_from to $as_of.
-- From occasion_days; money in the reporting currency. Listed lines are those with a list price. Gaps are days between occasions, both
-- of them inside the 365 days. Revenue is NULL where every day nets to 0: orders that were cancelled or given back in full equal never
-- having had them.
select
    account_id,
    line,
    cast(sum(amount) filter (where amount <> 0) as decimal(18, 4)) as revenue_total,
    cast(
        sum(case when order_day >= $year_from then amount else 0 end) filter (where amount <> 0) as decimal(18, 4)
    ) as revenue_12m,
    cast(coalesce(sum(custom_amount) filter (where order_day >= $year_from), 0) as decimal(18, 4)) as custom_12m,
    cast(coalesce(sum(custom_known_amount) filter (where order_day >= $year_from), 0) as decimal(18, 4)) as custom_known_12m,
    cast(coalesce(sum(recurring_amount) filter (where order_day >= $year_from), 0) as decimal(18, 4)) as recurring_12m,
    cast(coalesce(sum(recurring_known_amount) filter (where order_day >= $year_from), 0) as decimal(18, 4))
        as recurring_known_12m,
    cast(coalesce(sum(service_amount) filter (where order_day >= $year_from), 0) as decimal(18, 4)) as service_12m,
    cast(coalesce(sum(service_known_amount) filter (where order_day >= $year_from), 0) as decimal(18, 4)) as service_known_12m,
    cast(coalesce(sum(amount) filter (where gap_days is not null), 0) as decimal(18, 4)) as repeat_revenue,
    cast(coalesce(sum(listed_amount) filter (where order_day >= $year_from), 0) as decimal(18, 4)) as listed_12m,
    cast(coalesce(sum(listed_premium) filter (where order_day >= $year_from), 0) as decimal(38, 14)) as listed_premium_12m,
    cast(coalesce(sum(listed_lines) filter (where order_day >= $year_from), 0) as bigint) as listed_lines_12m,
    min(order_day) filter (where is_occasion) as first_order_on,
    max(order_day) filter (where is_occasion) as last_order_on,
    count(*) filter (where is_occasion) as occasions,
    count(*) filter (where is_occasion and order_day >= $year_from) as occasions_12m,
    count(*) filter (where order_day - gap_days >= $year_from) as gaps_12m,
    coalesce(sum(gap_days) filter (where order_day - gap_days >= $year_from), 0) as gap_days_12m,
    coalesce(sum(cast(gap_days as bigint) * gap_days) filter (where order_day - gap_days >= $year_from), 0)
        as gap_days_squared_12m,
    count(*) filter (where is_occasion and order_day >= $year_from and is_channel_known) as channel_known_days_12m,
    count(*) filter (where is_occasion and order_day >= $year_from and is_self_service) as self_service_days_12m
from occasion_days
group by account_id, line
