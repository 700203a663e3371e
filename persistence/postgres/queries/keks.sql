-- name: ActivateKEK :execrows
UPDATE keks
SET state = 'active', pending_until = NULL, wraps_leased = 1, -- the canary
    format = $3, canary = $4, check_value = $5, token_label = $6, token_serial = $7
WHERE project = $1 AND id = $2 AND state = 'pending' AND pending_until = @until;

-- name: DiscardKEK :exec
DELETE FROM keks
WHERE project = $1 AND id = $2 AND state = 'pending';

-- name: AbandonedKEKs :many
WITH taken AS (
    UPDATE keks k
    SET pending_until = @until
    FROM master_keys m
    WHERE m.project = $1 AND m.alias = $2
      AND k.project = $1 AND k.master_key = m.id AND k.state = 'pending' AND k.pending_until < @now
    RETURNING k.id, k.master_key, m.alias, k.number, k.created_at
)
SELECT id, master_key, alias, number
FROM taken
ORDER BY created_at, id;
