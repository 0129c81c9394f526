-- One row: an account's exchange with the business in one line on one day: what was sent, answered and opened. Additive.
-- From contacts; days in the business's time zone.
select
    account_id,
    line,
    occurred_on as contact_day,
    count(*) filter (where is_sent) as sent_messages,
    count(*) filter (where is_answered) as answered_messages,
    count(*) filter (where is_opening) as conversations,
    count(*) filter (where is_opening and is_by_account) as account_conversations
from contacts
group by account_id, line, occurred_on
