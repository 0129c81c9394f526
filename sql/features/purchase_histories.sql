-- One row: what an account in one line of business had bought by $as_of, as the purchase models take it.
-- From order_statistics; money in the reporting currency.
select
    account_id,
    line,
    occasions,
    first_order_on,
    last_order_on,
    repeat_revenue
from order_statistics
