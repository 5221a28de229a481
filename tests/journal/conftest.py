"""The database, the application and the accounts of the server's tests."""

from tests.server.conftest import (  # noqa: F401
    anyio_backend,
    app_client,
    data_directory,
    database,
    keys,
    make_setup,
    postgres,
    settings,
    sign_in,
    template,
)
