-- depends: 0033_several_deletions
-- An object is found by its id, however large the vault is and however many users there are.

-- Three indexes began with user and vault. How many objects a vault has the planner does not know: of a new table
-- nothing, and in a database of many users it believes in one. To find an object each of the three was as good then, and
-- with two of them all of the vault is read. Only the index of objects begins so now; the others find what they are for
-- just as well.
ALTER TABLE vault_blobs DROP CONSTRAINT vault_blobs_stream_key;
ALTER TABLE vault_blobs ADD CONSTRAINT vault_blobs_stream_key UNIQUE (stream_id, user_id, vault_id);
DROP INDEX vault_blobs_wrapped_key_idx;
CREATE INDEX vault_blobs_wrapped_key_idx ON vault_blobs (wrapped_key_id, user_id, vault_id);
