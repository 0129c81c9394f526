-- One row: an account in one line of business with an order or an event up to $as_of, and its statistics: those that stand until one of its
-- own rows changes, or a day of it enters or leaves a window.
-- From other tables of this folder; a count or a sum of events that has no rows is 0.
with account_lines as (
    select
        account_id,
        line
    from order_statistics
    union
    select
        account_id,
        line
    from contact_statistics
)

select
    account_lines.account_id,
    account_lines.line,
    orders.first_order_on,
    orders.last_order_on,
    cast(coalesce(orders.gap_days_12m, 0) as bigint) as gap_days_12m,
    cast(coalesce(orders.gap_days_squared_12m, 0) as bigint) as gap_days_squared_12m,
    orders.repeat_revenue,
    orders.revenue_total,
    orders.revenue_12m,
    orders.custom_12m,
    orders.custom_known_12m,
    orders.recurring_12m,
    orders.recurring_known_12m,
    orders.service_12m,
    orders.service_known_12m,
    months.monthly_revenue_sum,
    months.monthly_revenue_squared_sum,
    contacts.first_contact_on,
    contacts.last_contact_on,
    contacts.first_two_way_on,
    contacts.last_two_way_on,
    cast(coalesce(conversations.sent_12m, 0) as bigint) as sent_12m,
    cast(coalesce(conversations.answered_12m, 0) as bigint) as answered_12m,
    cast(coalesce(conversations.conversations_12m, 0) as bigint) as conversations_12m,
    cast(coalesce(conversations.account_conversations_12m, 0) as bigint) as account_conversations_12m,
    cast(coalesce(people.handled_contacts_12m, 0) as bigint) as handled_contacts_12m,
    cast(coalesce(people.top_handler_contacts_12m, 0) as bigint) as top_handler_contacts_12m,
    cast(coalesce(people.people_contacts_12m, 0) as bigint) as people_contacts_12m,
    cast(coalesce(people.people_n_ln_n_12m, 0) as double) as people_n_ln_n_12m,
    cast(coalesce(contacts.personal_contacts_12m, 0) as bigint) as personal_contacts_12m,
    cast(coalesce(contacts.inbound_12m, 0) as bigint) as inbound_12m,
    cast(coalesce(contacts.outbound_12m, 0) as bigint) as outbound_12m,
    cast(coalesce(contacts.live_contact_days_12m, 0) as bigint) as live_contact_days_12m,
    developments.last_co_development_on,
    cast(coalesce(developments.co_development_mass, 0) as double) as co_development_mass,
    cast(coalesce(contacts.referrals_24m, 0) as bigint) as referrals_24m,
    cast(coalesce(contacts.scores_12m, 0) as bigint) as scores_12m,
    cast(coalesce(contacts.score_sum_12m, 0) as double) as score_sum_12m,
    coalesce(orders.listed_12m, 0) as listed_12m,
    coalesce(orders.listed_premium_12m, 0) as listed_premium_12m,
    coalesce(orders.occasions, 0) as occasions,
    coalesce(orders.occasions_12m, 0) as occasions_12m,
    coalesce(orders.gaps_12m, 0) as gaps_12m,
    coalesce(orders.channel_known_days_12m, 0) as channel_known_days_12m,
    coalesce(orders.self_service_days_12m, 0) as self_service_days_12m,
    coalesce(orders.listed_lines_12m, 0) as listed_lines_12m,
    coalesce(active.active_months, 0) as active_months
from account_lines
left join order_statistics as orders
    on account_lines.account_id = orders.account_id and account_lines.line = orders.line
left join conversation_statistics as conversations
    on account_lines.account_id = conversations.account_id and account_lines.line = conversations.line
left join people_statistics as people
    on account_lines.account_id = people.account_id and account_lines.line = people.line
left join monthly_revenue as months
    on account_lines.account_id = months.account_id and account_lines.line = months.line
left join contact_statistics as contacts
    on account_lines.account_id = contacts.account_id and account_lines.line = contacts.line
left join co_development_statistics as developments
    on account_lines.account_id = developments.account_id and account_lines.line = developments.line
left join active_months as active
    on account_lines.account_id = active.account_id and account_lines.line = active.line
