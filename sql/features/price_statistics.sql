-- One row: how the prices an account paid in one line compare where there is no list price, in the 365 days from $year_from to $as_of.
-- From price_days; money in the reporting currency. The reference is the median of what other accounts paid for that product in that
-- calendar month, one price an account. Logarithms, each kept within [-1, 1] and weighted by revenue.
with paid as (
    select
        account_id,
        line,
        product_id,
        cast(date_trunc('month', order_day) as date) as order_month,
        cast(sum(amount) as decimal(18, 4)) as amount,
        sum(priced_lines) as priced_lines,
        cast(sum(amount) as double) / cast(sum(quantity) as double) as unit_price
    from price_days
    where order_day >= $year_from and order_day <= $as_of
    group by account_id, line, product_id, cast(date_trunc('month', order_day) as date)
),

ranked as (
    select
        *,
        row_number() over (partition by line, product_id, order_month order by unit_price, account_id) as place,
        count(*) over (partition by line, product_id, order_month) as accounts
    from paid
),

middles as (
    select
        line,
        product_id,
        order_month,
        max(case when place = floor(accounts / 2) then unit_price end) as lower_price,
        max(case when place = floor(accounts / 2) + 1 then unit_price end) as middle_price,
        max(case when place = floor(accounts / 2) + 2 then unit_price end) as upper_price
    from ranked
    where accounts > 1
    group by line, product_id, order_month
),

compared as (
    select
        ranked.account_id,
        ranked.line,
        ranked.priced_lines,
        ranked.amount,
        ranked.unit_price,
        case
            when ranked.accounts % 2 = 0 and ranked.place <= ranked.accounts / 2 then middles.middle_price
            when ranked.accounts % 2 = 0 then middles.lower_price
            when ranked.place <= floor(ranked.accounts / 2) then (middles.middle_price + middles.upper_price) / 2
            when ranked.place = floor(ranked.accounts / 2) + 1 then (middles.lower_price + middles.upper_price) / 2
            else (middles.lower_price + middles.middle_price) / 2
        end as reference_price
    from ranked
    inner join middles
        on
            ranked.line = middles.line
            and ranked.product_id = middles.product_id
            and ranked.order_month = middles.order_month
),

premiums as (
    select
        account_id,
        line,
        priced_lines,
        amount,
        cast(amount as decimal(24, 4))
        * cast(greatest(-1, least(1, ln(unit_price / reference_price))) as decimal(12, 10)) as weighted_premium
    from compared
)

select
    account_id,
    line,
    cast(sum(priced_lines) as bigint) as priced_lines_12m,
    cast(sum(amount) as decimal(18, 4)) as priced_12m,
    cast(sum(weighted_premium) as decimal(38, 14)) as weighted_premium_12m
from premiums
group by account_id, line
