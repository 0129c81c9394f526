-- One row: a day that an account's orders in one line count on, as known by what was booked up to $as_of.
-- From order_days; money in the reporting currency. The day is a purchase occasion where its net amount is above 0; gap_days is the
-- time since the occasion before it, NULL on the first and on days that are none.
with days as (
    select
        account_id,
        line,
        order_day,
        cast(sum(amount) as decimal(18, 4)) as amount,
        cast(sum(custom_amount) as decimal(18, 4)) as custom_amount,
        cast(sum(custom_known_amount) as decimal(18, 4)) as custom_known_amount,
        cast(sum(recurring_amount) as decimal(18, 4)) as recurring_amount,
        cast(sum(recurring_known_amount) as decimal(18, 4)) as recurring_known_amount,
        cast(sum(service_amount) as decimal(18, 4)) as service_amount,
        cast(sum(service_known_amount) as decimal(18, 4)) as service_known_amount,
        cast(sum(listed_amount) as decimal(18, 4)) as listed_amount,
        cast(sum(listed_premium) as decimal(38, 14)) as listed_premium,
        cast(sum(listed_lines) as bigint) as listed_lines,
        cast(sum(self_service_lines) as bigint) as self_service_lines,
        cast(sum(channel_known_lines) as bigint) as channel_known_lines
    from order_days
    where booked_on <= $as_of
    group by account_id, line, order_day
)

select
    account_id,
    line,
    order_day,
    cast(date_trunc('month', order_day) as date) as order_month,
    amount,
    custom_amount,
    custom_known_amount,
    recurring_amount,
    recurring_known_amount,
    service_amount,
    service_known_amount,
    listed_amount,
    listed_premium,
    listed_lines,
    amount > 0 as is_occasion,
    case
        when amount > 0
            then cast(
                date_diff(
                    'day', lag(order_day) over (partition by account_id, line, amount > 0 order by order_day), order_day
                ) as integer
            )
    end as gap_days,
    channel_known_lines > 0 as is_channel_known,
    channel_known_lines > 0 and self_service_lines = channel_known_lines as is_self_service
from days
