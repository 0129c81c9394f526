-- One row: an order line with the day it counts on and the day it was booked.
-- From orders and silent_returns; days in the business's time zone, money in the reporting currency. A return that names its order counts
-- on the day of that order, so that it takes back what was sold, and is booked on its own day; all else has both days the same. Such a
-- return is of the kind of the lines sold up to then, whatever is said of it; where those differ, of the kind that is said; where nothing
-- is said, it is divided among the kinds.
with returned as (
    select distinct
        source,
        order_id,
        account_id,
        line,
        ordered_on as returned_on
    from orders
    where amount < 0 and not is_cancelled
),

divided as (
    select distinct
        source,
        order_id,
        account_id,
        line,
        returned_on
    from silent_returns
),

sales as (
    select
        returned.source,
        returned.order_id,
        returned.account_id,
        returned.line,
        returned.returned_on,
        min(sold.ordered_on) as sold_on,
        case when count(distinct coalesce(cast(sold.is_custom as varchar), '')) = 1 then min(sold.is_custom) end as is_custom,
        case when count(distinct coalesce(cast(sold.is_recurring as varchar), '')) = 1 then min(sold.is_recurring) end as is_recurring,
        case when count(distinct coalesce(cast(sold.is_service as varchar), '')) = 1 then min(sold.is_service) end as is_service,
        case when count(distinct coalesce(cast(sold.term_months as varchar), '')) = 1 then min(sold.term_months) end as term_months,
        bool_or(divided.order_id is not null) as is_divided
    from returned
    inner join orders as sold
        on
            returned.source = sold.source
            and returned.order_id = sold.order_id
            and returned.account_id = sold.account_id
            and returned.line = sold.line
            and returned.returned_on >= sold.ordered_on
    left join divided
        on
            returned.source = divided.source
            and returned.order_id = divided.order_id
            and returned.account_id = divided.account_id
            and returned.line = divided.line
            and returned.returned_on = divided.returned_on
    where sold.amount > 0 and not sold.is_cancelled
    group by returned.source, returned.order_id, returned.account_id, returned.line, returned.returned_on
)

select
    orders.account_id,
    orders.line,
    orders.ordered_on as booked_on,
    cast(case when orders.is_cancelled then 0 else orders.amount end as decimal(18, 4)) as amount,
    orders.handler,
    orders.product_id,
    orders.quantity,
    orders.list_amount,
    coalesce(sales.is_custom, orders.is_custom) as is_custom,
    coalesce(sales.is_recurring, orders.is_recurring) as is_recurring,
    coalesce(sales.is_service, orders.is_service) as is_service,
    coalesce(sales.term_months, orders.term_months) as term_months,
    coalesce(sales.sold_on, orders.ordered_on) as order_day,
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
        orders.amount < 0
        and orders.source = sales.source
        and orders.order_id = sales.order_id
        and orders.account_id = sales.account_id
        and orders.line = sales.line
        and orders.ordered_on = sales.returned_on
where not (orders.is_silent_return and coalesce(sales.is_divided, false))
union all
select
    account_id,
    line,
    returned_on as booked_on,
    amount,
    cast(null as varchar) as handler, -- noqa: RF04
    cast(null as varchar) as product_id,
    cast(null as double) as quantity,
    cast(null as decimal(18, 4)) as list_amount,
    is_custom,
    is_recurring,
    is_service,
    term_months,
    sold_on as order_day,
    cast(null as decimal(12, 10)) as list_premium,
    cast(null as boolean) as is_self_service
from silent_returns
