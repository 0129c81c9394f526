-- One row: a personal engagement event with what it answered and whether it opened a conversation.
-- From engagements; days in the business's time zone. A message of the business is answered within 7 days by the account's next event in
-- its thread (events without a thread are one thread of the account and line), or by an event that names it. A conversation
-- opens after more than 30 days without a personal event; at the same instant the account's event comes first.
with personal as (
    select
        *,
        is_outbound and not is_live and direction = 'outbound' as is_sent,
        case when is_inbound then 0 else 1 end as after_inbound,
        case direction when 'inbound' then 0 when 'mutual' then 1 else 2 end as after_the_account
    from engagements
    where is_personal and not is_referral
),

named_in_reply as (
    select distinct
        sent.source,
        sent.event_id
    from personal as sent
    inner join personal as replies
        on
            sent.source = replies.source
            and sent.event_id = replies.in_reply_to
            and sent.account_id = replies.account_id
            and sent.line = replies.line
    where
        sent.is_sent
        and replies.is_inbound
        and replies.occurred_at > sent.occurred_at
        and date_diff('day', sent.occurred_on, replies.occurred_on) <= 7
),

in_order as (
    select
        *,
        min(case when is_inbound then occurred_on end) over (
            partition by account_id, line, coalesce(thread_id, '')
            order by occurred_at, after_inbound
            rows between 1 following and unbounded following
        ) as next_in_thread_on,
        lag(occurred_on) over (
            partition by account_id, line
            order by occurred_at, after_the_account
        ) as contact_before_on
    from personal
)

select
    in_order.account_id,
    in_order.line,
    in_order.occurred_on,
    in_order.is_sent,
    in_order.is_sent and (
        coalesce(date_diff('day', in_order.occurred_on, in_order.next_in_thread_on) <= 7, false)
        or named_in_reply.event_id is not null
    ) as is_answered,
    in_order.contact_before_on is null
    or date_diff('day', in_order.contact_before_on, in_order.occurred_on) > 30 as is_opening,
    in_order.direction = 'inbound' as is_by_account
from in_order
left join named_in_reply
    on in_order.source = named_in_reply.source and in_order.event_id = named_in_reply.event_id
