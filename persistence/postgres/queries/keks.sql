-- name: ActivateKEK :execrows
UPDATE keks
SET state = 'active', pending_until = NULL, wraps_leased = 1, -- the canary
    format = $3, canary = $4, check_value = $5, token_label = $6, token_serial = $7
WHERE project = $1 AND id = $2 AND state = 'pending' AND pending_until = @until;

-- name: DiscardKEK :exec
DELETE FROM keks
WHERE project = $1 AND id = $2 AND state = 'pending';

-- name: AbandonedKEKs :many
-- The alias csms/default stands for the default master key of the group that the
-- project's new secrets go to.
WITH taken AS (
    UPDATE keks k
    SET pending_until = @until
    FROM master_keys m
    WHERE m.project = $1
      AND CASE WHEN @alias::text = 'csms/default'
          THEN m.is_default AND m.token_group = coalesce(
              (SELECT p.token_group FROM preferred_token_groups p WHERE p.project = $1), @default_group::text)
          ELSE m.alias = @alias::text END
      AND k.project = $1 AND k.master_key = m.id AND k.state = 'pending' AND k.pending_until < @now
    RETURNING k.id, k.master_key, k.token_group, m.alias, k.number, k.created_at
)
SELECT id, master_key, token_group, alias, number
FROM taken
ORDER BY created_at, id;
