DELETE FROM login_attempts WHERE scope = 'known';
ALTER TABLE login_attempts DROP CONSTRAINT login_attempts_scope_known;
ALTER TABLE login_attempts ADD CONSTRAINT login_attempts_scope_known CHECK (scope IN ('account', 'address'));
