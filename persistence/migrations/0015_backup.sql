-- Backups are under KEKs of a master key that belongs to no project. Callers
-- hold what those encrypted, and nobody can count it.
--
-- Locks: keks, for reading all its rows: a second for a million keys.
-- Code:  writes these from release 0.1. Whatever makes a further KEK of that
--        master key has to say that it is handed out, or this refuses it.

-- +goose Up
ALTER TABLE keks ADD CONSTRAINT keks_of_the_installation CHECK (project <> 'installation keys' OR handed_out);

-- +goose Down
-- For tests; production only goes forward.
ALTER TABLE keks DROP CONSTRAINT keks_of_the_installation;
