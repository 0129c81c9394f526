-- One row: an account's exchange with the business in one line in the 365 days from $year_from to $as_of.
-- From conversation_days. Messages sent in the last 7 days are left out: their answer may still come.
select
    account_id,
    line,
    coalesce(sum(sent_messages) filter (where contact_day <= $answered_until), 0) as sent_12m,
    coalesce(sum(answered_messages) filter (where contact_day <= $answered_until), 0) as answered_12m,
    sum(conversations) as conversations_12m,
    sum(account_conversations) as account_conversations_12m
from conversation_days
where contact_day >= $year_from and contact_day <= $as_of
group by account_id, line
