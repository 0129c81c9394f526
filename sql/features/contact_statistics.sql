-- One row: an account's engagement in one line of business as of $as_of. `_12m` counts the 365 days from $year_from to $as_of.
-- From contact_days.
select
    account_id,
    line,
    min(contact_day) filter (where personal_contacts > 0) as first_contact_on,
    max(contact_day) filter (where personal_contacts > 0) as last_contact_on,
    min(contact_day) filter (where inbound_messages > 0) as first_two_way_on,
    max(contact_day) filter (where inbound_messages > 0) as last_two_way_on,
    coalesce(sum(personal_contacts) filter (where contact_day >= $year_from), 0) as personal_contacts_12m,
    coalesce(sum(inbound_messages) filter (where contact_day >= $year_from), 0) as inbound_12m,
    coalesce(sum(outbound_messages) filter (where contact_day >= $year_from), 0) as outbound_12m,
    count(*) filter (where live_contacts > 0 and contact_day >= $year_from) as live_contact_days_12m,
    coalesce(sum(referrals) filter (where contact_day >= $two_years_from), 0) as referrals_24m,
    coalesce(sum(scores) filter (where contact_day >= $year_from), 0) as scores_12m,
    coalesce(sum(score_sum) filter (where contact_day >= $year_from), 0) as score_sum_12m
from contact_days
where contact_day <= $as_of
group by account_id, line
