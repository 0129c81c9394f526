-- One row: recurring revenue of an account in one line that starts on one day, booked on one day, for one term. Additive.
-- From order_lines; money in the reporting currency. A term of n months (1 where none is given) lasts until the day before the same
-- day n months on, or before the last day of a month that has no such day; one that begins on the last day of a month, before the last
-- day n months on.
with contracts as (
    select
        *,
        cast(order_day + coalesce(term_months, 1) * interval 1 month as date) as same_day_on
    from order_lines
    where is_recurring
)

select
    account_id,
    line,
    order_day as starts_on,
    booked_on,
    cast(
        date_diff(
            'day',
            order_day,
            case when order_day = last_day(order_day) then last_day(same_day_on) else same_day_on end
        ) as integer
    ) as term_days,
    cast(sum(amount) as decimal(18, 4)) as amount,
    count(*) as order_lines
from contracts
group by account_id, line, order_day, booked_on, same_day_on
