-- One row: an account's exchange with the business in one line on a day with a personal event: what was sent and answered, who began.
-- From contacts; days in the business's time zone. At the same instant the account's event comes first.
select
    account_id,
    line,
    occurred_on as contact_day,
    count(*) filter (where is_sent) as sent_messages,
    count(*) filter (where is_answered) as answered_messages,
    coalesce(min(occurred_at) filter (where is_by_account) <= min(occurred_at), false) as is_begun_by_account
from contacts
group by account_id, line, occurred_on
