-- One row: an account in one line of business, or as a whole ('*'), with the standing of the day, where it is another than before.
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
left join standings_before as before
    on verdicts.account_id = before.account_id and verdicts.line = before.line
where
    before.account_id is null
    or verdicts.segment is distinct from before.segment
    or verdicts.segment_since is distinct from before.segment_since
    or verdicts.previous_segment is distinct from before.previous_segment
    or verdicts.held_segment is distinct from before.held_segment
    or verdicts.held_since is distinct from before.held_since
    or verdicts.contrary_since is distinct from before.contrary_since
    or verdicts.is_under_contract is distinct from before.is_under_contract
