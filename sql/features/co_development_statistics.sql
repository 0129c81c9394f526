-- One row: how much an account took part in development in one line, in the 365 days from $year_from to $as_of.
-- From contact_days. co_development_mass halves an event's worth every 180 days that it lies before the last of them, so that it stands
-- until a day enters or leaves; it is summed as a decimal, so that the order of rows changes nothing.
with development_days as (
    select
        account_id,
        line,
        contact_day,
        co_developments,
        max(contact_day) over (partition by account_id, line) as last_co_development_on
    from contact_days
    where co_developments > 0 and contact_day >= $year_from and contact_day <= $as_of
)

select
    account_id,
    line,
    last_co_development_on,
    sum(co_developments * cast(pow(2, -date_diff('day', contact_day, last_co_development_on) / 180.0) as decimal(18, 15)))
        as co_development_mass
from development_days
group by account_id, line, last_co_development_on
