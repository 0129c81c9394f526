-- One row: an account's engagement in one line of business on one day. Additive.
-- From engagements; days in the business's time zone. A live contact is one message each way.
select
    account_id,
    line,
    occurred_on as contact_day,
    cast(coalesce(sum(cast(score as decimal(18, 15))), 0) as decimal(28, 15)) as score_sum,
    count(*) as events,
    count(*) filter (where is_personal) as personal_contacts,
    count(*) filter (where is_live) as live_contacts,
    count(*) filter (where is_inbound) as inbound_messages,
    count(*) filter (where is_outbound) as outbound_messages,
    count(*) filter (where is_co_development) as co_developments,
    count(*) filter (where is_referral) as referrals,
    count(score) as scores
from engagements
group by account_id, line, occurred_on
