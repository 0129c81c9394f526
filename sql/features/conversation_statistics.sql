-- One row: an account's exchange with the business in one line in the 365 days from $year_from to $as_of.
-- From conversation_days. A conversation opens after more than 30 days without a personal event. Messages sent in the last 7 days are
-- left out: their answer may still come.
with days as (
    select
        *,
        lag(contact_day) over (partition by account_id, line order by contact_day) as day_before
    from conversation_days
    where contact_day >= $conversations_from and contact_day <= $as_of
),

opened as (
    select
        *,
        day_before is null or date_diff('day', day_before, contact_day) > 30 as is_opening
    from days
    where contact_day >= $year_from
)

select
    account_id,
    line,
    coalesce(sum(sent_messages) filter (where contact_day <= $answered_until), 0) as sent_12m,
    coalesce(sum(answered_messages) filter (where contact_day <= $answered_until), 0) as answered_12m,
    count(*) filter (where is_opening) as conversations_12m,
    count(*) filter (where is_opening and is_begun_by_account) as account_conversations_12m
from opened
group by account_id, line
