-- One row: an order line with the day it counts on and the day it was booked.
-- From orders; days in the business's time zone, money in the reporting currency. A return that names its order counts on the day of
-- that order, so that it takes back what was sold, and is booked on its own day; all else has both days the same.
with returned_orders as (
    select distinct
        source,
        order_id
    from orders
    where amount < 0 and not is_cancelled
),

sales as (
    select
        orders.source,
        orders.order_id,
        orders.account_id,
        orders.line,
        min(orders.ordered_on) as sold_on
    from orders
    inner join returned_orders
        on orders.source = returned_orders.source and orders.order_id = returned_orders.order_id
    where orders.amount > 0 and not orders.is_cancelled
    group by orders.source, orders.order_id, orders.account_id, orders.line
)

select
    orders.account_id,
    orders.line,
    orders.ordered_on as booked_on,
    cast(case when orders.is_cancelled then 0 else orders.amount end as decimal(18, 4)) as amount,
    orders.is_custom,
    orders.is_recurring,
    orders.is_service,
    orders.term_months,
    orders.handler,
    orders.product_id,
    orders.quantity,
    orders.list_amount,
    case
        when orders.amount < 0 and sales.sold_on < orders.ordered_on then sales.sold_on
        else orders.ordered_on
    end as order_day,
    case
        when orders.amount > 0 and orders.list_amount > 0 and not orders.is_cancelled
            then cast(
                greatest(-1, least(1, ln(cast(orders.amount as double) / cast(orders.list_amount as double))))
                as decimal(12, 10)
            )
    end as list_premium,
    case
        when orders.is_cancelled or orders.amount <= 0 or orders.channel is null then null
        else
            orders.handler is null
            or orders.channel in ('web', 'shop', 'store', 'online', 'app', 'kiosk', 'self_service', 'marketplace')
    end as is_self_service
from orders
left join sales
    on
        orders.source = sales.source
        and orders.order_id = sales.order_id
        and orders.account_id = sales.account_id
        and orders.line = sales.line
