-- One row: an order line as it stands, the latest good version of each source, order_id and line_number.
-- From checked_orders, of which conform keeps no others; times in UTC, ordered_on in the business's time zone.
with told as (
    select
        *,
        coalesce(status in ('cancelled', 'canceled', 'void', 'voided'), false) as is_cancelled
    from checked_orders
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
    is_cancelled,
    not is_cancelled
    and amount < 0
    and coalesce(is_custom, is_recurring, is_service) is null
    and term_months is null as is_silent_return
from told
