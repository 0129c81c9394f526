-- One row: an engagement event as it stands, the latest good version of each source and event_id.
-- From checked_engagements, of which conform keeps no others; times in UTC, occurred_on in the business's time zone.
with classified as (
    select
        *,
        not coalesce(is_bulk, false) and kind not in ('campaign', 'survey') as is_personal,
        kind in ('meeting', 'call', 'visit', 'consultation') as is_live_kind
    from checked_engagements
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
from classified
