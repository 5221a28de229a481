-- depends: 0004_audit
-- Accounts: consents, change of email, deactivation, deletion with a grace period, and the erasure that ends it.

CREATE TABLE consents (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    document varchar(20) NOT NULL,
    version varchar(50) NOT NULL,
    ip_address inet,
    user_agent varchar(200),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT consents_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT consents_document_known CHECK (document IN ('terms', 'privacy')),
    CONSTRAINT consents_version_length CHECK (length(version) >= 1)
);

CREATE INDEX consents_user_created_idx ON consents (user_id, created_at DESC, id DESC);

-- When the grace of a deletion ends. Kept, not computed: a deletion keeps the date its user was told.
ALTER TABLE users ADD COLUMN deletion_at timestamptz;
ALTER TABLE users ADD CONSTRAINT users_deletion_follows
    CHECK (deletion_at IS NULL OR (deleted_at IS NOT NULL AND deletion_at >= deleted_at));
CREATE INDEX users_deletion_at_idx ON users (deletion_at) WHERE deletion_at IS NOT NULL;

-- Adds an account and what belongs to it, as that user. False: the email is taken, and nothing was added.
CREATE FUNCTION hushtag_add_account(
        p_user uuid, p_email text, p_password_hash text, p_first_name text, p_last_name text,
        p_phrase_salt bytea, p_credential_id bytea, p_guesses double precision, p_terms text, p_privacy text)
    RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    INSERT INTO users (id, email, password_hash, first_name, last_name, phrase_salt, opaque_credential_id)
    VALUES (p_user, p_email, p_password_hash, p_first_name, p_last_name, p_phrase_salt, p_credential_id);
    INSERT INTO unlock_budget (user_id, tokens) VALUES (p_user, p_guesses);
    INSERT INTO consents (user_id, document, version, ip_address, user_agent)
    SELECT p_user, d.document, d.version, nullif(current_setting('app.ip_address', true), '')::inet,
        nullif(current_setting('app.user_agent', true), '')
    FROM (VALUES ('terms', p_terms), ('privacy', p_privacy)) d (document, version) WHERE d.version IS NOT NULL;
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    RETURN false;
END $$;

-- Sign-up, with the same work whether or not the email is taken: each time one account is added in full and one is
-- refused. Free: the account stays, and adding it once more is refused. Taken: adding it is refused, and an account
-- under an email nobody has is added and undone.
CREATE FUNCTION hushtag_sign_up(
        p_user uuid, p_email text, p_password_hash text, p_first_name text, p_last_name text,
        p_phrase_salt bytea, p_credential_id bytea, p_guesses double precision, p_terms text, p_privacy text)
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_other uuid := gen_random_uuid();
BEGIN
    IF hushtag_add_account(p_user, p_email, p_password_hash, p_first_name, p_last_name, p_phrase_salt,
            p_credential_id, p_guesses, p_terms, p_privacy) THEN
        PERFORM hushtag_add_account(v_other, p_email, p_password_hash, p_first_name, p_last_name, p_phrase_salt,
            p_credential_id, p_guesses, p_terms, p_privacy);
    ELSE
        BEGIN
            PERFORM hushtag_add_account(v_other, v_other || '@undone', p_password_hash, p_first_name, p_last_name,
                p_phrase_salt, p_credential_id, p_guesses, p_terms, p_privacy);
            RAISE EXCEPTION SQLSTATE 'HT000';
        EXCEPTION WHEN SQLSTATE 'HT000' THEN
            NULL;
        END;
    END IF;
    PERFORM set_config('app.user_id', '', true);
END $$;

CREATE FUNCTION hushtag_set_email(p_user uuid, p_email text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users u SET email = p_email WHERE u.id = p_user;
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    RETURN false;
END $$;

-- Gives an account another email, unless somebody has it: then nothing changes, and what the change would have cost is
-- spent and undone, so that neither answer nor time tells. False: the password hash is no longer the one that was
-- proven.
CREATE FUNCTION hushtag_change_email(p_user uuid, p_password_hash text, p_email text) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM users u WHERE u.id = p_user AND u.password_hash = p_password_hash FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF NOT hushtag_set_email(p_user, p_email) THEN
        BEGIN
            PERFORM hushtag_set_email(p_user, gen_random_uuid() || '@undone');
            RAISE EXCEPTION SQLSTATE 'HT000';
        EXCEPTION WHEN SQLSTATE 'HT000' THEN
            NULL;
        END;
    END IF;
    RETURN true;
END $$;

-- Erases every row of an account whose grace has ended; false: there is none, or it was restored meanwhile. Acts as
-- that user, because row-level security binds the owner of the tables too. For maintenance, not for the server's role.
CREATE FUNCTION hushtag_erase_account(p_user uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_ended boolean;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true), set_config('app.ip_address', '', true),
        set_config('app.user_agent', '', true);
    -- The lock settles who comes first, a restoration or this.
    PERFORM FROM users u WHERE u.id = p_user AND u.deletion_at <= now() FOR UPDATE;
    v_ended := FOUND;
    IF v_ended THEN
        -- Objects first: theirs is the one reference (to wrapped keys) that does not cascade.
        DELETE FROM vault_blobs b WHERE b.user_id = p_user;
        DELETE FROM users u WHERE u.id = p_user;
    END IF;
    PERFORM set_config('app.user_id', '', true);
    RETURN v_ended;
END $$;

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE consents ADD CONSTRAINT consents_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;

CREATE TRIGGER consents_touch BEFORE UPDATE ON consents FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
-- Address and agent have columns of their own in the trail.
CREATE TRIGGER consents_audit AFTER INSERT OR UPDATE OR DELETE ON consents
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit('ip_address,user_agent');

ALTER TABLE consents ENABLE ROW LEVEL SECURITY;
ALTER TABLE consents FORCE ROW LEVEL SECURITY;
CREATE POLICY consents_own ON consents
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

-- Consents only grow.
GRANT SELECT, INSERT ON consents TO hushtag_server;
GRANT UPDATE (email, first_name, last_name, is_active, opaque_credential_id, deleted_at, deletion_at)
    ON users TO hushtag_server;
REVOKE ALL ON FUNCTION hushtag_add_account, hushtag_sign_up, hushtag_set_email, hushtag_change_email,
    hushtag_erase_account FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_add_account, hushtag_sign_up, hushtag_set_email, hushtag_change_email
    TO hushtag_server;
