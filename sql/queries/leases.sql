-- grain: lease, whoever holds it and whether or not it has expired
select experiment, scope, what, host, pid, pid_started, acquired_at, renewed_at, expires_at
from leases
order by experiment, acquired_at
