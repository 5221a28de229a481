DROP FUNCTION hushtag_get_object, hushtag_delete_object, hushtag_put_object, hushtag_key_of, hushtag_enrol_tag,
    hushtag_open_tag, hushtag_advance_ceremony, hushtag_begin_ceremony, hushtag_forget_ended,
    hushtag_refund_guess, hushtag_charge_guesses, hushtag_guesses, hushtag_vault_session, hushtag_account_session;
