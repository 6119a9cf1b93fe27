-- grain: round that attempted train problems: how many it solved first, again, and no longer
-- Without the hint: solved = first_solved + solved_again; solved_so_far: in any round up to this one;
-- forgotten: attempted and failed here, solved in an earlier round; forgotten_since: of first_solved, those that the
-- last round which attempted them failed. first_by_hint: solved with the hint, and never before in either way.
with by_problem as (
    select
        problem_id,
        round,
        bool_or(origin = 'generated') as attempted,
        bool_or(origin = 'generated' and outcome is not distinct from 'correct') as solved,
        bool_or(origin = 'rationalized' and outcome is not distinct from 'correct') as hinted
    from current_rationales
    where experiment = $experiment and purpose = 'training' and origin in ('generated', 'rationalized')
    group by problem_id, round
),

histories as (
    select
        *,
        coalesce(bool_or(solved) over earlier, false) as solved_before,
        coalesce(bool_or(hinted) over earlier, false) as hinted_before,
        last_value(solved) over (
            partition by problem_id, attempted order by round
            rows between unbounded preceding and unbounded following
        ) as solved_last
    from by_problem
    window earlier as (
        partition by problem_id order by round rows between unbounded preceding and 1 preceding
    )
),

counts as (
    select
        round,
        count(*) filter (attempted) as attempted,
        count(*) filter (solved) as solved,
        count(*) filter (solved and not solved_before) as first_solved,
        count(*) filter (solved and solved_before) as solved_again,
        count(*) filter (attempted and not solved and solved_before) as forgotten,
        count(*) filter (solved and not solved_before and not solved_last) as forgotten_since,
        count(*) filter (hinted and not solved and not solved_before and not hinted_before) as first_by_hint
    from histories
    group by round
),

final as (
    select
        *,
        (sum(first_solved) over (order by round))::bigint as solved_so_far
    from counts
)

select * from final
order by round
