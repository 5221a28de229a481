DROP INDEX vault_blobs_wrapped_key_idx;
CREATE INDEX vault_blobs_wrapped_key_idx ON vault_blobs (user_id, vault_id, wrapped_key_id);
ALTER TABLE vault_blobs DROP CONSTRAINT vault_blobs_stream_key;
ALTER TABLE vault_blobs ADD CONSTRAINT vault_blobs_stream_key UNIQUE (user_id, vault_id, stream_id);
