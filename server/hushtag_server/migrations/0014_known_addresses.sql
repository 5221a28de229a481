-- depends: 0013_phrases
-- Addresses an email has logged in from keep attempts of their own: strangers who fail log-ins of an email for ever spend
-- its attempts, and not those of its owner.
ALTER TABLE login_attempts DROP CONSTRAINT login_attempts_scope_known;
ALTER TABLE login_attempts ADD CONSTRAINT login_attempts_scope_known CHECK (scope IN ('account', 'address', 'known'));
