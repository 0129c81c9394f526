-- One row: a fit row that a later version of the same order line replaces.
-- From checked_orders. Later is what was written later; ties: what came later, then the greater values. Most rows are alone, and
-- hashes in order tell so quickly; two rows that share one by chance are told apart after.
with identities as (
    select hash(source, order_id, line_number) as identity_hash
    from checked_orders
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
    select checked_orders.*
    from checked_orders
    inner join repeated
        on hash(checked_orders.source, checked_orders.order_id, checked_orders.line_number) = repeated.identity_hash
    where checked_orders.reason is null
),

versions as (
    select
        *,
        row_number() over (
            partition by source, order_id, line_number
            order by
                updated_at desc nulls last, delivered_at desc, amount desc, ordered_at desc, account_id desc, line desc,
                status desc nulls last, handler desc nulls last, channel desc nulls last, product_id desc nulls last,
                category desc nulls last, quantity desc nulls last, list_amount desc nulls last,
                is_custom desc nulls last, is_recurring desc nulls last, is_service desc nulls last,
                term_months desc nulls last, batch desc, position desc
        ) as newest_first
    from contested
)

select * exclude (newest_first) -- noqa: AM04
from versions
where newest_first > 1
