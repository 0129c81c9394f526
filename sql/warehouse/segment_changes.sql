-- One row: an account in one line of business, or as a whole ('*'), whose segment is another than on the last day published earlier.
-- From verdicts (of the day), standings_before (what the last day before left) and merged_accounts; money in the reporting currency.
select
    cast($as_of as date) as as_of,
    verdicts.segment,
    earlier.segment as previous_segment,
    verdicts.score,
    verdicts.revenue_12m,
    coalesce(verdicts.account_id, earlier.account_id) as account_id,
    coalesce(verdicts.line, earlier.line) as line,
    case
        when earlier.account_id is null then 'entered'
        when verdicts.account_id is null then 'left'
        else 'moved'
    end as change,
    case
        when verdicts.account_id is not null then verdicts.because
        when earlier.account_id in (select merged_accounts.account_id from merged_accounts) then 'accounts merged'
        else 'no longer known'
    end as because
from verdicts
full outer join standings_before as earlier
    on verdicts.account_id = earlier.account_id and verdicts.line = earlier.line
where verdicts.segment is distinct from earlier.segment
