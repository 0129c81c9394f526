-- One row: an account in one line of business, or as a whole ('*'), with the standing of the day, where it is another than earlier.
-- From verdicts (of the day) and standings_before (what the last day before left).
select
    verdicts.account_id,
    verdicts.line,
    cast($as_of as date) as valid_from,
    cast(null as date) as valid_to,
    verdicts.segment,
    verdicts.segment_since,
    verdicts.previous_segment,
    verdicts.held_segment,
    verdicts.held_since,
    verdicts.contrary_since,
    verdicts.is_under_contract
from verdicts
left join standings_before as earlier
    on verdicts.account_id = earlier.account_id and verdicts.line = earlier.line
where
    earlier.account_id is null
    or verdicts.segment is distinct from earlier.segment
    or verdicts.segment_since is distinct from earlier.segment_since
    or verdicts.previous_segment is distinct from earlier.previous_segment
    or verdicts.held_segment is distinct from earlier.held_segment
    or verdicts.held_since is distinct from earlier.held_since
    or verdicts.contrary_since is distinct from earlier.contrary_since
    or verdicts.is_under_contract is distinct from earlier.is_under_contract
