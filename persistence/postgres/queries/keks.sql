-- name: ActivateKEK :execrows
UPDATE keks
SET state = 'active', pending_until = NULL,
    format = $3, canary = $4, check_value = $5, token_label = $6, token_serial = $7
WHERE project = $1 AND id = $2 AND state = 'pending';

-- name: DiscardKEK :exec
DELETE FROM keks
WHERE project = $1 AND id = $2 AND state = 'pending';

-- name: AbandonedKEKs :many
SELECT k.id, k.master_key, m.alias, k.number
FROM keks k
JOIN master_keys m ON m.project = k.project AND m.id = k.master_key
WHERE m.project = $1 AND m.alias = $2 AND k.state = 'pending' AND k.pending_until < @now
ORDER BY k.created_at, k.id;
