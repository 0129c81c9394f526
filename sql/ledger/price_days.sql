-- One row: what an account paid for one product on one day in one line. Additive.
-- From order_lines with a positive amount and quantity (to six digits) and no list price; money in the reporting currency, net of
-- nothing: returns do not change what was paid.
select
    account_id,
    line,
    product_id,
    order_day,
    cast(sum(amount) as decimal(18, 4)) as amount,
    cast(sum(cast(quantity as decimal(18, 6))) as decimal(18, 6)) as quantity,
    count(*) as priced_lines
from order_lines
where amount > 0 and cast(quantity as decimal(18, 6)) > 0 and product_id is not null and coalesce(list_amount, 0) <= 0
group by account_id, line, product_id, order_day
