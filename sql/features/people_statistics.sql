-- One row: who an account deals with in one line, in the 365 days from $year_from to $as_of.
-- From engagements (personal events) and orders (a handler serves an order day once, however many lines it has). people_n_ln_n is the sum
-- of n ln n over the account's people with n >= 2 contacts, as a decimal, so that the order of rows changes nothing.
with handlers as (
    select
        account_id,
        line,
        handler,
        count(*) as contacts
    from engagements
    where is_personal and handler is not null and occurred_on >= $year_from and occurred_on <= $as_of
    group by account_id, line, handler
    union all
    select
        account_id,
        line,
        handler,
        count(distinct ordered_on) as contacts
    from orders
    where amount > 0 and not is_cancelled and handler is not null and ordered_on >= $year_from and ordered_on <= $as_of
    group by account_id, line, handler
),

people as (
    select
        account_id,
        line,
        sum(contacts) as handled,
        cast(null as bigint) as met
    from handlers
    group by account_id, line, handler
    union all
    select
        account_id,
        line,
        cast(null as bigint) as handled,
        count(*) as met
    from engagements
    where is_personal and contact is not null and occurred_on >= $year_from and occurred_on <= $as_of
    group by account_id, line, contact
)

select
    account_id,
    line,
    sum(handled) as handled_contacts_12m,
    max(handled) as top_handler_contacts_12m,
    sum(met) filter (where met >= 2) as people_contacts_12m,
    sum(cast(met * ln(met) as decimal(28, 12))) filter (where met >= 2) as people_n_ln_n_12m
from people
group by account_id, line
