-- One row: an engagement event as it stands, the latest good version of each source and event_id.
-- From checked_engagements; times in UTC, occurred_on in the business's time zone. Ties: the batch known later, then the greater values.
with repeated as (
    select
        source,
        event_id
    from checked_engagements
    where reason is null
    group by source, event_id
    having count(*) > 1
),

alone as (
    select checked_engagements.*
    from checked_engagements
    left join repeated
        on
            checked_engagements.source = repeated.source
            and checked_engagements.event_id is not distinct from repeated.event_id
    where checked_engagements.reason is null and repeated.source is null
),

contested as (
    select checked_engagements.*
    from checked_engagements
    inner join repeated
        on
            checked_engagements.source = repeated.source
            and checked_engagements.event_id is not distinct from repeated.event_id
    where checked_engagements.reason is null
),

versions as (
    select
        *,
        cast(1 as bigint) as newest_first
    from alone
    union all
    select
        *,
        row_number() over (
            partition by source, event_id
            order by
                updated_at desc nulls last, known_at desc, occurred_at desc, account_id desc, line desc, kind desc,
                direction desc, is_bulk desc nulls last, thread_id desc nulls last, in_reply_to desc nulls last,
                contact desc nulls last, handler desc nulls last, minutes desc nulls last, score desc nulls last
        ) as newest_first
    from contested
),

latest as (
    select
        *,
        not coalesce(is_bulk, false) and kind not in ('campaign', 'survey') as is_personal,
        kind in ('meeting', 'call', 'visit', 'consultation') as is_live_kind
    from versions
    where newest_first = 1
)

select
    source,
    event_id,
    account_id,
    line,
    occurred_at,
    occurred_on,
    kind,
    direction,
    in_reply_to,
    thread_id,
    contact,
    handler,
    score,
    is_personal,
    is_personal and is_live_kind as is_live,
    is_personal and kind <> 'referral' and (is_live_kind or direction in ('inbound', 'mutual')) as is_inbound,
    is_personal and kind <> 'referral' and (is_live_kind or direction in ('outbound', 'mutual')) as is_outbound,
    is_personal and (
        kind in ('consultation', 'feature_request', 'pilot', 'design_review')
        or (kind = 'feedback' and direction in ('inbound', 'mutual'))
    ) as is_co_development,
    is_personal and kind = 'referral' as is_referral
from latest
