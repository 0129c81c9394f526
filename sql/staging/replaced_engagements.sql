-- One row: a fit row that a later version of the same event replaces, by its batch and position.
-- From checked_engagements. Later is what was written later; ties: the batch known later, then the greater values.
with repeated as (
    select
        source,
        event_id
    from checked_engagements
    where reason is null
    group by source, event_id
    having count(*) > 1
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
        batch,
        position,
        row_number() over (
            partition by source, event_id
            order by
                updated_at desc nulls last, known_at desc, occurred_at desc, account_id desc, line desc, kind desc,
                direction desc, is_bulk desc nulls last, thread_id desc nulls last, in_reply_to desc nulls last,
                contact desc nulls last, handler desc nulls last, minutes desc nulls last, score desc nulls last, batch desc, position desc
        ) as newest_first
    from contested
)

select
    batch,
    position
from versions
where newest_first > 1
