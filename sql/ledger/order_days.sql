-- One row: an account's orders in one line of business counted on one day and booked on one day. Additive.
-- From order_lines; days in the business's time zone, money in the reporting currency. The two days differ for returns only.
select
    account_id,
    line,
    order_day,
    booked_on,
    cast(sum(amount) as decimal(18, 4)) as amount,
    cast(coalesce(sum(amount) filter (where is_custom), 0) as decimal(18, 4)) as custom_amount,
    cast(coalesce(sum(amount) filter (where is_custom is not null), 0) as decimal(18, 4)) as custom_known_amount,
    cast(coalesce(sum(amount) filter (where is_recurring), 0) as decimal(18, 4)) as recurring_amount,
    cast(coalesce(sum(amount) filter (where is_recurring is not null), 0) as decimal(18, 4)) as recurring_known_amount,
    cast(coalesce(sum(amount) filter (where is_service), 0) as decimal(18, 4)) as service_amount,
    cast(coalesce(sum(amount) filter (where is_service is not null), 0) as decimal(18, 4)) as service_known_amount,
    cast(coalesce(sum(amount) filter (where list_premium is not null), 0) as decimal(18, 4)) as listed_amount,
    cast(coalesce(sum(cast(amount as decimal(24, 4)) * list_premium), 0) as decimal(38, 14)) as listed_premium,
    count(*) as order_lines,
    count(list_premium) as listed_lines,
    count(*) filter (where is_self_service) as self_service_lines,
    count(*) filter (where is_self_service is not null) as channel_known_lines
from order_lines
group by account_id, line, order_day, booked_on
