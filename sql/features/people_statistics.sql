-- One row: who an account deals with in one line, in the 365 days from $year_from to $as_of.
-- From people_days; a handler serves an order day once, however many lines it has. people_n_ln_n is the sum of n ln n over the account's people with n >= 2 contacts, as a decimal, so that the order of
-- rows changes nothing.
with people as (
    select
        account_id,
        line,
        person_role,
        person,
        sum(contacts + case when order_lines > 0 then 1 else 0 end) as contacts
    from people_days
    where contact_day >= $year_from and contact_day <= $as_of
    group by account_id, line, person_role, person
)

select
    account_id,
    line,
    sum(contacts) filter (where person_role = 'handler') as handled_contacts_12m,
    max(contacts) filter (where person_role = 'handler') as top_handler_contacts_12m,
    sum(contacts) filter (where person_role = 'contact' and contacts >= 2) as people_contacts_12m,
    sum(cast(contacts * ln(contacts) as decimal(28, 12))) filter (where person_role = 'contact' and contacts >= 2)
        as people_n_ln_n_12m
from people
group by account_id, line
