-- One row: the calendar months, from $first_month to that of $as_of, in which an account was active in one line of business.
-- From occasion_days and contact_days. Active: a purchase occasion, or a contact that the account took part in.
with months as (
    select
        account_id,
        line,
        order_month as active_month
    from occasion_days
    where is_occasion and order_month >= $first_month
    union
    select
        account_id,
        line,
        cast(date_trunc('month', contact_day) as date) as active_month
    from contact_days
    where inbound_messages > 0 and contact_day >= $first_month and contact_day <= $as_of
)

select
    account_id,
    line,
    count(*) as active_months
from months
group by account_id, line
