-- One row: a line of business ('*' is accounts as a whole), a segment and a stage as of one day.
-- From account_segments and account_features of the same day; money in the reporting currency. Those that left a segment that day
-- stand in the row of that segment and of their present stage. The mean of revenue_stability is taken of decimals, so that the order
-- of rows changes nothing.
with present as (
    select
        verdicts.as_of,
        verdicts.line,
        verdicts.segment,
        verdicts.stage,
        count(*) as accounts,
        cast(sum(verdicts.revenue_12m) as decimal(18, 4)) as revenue_12m,
        cast(sum(cast(known.revenue_stability as decimal(18, 15))) as double)
        / count(known.revenue_stability) as revenue_stability,
        count(*) filter (where verdicts.segment_since = verdicts.as_of) as entered_accounts,
        0 as left_accounts
    from account_segments as verdicts
    left join account_features as known
        on verdicts.account_id = known.account_id and verdicts.line = known.line
    group by verdicts.as_of, verdicts.line, verdicts.segment, verdicts.stage
),

gone as (
    select
        as_of,
        line,
        previous_segment as segment,
        stage,
        0 as accounts,
        cast(0 as decimal(18, 4)) as revenue_12m,
        cast(null as double) as revenue_stability,
        0 as entered_accounts,
        count(*) as left_accounts
    from account_segments
    where segment_since = as_of and previous_segment is not null
    group by as_of, line, previous_segment, stage
),

both_ways as (
    select * from present
    union all
    select * from gone
),

lines as (
    select
        line,
        sum(revenue_12m) as revenue_12m
    from account_segments
    group by line
)

select
    both_ways.as_of,
    both_ways.line,
    both_ways.segment,
    both_ways.stage,
    cast(sum(both_ways.accounts) as bigint) as accounts,
    cast(sum(both_ways.revenue_12m) as decimal(18, 4)) as revenue_12m,
    cast(sum(both_ways.entered_accounts) as bigint) as entered_accounts,
    cast(sum(both_ways.left_accounts) as bigint) as left_accounts,
    case
        when max(lines.revenue_12m) > 0
            then cast(sum(both_ways.revenue_12m) as double) / cast(max(lines.revenue_12m) as double)
    end as revenue_share,
    max(both_ways.revenue_stability) as revenue_stability
from both_ways
inner join lines on both_ways.line = lines.line
group by both_ways.as_of, both_ways.line, both_ways.segment, both_ways.stage
