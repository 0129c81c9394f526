-- One row: a person in one role for an account in one line on one day: 'handler' for the business, 'contact' for the account. Additive.
-- From engagements (personal events) and order_lines with a positive amount.
with contacts_of_people as (
    select
        account_id,
        line,
        'handler' as person_role,
        handler as person,
        occurred_on as contact_day,
        1 as contacts,
        0 as order_lines
    from engagements
    where is_personal and handler is not null
    union all
    select
        account_id,
        line,
        'contact' as person_role,
        contact as person,
        occurred_on as contact_day,
        1 as contacts,
        0 as order_lines
    from engagements
    where is_personal and contact is not null
    union all
    select
        account_id,
        line,
        'handler' as person_role,
        handler as person,
        order_day as contact_day,
        0 as contacts,
        1 as order_lines
    from order_lines
    where amount > 0 and handler is not null
)

select
    account_id,
    line,
    person_role,
    person,
    contact_day,
    cast(sum(contacts) as bigint) as contacts,
    cast(sum(order_lines) as bigint) as order_lines
from contacts_of_people
group by account_id, line, person_role, person, contact_day
