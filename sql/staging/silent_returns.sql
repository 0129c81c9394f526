-- One row: what was given back of an order on a day, by rows that say nothing of its kind, of one kind that was sold.
-- From orders; days in the business's time zone, money in the reporting currency. It is divided as what is left of each kind by then, in
-- ten-thousandths, so that the kinds add up to it, and what gives all back gives all of each kind back.
with returned as (
    select
        source,
        order_id,
        account_id,
        line,
        ordered_on as returned_on,
        cast(-10000 * sum(amount) as hugeint) as units
    from orders
    where is_silent_return
    group by source, order_id, account_id, line, ordered_on
),

so_far as (
    select
        *,
        sum(units) over (partition by source, order_id, account_id, line order by returned_on) as units_until
    from returned
),

kinds as (
    select
        so_far.source,
        so_far.order_id,
        so_far.account_id,
        so_far.line,
        so_far.returned_on,
        so_far.units,
        so_far.units_until,
        said.is_custom,
        said.is_recurring,
        said.is_service,
        said.term_months,
        cast(10000 * sum(said.amount) as hugeint) as units_left,
        min(said.ordered_on) as sold_on
    from so_far
    inner join orders as said
        on
            so_far.source = said.source
            and so_far.order_id = said.order_id
            and so_far.account_id = said.account_id
            and so_far.line = said.line
            and so_far.returned_on >= said.ordered_on
    where not said.is_silent_return and not said.is_cancelled
    group by
        so_far.source, so_far.order_id, so_far.account_id, so_far.line, so_far.returned_on, so_far.units, so_far.units_until,
        said.is_custom, said.is_recurring, said.is_service, said.term_months
    having sum(said.amount) > 0
),

in_order as (
    select
        *,
        sum(units_left) over (partition by source, order_id, account_id, line, returned_on) as units_of_all,
        sum(units_left) over (
            partition by source, order_id, account_id, line, returned_on
            order by is_custom asc nulls last, is_recurring asc nulls last, is_service asc nulls last, term_months asc nulls last
        ) as units_up_to
    from kinds
)

select
    source,
    order_id,
    account_id,
    line,
    returned_on,
    is_custom,
    is_recurring,
    is_service,
    term_months,
    cast(
        (
            (units_until - units) * units_up_to // units_of_all - (units_until - units) * (units_up_to - units_left) // units_of_all
            - units_until * units_up_to // units_of_all + units_until * (units_up_to - units_left) // units_of_all
        ) * cast(0.0001 as decimal(18, 4))
        as decimal(18, 4)
    ) as amount,
    min(sold_on) over (partition by source, order_id, account_id, line, returned_on) as sold_on
from in_order
