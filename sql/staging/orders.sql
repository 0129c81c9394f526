-- One row: an order line as it stands, the latest good version of each source, order_id and line_number.
-- From checked_orders; times in UTC, ordered_on in the business's time zone. Ties: the batch known later, then the greater values.
with repeated as (
    select
        source,
        order_id,
        line_number
    from checked_orders
    where reason is null
    group by source, order_id, line_number
    having count(*) > 1
),

alone as (
    select checked_orders.*
    from checked_orders
    left join repeated
        on
            checked_orders.source = repeated.source
            and checked_orders.order_id = repeated.order_id
            and checked_orders.line_number is not distinct from repeated.line_number
    where checked_orders.reason is null and repeated.source is null
),

contested as (
    select checked_orders.*
    from checked_orders
    inner join repeated
        on
            checked_orders.source = repeated.source
            and checked_orders.order_id = repeated.order_id
            and checked_orders.line_number is not distinct from repeated.line_number
    where checked_orders.reason is null
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
            partition by source, order_id, line_number
            order by
                updated_at desc nulls last, known_at desc, amount desc, ordered_at desc, account_id desc, line desc,
                status desc nulls last, handler desc nulls last, channel desc nulls last, product_id desc nulls last,
                category desc nulls last, quantity desc nulls last, list_amount desc nulls last,
                is_custom desc nulls last, is_recurring desc nulls last, is_service desc nulls last,
                term_months desc nulls last
        ) as newest_first
    from contested
)

select
    source,
    order_id,
    account_id,
    line,
    ordered_at,
    ordered_on,
    amount,
    quantity,
    list_amount,
    product_id,
    category,
    handler,
    channel,
    is_custom,
    is_recurring,
    is_service,
    term_months,
    coalesce(status in ('cancelled', 'canceled', 'void', 'voided'), false) as is_cancelled
from versions
where newest_first = 1
