-- One row: a personal engagement event, and whether it was answered.
-- From engagements; days in the business's time zone. A message of the business is answered within 7 days by the account's next event in
-- its thread (events without a thread are one thread of the account and line), or by an event that names it.
with named_in_reply as (
    select distinct
        sent.source,
        sent.event_id
    from engagements as replies
    inner join engagements as sent
        on
            replies.source = sent.source
            and replies.in_reply_to = sent.event_id
            and replies.account_id = sent.account_id
            and replies.line = sent.line
    where
        replies.is_inbound
        and replies.occurred_at > sent.occurred_at
        and date_diff('day', sent.occurred_on, replies.occurred_on) <= 7
),

personal as (
    select
        engagements.account_id,
        engagements.line,
        engagements.occurred_at,
        engagements.occurred_on,
        engagements.is_inbound,
        coalesce(engagements.thread_id, '') as thread_id,
        engagements.direction = 'inbound' as is_by_account,
        engagements.is_outbound and not engagements.is_live and engagements.direction = 'outbound' as is_sent,
        case when engagements.is_inbound then 0 else 1 end as after_inbound,
        named_in_reply.event_id is not null as is_named
    from engagements
    left join named_in_reply
        on engagements.source = named_in_reply.source and engagements.event_id = named_in_reply.event_id
    where engagements.is_personal and not engagements.is_referral
),

in_order as (
    select
        *,
        min(case when is_inbound then occurred_on end) over (
            partition by account_id, line, thread_id
            order by occurred_at, after_inbound
            rows between 1 following and unbounded following
        ) as next_in_thread_on
    from personal
)

select
    account_id,
    line,
    occurred_at,
    occurred_on,
    is_by_account,
    is_sent,
    is_sent and (is_named or coalesce(date_diff('day', occurred_on, next_in_thread_on) <= 7, false)) as is_answered
from in_order
