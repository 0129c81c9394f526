-- One row: an account in one line of business with a day that entered or left a window between $as_of_before and $as_of, either way.
-- From order_days and contact_days. The people and the conversations of a day have a row of that day in one of the two.
select
    account_id,
    line
from order_days
where
    (booked_on > least($as_of_before, $as_of) and booked_on <= greatest($as_of_before, $as_of))
    or (order_day >= least($year_from_before, $year_from) and order_day < greatest($year_from_before, $year_from))
    or (order_day >= least($first_month_before, $first_month) and order_day < greatest($first_month_before, $first_month))
union
select
    account_id,
    line
from contact_days
where
    (contact_day > least($as_of_before, $as_of) and contact_day <= greatest($as_of_before, $as_of))
    or (contact_day >= least($year_from_before, $year_from) and contact_day < greatest($year_from_before, $year_from))
    or (
        outbound_messages > 0
        and contact_day > least($answered_until_before, $answered_until)
        and contact_day <= greatest($answered_until_before, $answered_until)
    )
    or (
        inbound_messages > 0
        and contact_day >= least($first_month_before, $first_month)
        and contact_day < greatest($first_month_before, $first_month)
    )
    or (
        referrals > 0
        and contact_day >= least($two_years_from_before, $two_years_from)
        and contact_day < greatest($two_years_from_before, $two_years_from)
    )
