-- One row: a fit row that a later version of the same event replaces.
-- From checked_engagements. Later is what was written later; ties: what came later, then the greater values. Most rows are alone, and
-- hashes in order tell so quickly; two rows that share one by chance are told apart after.
with identities as (
    select hash(source, event_id) as identity_hash
    from checked_engagements
    where reason is null
),

in_order as (
    select
        identity_hash,
        lag(identity_hash) over (order by identity_hash) as hash_before
    from identities
),

repeated as (
    select distinct identity_hash
    from in_order
    where identity_hash = hash_before
),

contested as (
    select checked_engagements.*
    from checked_engagements
    inner join repeated
        on hash(checked_engagements.source, checked_engagements.event_id) = repeated.identity_hash
    where checked_engagements.reason is null
),

versions as (
    select
        *,
        row_number() over (
            partition by source, event_id
            order by
                updated_at desc nulls last, delivered_at desc, occurred_at desc, account_id desc, line desc, kind desc,
                direction desc, is_bulk desc nulls last, thread_id desc nulls last, in_reply_to desc nulls last,
                contact desc nulls last, handler desc nulls last, minutes desc nulls last, score desc nulls last, batch desc, position desc
        ) as newest_first
    from contested
)

select * exclude (newest_first) -- noqa: AM04
from versions
where newest_first > 1
